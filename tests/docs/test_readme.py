"""The README runs: its code, its commands, its table, its image."""

import re
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from pages import ROOT, blocks_of, compare, prepare, qwen_image, run
from PIL import Image

from langchain_qwen_image import QwenImageClient
from langchain_qwen_image.sandbox import SandboxServer
from langchain_qwen_image.sandbox.scenarios import find_scenario

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = list(blocks_of(README))
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


@pytest.mark.parametrize(
    "heading",
    [name for name, blocks in CHAPTERS.items() if any(b.language == "python" for b in blocks)],
)
def test_code_prints_what_the_readme_shows(
    heading: str, server: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each chapter's code runs as it stands; where it needs a key, against a gateway here."""
    prepare(CHAPTERS[heading], server, tmp_path, monkeypatch)
    run(CHAPTERS[heading])


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


def test_named_scenarios_exist() -> None:
    """Each scenario that the README names can be played."""
    names = re.findall(r"`sandbox:([\w-]+)`", README)
    assert len(names) == 2
    for name in names:
        find_scenario(name)


def test_image_is_what_the_demo_draws() -> None:
    """The image on the first screen is that of `make demo`, and small to load."""
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


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        pytest.param(command, shown, id=command)
        for block in BLOCKS
        for command, shown in block.commands
    ],
)
def test_commands_print_what_the_readme_shows(
    command: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command that is shown with its output prints that, line for line."""
    monkeypatch.chdir(tmp_path)
    compare(shown.strip(), qwen_image(command))


@pytest.mark.parametrize("command", sorted({c.split()[1] for c in COMMANDS if c[:5] == "qwen-"}))
def test_commands_exist(command: str) -> None:
    """Each subcommand of the README answers to `--help`."""
    if not command.startswith("-"):
        assert command in qwen_image(f"{command} --help")
