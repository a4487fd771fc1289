"""The README runs: its code, its commands, its table, its picture."""

import doctest
import importlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import BytesIO, StringIO
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from PIL import Image

from langchain_qwen_image import QwenImageClient, QwenImageGenerator, QwenImageTool, errors
from langchain_qwen_image.sandbox import SandboxServer
from langchain_qwen_image.sandbox.scenarios import find_scenario

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CLASSES = {name: getattr(errors, name) for name in errors.__all__ if name != "QwenImageError"}


@dataclass(frozen=True)
class Block:
    """One fenced block: the heading above it, its language, its text."""

    heading: str
    language: str
    text: str


def _blocks() -> Iterator[Block]:
    heading = "top"
    for match in re.finditer(
        r"^## ([^\n]+)$|^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL
    ):
        if match[1]:
            heading = match[1]
        else:
            yield Block(heading, match[2], match[3])


BLOCKS = list(_blocks())
CHAPTERS = {
    heading: list(blocks) for heading, blocks in groupby(BLOCKS, lambda block: block.heading)
}
COMMANDS = [
    line.removeprefix("$ ").partition(" #")[0].strip()
    for block in BLOCKS
    if block.language == "console"
    for line in block.text.splitlines()
    if line.startswith("$ ")
]


class _Illustrator(BaseChatModel):
    """Asks for one picture, then says that it is there."""

    @property
    def _llm_type(self) -> str:
        return "illustrator"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        call = {"name": "generate_image", "args": {"prompt": "A lighthouse"}, "id": "call_1"}
        is_done = isinstance(messages[-1], ToolMessage)
        answer = AIMessage("Here it is.") if is_done else AIMessage("", tool_calls=[call])
        return ChatResult(generations=[ChatGeneration(message=answer)])


def _as_pattern(expected: str) -> str:
    return ".*".join(re.escape(part) for part in expected.split("…"))


def _run(blocks: list[Block]) -> None:
    """Run a chapter's Python in one namespace, and compare what it prints with what it shows."""
    names: dict[str, Any] = {"model": _Illustrator()}
    printed = StringIO()
    for block in blocks:
        if block.language == "python":
            code = compile(block.text, f"README.md, {block.heading}", "exec")
            with redirect_stdout(printed):
                exec(code, names)
        elif block.language == "text":
            assert re.fullmatch(_as_pattern(block.text), printed.getvalue(), re.DOTALL), (
                f"README shows\n{block.text}\nand the code printed\n{printed.getvalue()}"
            )
            printed = StringIO()
    assert printed.getvalue() == "", "every output is shown"


@pytest.mark.parametrize(
    "heading",
    [name for name, blocks in CHAPTERS.items() if any(b.language == "python" for b in blocks)],
)
def test_code_prints_what_the_readme_shows(
    heading: str, server: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each chapter's code runs as it stands; where it needs a key, against a gateway here."""
    monkeypatch.chdir(tmp_path)
    if not any("sandbox=True" in block.text for block in CHAPTERS[heading]):
        monkeypatch.setenv("PIXAZO_API_KEY", "test-key-of-the-readme")
        monkeypatch.setenv("PIXAZO_BASE_URL", server.base_url)
    _run(CHAPTERS[heading])


def test_outputs_are_compared() -> None:
    """A chapter whose code prints something else than is shown fails."""
    shown = [Block("x", "python", "print('three')\n"), Block("x", "text", "four\n")]
    with pytest.raises(AssertionError, match="the code printed"):
        _run(shown)


def test_first_screen_has_the_two_commands() -> None:
    """Whoever opens the README sees within 20 lines how to try it and how to test it."""
    first_screen = "\n".join(README.splitlines()[:20])
    assert "make demo" in first_screen
    assert "make test" in first_screen


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("make ")])
def test_make_targets_exist(command: str) -> None:
    """Each make command of the README is a target."""
    target = command.split()[1]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("pip ")])
def test_extras_exist(command: str) -> None:
    """Each extra that the README installs is declared."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for extra in re.findall(r"\[(\w+)\]", command):
        assert re.search(rf"^{extra} = \[", project, re.MULTILINE)


def _table() -> dict[str, list[str]]:
    rows = re.findall(r"^\| `(\w+Error)` \|(.+)\|$", README, re.MULTILINE)
    return {name: [cell.strip() for cell in cells.split("|")] for name, cells in rows}


def test_table_has_every_error_in_order() -> None:
    """The error table's rows are the classes of the tree, in the order that errors.py draws."""
    drawn = re.findall(r"──+ (\w+)", errors.__doc__ or "")
    assert list(_table()) == drawn
    assert sorted(drawn) == sorted(CLASSES)


@pytest.mark.parametrize("name", CLASSES)
def test_table_says_what_the_class_says(name: str) -> None:
    """The column on billing agrees with the class; of a DownloadError the picture is paid for."""
    billed = _table()[name][1]
    if name == "DownloadError":
        assert billed == "it is paid for"
    else:
        assert billed.startswith("yes") == CLASSES[name].may_have_been_billed


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        pytest.param(name, cells[3].strip("`"), id=name)
        for name, cells in _table().items()
        if cells[3]
    ],
)
def test_table_can_be_seen_in_the_sandbox(name: str, prompt: str) -> None:
    """Each scenario of the error table gives the class of its row."""
    generator = QwenImageGenerator(sandbox=True, max_retries=0, size="512*512")
    with pytest.raises(errors.QwenImageError) as raised:
        generator.invoke(prompt).image.read()
    assert type(raised.value) is CLASSES[name]


def _raises(prompt: str) -> bool:
    tool = QwenImageTool(sandbox=True, max_retries=0, size="512*512")
    call = {"name": tool.name, "args": {"prompt": prompt}, "id": "call_1", "type": "tool_call"}
    try:
        tool.invoke(call)
    except errors.QwenImageError:
        return True
    return False


def test_readme_lists_what_the_tool_raises() -> None:
    """The errors that the tool raises in an agent are those that the README names."""
    listed = set(re.findall(r"`(\w+Error)`", README.partition("raises what only you")[2][:200]))
    played = {name: cells[3].strip("`") for name, cells in _table().items() if cells[3]}
    raised = {name for name, prompt in played.items() if _raises(prompt)}
    assert raised == listed - {"ConfigurationError"}


def test_named_scenarios_exist() -> None:
    """Each scenario that the chapter on the sandbox names can be played."""
    names = re.search(r"Other names: (.+?)\. `qwen", README, re.DOTALL)
    assert names
    for name in re.findall(r"`([\w-]+)`", names[1]):
        find_scenario(name)


def test_picture_is_what_the_demo_draws() -> None:
    """The picture on the first screen is that of `make demo`, and small to load."""
    prompt = re.search(r"generate '(.+?)'", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert prompt
    drawn = Image.open(BytesIO(QwenImageClient(sandbox=True).generate(prompt[1]).image.read()))
    committed = ROOT / "docs" / "images" / "demo.png"
    assert committed.stat().st_size < 100_000
    with Image.open(committed) as shown:
        assert shown.size == drawn.size == (1328, 1328)
        assert _colours(shown) == _colours(drawn)


def _colours(picture: Image.Image) -> list[Any]:
    """Return the colours of some places where there is no lettering."""
    points = [(x, y) for x in range(100, 1328, 220) for y in range(200, 800, 130)]
    return [picture.convert("RGB").getpixel(point) for point in points]


def _modules_with_examples() -> list[str]:
    files = (ROOT / "langchain_qwen_image").rglob("*.py")
    return [
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for file in sorted(files)
        if ">>> " in file.read_text(encoding="utf-8")
    ]


@pytest.mark.parametrize("name", _modules_with_examples())
def test_examples_in_docstrings_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each example in a docstring prints what it shows, without a key."""
    monkeypatch.chdir(tmp_path)
    outcome = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert outcome.attempted > 0
    assert outcome.failed == 0


def _qwen_image(*arguments: str, folder: Path = ROOT) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "langchain_qwen_image", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"},
        timeout=60,
    )
    return run.stdout


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        pytest.param(command, shown, id=command)
        for block in BLOCKS
        if block.language == "console"
        for command, shown in re.findall(
            r"^\$ qwen-image (.+)\n((?:(?!\$ ).*\n)+)", block.text, re.MULTILINE
        )
    ],
)
def test_commands_print_what_the_readme_shows(command: str, shown: str, tmp_path: Path) -> None:
    """Each command that is shown with its output prints that, line for line."""
    printed = _qwen_image(*shlex.split(command), folder=tmp_path)
    lines = [line.rstrip() for line in printed.strip().splitlines()]
    assert re.fullmatch(_as_pattern(shown.strip()), "\n".join(lines))


@pytest.mark.parametrize("command", sorted({c.split()[1] for c in COMMANDS if c[:5] == "qwen-"}))
def test_commands_exist(command: str) -> None:
    """Each subcommand of the README answers to `--help`."""
    if not command.startswith("-"):
        assert command in _qwen_image(command, "--help")
