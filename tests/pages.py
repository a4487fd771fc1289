"""Markdown that runs, as pasted: a whole page from a fresh folder. Needs the standard library only.

`python tests/pages.py PAGE` runs a page in the current folder, in an environment that has what the
page says to install. The tests in this suite call `run` in their own process.

A page has Python (one namespace for the page), `text` (what the Python above it has printed),
`console` (commands, some with their output) and files, named by `title="test_x.py"` in the fence.
"""

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

ROOT = Path(__file__).parent.parent
CHAT_MODELS = ROOT / "tests" / "chat_models"
"""What takes the place of the chat models that pages name; nothing else is replaced."""
_PROGRAMS = sorted((ROOT / "examples").glob("[!_]*.py"))
_HOSTED = ("chat_", "serve_")
HOSTED_EXAMPLES = [file for file in _PROGRAMS if file.name.startswith(_HOSTED)]
"""Programs that run until they are stopped, in a host of others: `make hosts` runs them."""
ENGINE_EXAMPLES = [file for file in _PROGRAMS if file.name.startswith("engine_")]
"""Programs for engines that run tasks on many machines: `make engines` runs them."""
EXAMPLES = [file for file in _PROGRAMS if file not in [*HOSTED_EXAMPLES, *ENGINE_EXAMPLES]]

_HEADING_OR_BLOCK = re.compile(
    r'^## ([^\n]+)$|^```(\w+)(?: title="([^"]+)")?[^\n]*\n(.*?)^```$', re.MULTILINE | re.DOTALL
)
_COMMAND = re.compile(r"^\$ ((?:.+\\\n)*.+)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
_SET_UP = ("pip", "git", "cd", "make", "uv", "jupyter")
"""Commands that prepare an environment, or belong to a clone; tests of their own look at them."""
_EXIT_CODES = (0, 1, 130)
"""1: something is left to do, such as an image that may have been billed; 130: a server ended."""


@dataclass(frozen=True)
class Block:
    """One fenced block: the heading above it, its language, its text, and the file it is."""

    heading: str
    language: str
    text: str
    file: str | None = None

    @property
    def commands(self) -> list[tuple[str, str]]:
        """Each command, and the output that is shown below it."""
        return _COMMAND.findall(self.text) if self.language == "console" else []


def blocks_of(page: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page, in order."""
    heading = "top"
    for match in _HEADING_OR_BLOCK.finditer(page):
        if match[1]:
            heading = match[1]
        else:
            yield Block(heading, match[2], match[4], match[3])


def run(blocks: Iterable[Block], **names: Any) -> None:
    """Run a page's blocks in this folder; each prints what is shown.

    `…` in what is shown stands for anything. Where no output is shown at all, none is compared.
    """
    blocks = list(blocks)
    printed = StringIO()
    for number, block in enumerate(blocks, 1):
        if block.file:
            Path(block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            code = compile(block.text, f"block {number}, {block.heading}", "exec")
            with redirect_stdout(printed):
                exec(code, names)
        elif block.language == "text":
            compare(block.text, printed.getvalue())
            printed = StringIO()
        for command, shown in block.commands:
            _run_command(command, shown.strip())
    if any(block.language == "text" for block in blocks):
        assert printed.getvalue() == "", "every output is shown"


def run_page(page: str) -> None:
    """Run a page's blocks in this folder, and then the tests among the files that it made.

    Of what these tests record, the gateway in PIXAZO_BASE_URL is asked.
    """
    run(blocks_of(page))
    if list(Path().glob("test_*.py")):
        status, printed = shell("python -m pytest -q -p no:cacheprovider --record-mode=once")
        assert status == 0, printed


def compare(shown: str, printed: str) -> None:
    """Fail if something else is printed than the page shows."""
    pattern = ".*".join(re.escape(part) for part in shown.split("…"))
    assert re.fullmatch(pattern, printed, re.DOTALL), (
        f"the page shows\n{shown}\nand the code printed\n{printed}"
    )


def requirements(page: str) -> list[str]:
    """Return what the page's `pip install` lines name, in order."""
    commands = [command for block in blocks_of(page) for command, _ in block.commands]
    lines = [shlex.split(command, comments=True) for command in commands]
    return [name for line in lines if line[:2] == ["pip", "install"] for name in line[2:]]


def qwen_image(command: str) -> str:
    """Run the command line in the current folder, and return what it prints."""
    return shell(f"qwen-image {command}")[1]


def shell(command: str) -> tuple[int, str]:
    """Run a command in the current folder; return its exit code and what it prints.

    A server is interrupted as soon as it has said how to reach it.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    with subprocess.Popen(
        ["bash", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PATH": path, "COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"},
    ) as process:
        timer = Timer(600, os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        lines = []
        for line in process.stdout or ():
            lines.append(line.rstrip())
            if line.startswith("PIXAZO_BASE_URL="):  # the last line of a server, which goes on
                os.killpg(process.pid, signal.SIGINT)
        timer.cancel()
    return process.returncode, "\n".join(lines).strip()


def _run_command(command: str, shown: str) -> None:
    words = shlex.split(command, comments=True)
    if words[0] in _SET_UP:
        return
    if words[0] == "export":
        os.environ.update([word.split("=", 1) for word in words[1:]])
        return
    status, printed = shell(command)
    assert status in _EXIT_CODES, f"{command!r} ended with {status}:\n{printed}"
    if shown:
        compare(shown, printed)


if __name__ == "__main__":
    sys.path.insert(0, str(CHAT_MODELS))
    run_page(Path(sys.argv[1]).read_text(encoding="utf-8"))
