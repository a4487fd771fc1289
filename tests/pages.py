"""Markdown that runs: what the tests of the README, of docs/ and of docstrings share."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from scripted_model import asks_for

from langchain_qwen_image.sandbox import SandboxServer

ROOT = Path(__file__).parent.parent
_HEADING_OR_BLOCK = re.compile(r"^## ([^\n]+)$|^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^\$ qwen-image (.+)\n((?:(?!\$ ).*\n)+)", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block: the heading above it, its language, its text."""

    heading: str
    language: str
    text: str

    @property
    def commands(self) -> list[tuple[str, str]]:
        """Each `qwen-image` command that is shown with its output, and that output."""
        return _COMMAND.findall(self.text) if self.language == "console" else []


def blocks_of(page: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page, in order."""
    heading = "top"
    for match in _HEADING_OR_BLOCK.finditer(page):
        if match[1]:
            heading = match[1]
        else:
            yield Block(heading, match[2], match[3])


def run(blocks: Iterable[Block], **names: Any) -> None:
    """Run Python in one namespace and commands in this folder; both print what is shown.

    `…` in what is shown stands for anything. Where no output is shown at all, none is compared.
    """
    blocks = list(blocks)
    names = {"model": Illustrator(), **names}
    printed = StringIO()
    for number, block in enumerate(blocks, 1):
        if block.language == "python":
            code = compile(block.text, f"block {number}, {block.heading}", "exec")
            with redirect_stdout(printed):
                exec(code, names)
        elif block.language == "text":
            compare(block.text, printed.getvalue())
            printed = StringIO()
        for command, shown in block.commands:
            compare(shown.strip(), qwen_image(command))
    if any(block.language == "text" for block in blocks):
        assert printed.getvalue() == "", "every output is shown"


def compare(shown: str, printed: str) -> None:
    """Fail if something else is printed than the page shows."""
    pattern = ".*".join(re.escape(part) for part in shown.split("…"))
    assert re.fullmatch(pattern, printed, re.DOTALL), (
        f"the page shows\n{shown}\nand the code printed\n{printed}"
    )


def qwen_image(command: str) -> str:
    """Run the command line in the current folder, and return what it prints."""
    with subprocess.Popen(
        [sys.executable, "-m", "langchain_qwen_image", *shlex.split(command)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"},
    ) as run:
        timer = Timer(600, run.kill)
        timer.start()
        lines = []
        for line in run.stdout or ():
            lines.append(line.rstrip())
            if line.startswith("PIXAZO_BASE_URL="):  # the last line of a server, which goes on
                run.send_signal(signal.SIGINT)
        timer.cancel()
    return "\n".join(lines).strip()


def prepare(
    blocks: Iterable[Block], server: SandboxServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let blocks run in a folder; code that needs a key finds one, and a gateway on loopback."""
    monkeypatch.chdir(folder)
    if not any("sandbox=True" in block.text for block in blocks):
        monkeypatch.setenv("PIXAZO_API_KEY", "test-key-of-the-page")
        monkeypatch.setenv("PIXAZO_BASE_URL", server.base_url)


class Illustrator(BaseChatModel):
    """Draws what it is told to: one call for each thing between commas; looks when told to."""

    @property
    def _llm_type(self) -> str:
        return "illustrator"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._next(messages))])

    def _next(self, messages: list[BaseMessage]) -> AIMessage:
        wish = next(one for one in reversed(messages) if isinstance(one, HumanMessage)).text
        if isinstance(messages[-1], HumanMessage):
            things = wish.removeprefix("Draw ").partition(".")[0]
            return asks_for(*things.split(", "), start=len(messages))
        found = re.search(r"\(id (\w+)\)", messages[-1].text)
        if "look" in wish and found:
            call = {"name": "view_image", "args": {"image": found[1]}, "id": "look"}
            return AIMessage("", tool_calls=[call])
        return AIMessage("Here you are.")
