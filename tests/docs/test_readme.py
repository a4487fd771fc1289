"""The README: its first screen, its table, its links, its image; test_docs.py runs its code."""

import re
from io import BytesIO
from typing import Any

import pytest
from pages import ROOT, blocks_of, qwen_image, requirements
from PIL import Image
from pydantic_core import PydanticUndefined

from langchain_qwen_image import QwenImageClient, QwenImageInput, defaults
from langchain_qwen_image.sandbox.scenarios import find_scenario
from langchain_qwen_image.settings import QwenImageSettings

README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
COMMANDS = [
    command.partition(" #")[0].strip()
    for block in blocks_of(README)
    for command, _ in block.commands
]
_ROW = re.compile(r"^\| ((?:`\w+`(?:, )?)+) \| (.+?) \| (.+?) \|$", re.MULTILINE)
_FROM_ELSEWHERE = {
    "api_key": [defaults.API_KEY_VARIABLE, defaults.API_KEY_FILE],
    "base_url": [defaults.BASE_URL_VARIABLE, defaults.BASE_URL],
    "sandbox": [defaults.SANDBOX_VARIABLE, "False"],
    "account": [defaults.DATABASE_VARIABLE],
}
"""Defaults that depend on the environment or on another setting, and what the README names."""


def test_first_screen_has_the_two_commands() -> None:
    """Anyone who opens the README sees within 20 lines how to try it and how to test it."""
    first_screen = "\n".join(README.splitlines()[:20])
    assert "$ make demo" in first_screen
    assert "$ make test" in first_screen


def test_readme_is_short() -> None:
    """The README is about 150 lines: what is longer has a page."""
    assert len(README.splitlines()) <= 167


@pytest.mark.parametrize(
    "target", sorted(set(re.findall(r"\bmake (\w[\w-]*)", "\n".join([*COMMANDS, README]))))
)
def test_make_targets_exist(target: str) -> None:
    """Each make command of the README is a target."""
    assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)


def test_extras_exist() -> None:
    """Each extra that the README installs is declared."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = re.findall(r"langchain-qwen-image\[(\w+)\]", " ".join(requirements(README)))
    assert extras
    for extra in extras:
        assert re.search(rf"^{extra} = \[", project, re.MULTILINE)


def test_named_scenarios_exist() -> None:
    """Each scenario that the README names can be simulated."""
    names = re.findall(r"`sandbox:([\w-]+)`", README)
    assert len(names) == 2
    for name in names:
        find_scenario(name)


def test_settings_are_those_of_the_code() -> None:
    """The table has each setting once, with the default that it has."""
    cells = {row[1]: row[2] for row in _ROW.finditer(README)}
    rows = {name: shown for cell, shown in cells.items() for name in re.findall(r"\w+", cell)}
    assert set(rows) == set(QwenImageSettings.model_fields)
    for name, shown in rows.items():
        default = QwenImageSettings.model_fields[name].default
        if name in QwenImageInput.model_fields:
            default = QwenImageInput.model_fields[name].default
        named = _FROM_ELSEWHERE.get(name) or [_written(default)]
        assert all(one in shown for one in named), f"{name}: {shown}"


def _written(default: Any) -> str:
    """Return a default as the table writes it: a number without `.0`, text in double quotes."""
    assert default is not PydanticUndefined
    if isinstance(default, bool) or default is None:
        return str(default)
    return f'"{default}"' if isinstance(default, str) else str(default).removesuffix(".0")


@pytest.mark.parametrize(
    "target", sorted(set(re.findall(r"\]\(([^)#]+)[^)]*\)|src=\"([^\"]+)\"", README)))
)
def test_links_lead_somewhere(target: tuple[str, str]) -> None:
    """Each file that the README links to or shows is in the repository."""
    path = "".join(target)
    assert path.startswith("https://") or (ROOT / path).exists()


def test_image_is_what_the_demo_draws() -> None:
    """The image on the first screen is that of `make demo`, and small to load."""
    prompt = re.search(r"generate '(.+?)'", MAKEFILE)
    assert prompt
    assert prompt[1] in README
    drawn = Image.open(BytesIO(QwenImageClient(sandbox=True).generate(prompt[1]).image.read()))
    committed = ROOT / "docs" / "images" / "demo.png"
    assert committed.stat().st_size < 100_000
    with Image.open(committed) as shown:
        assert shown.size == drawn.size == (1328, 1328)
        assert _colours(shown) == _colours(drawn)


def _colours(image: Image.Image) -> list[Any]:
    """Return the colours of some places where there is no lettering."""
    points = [(x, y) for x in range(100, 1328, 220) for y in range(200, 800, 130)]
    return [image.convert("RGB").getpixel(point) for point in points]


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`qwen-image (\w+)", README))))
def test_commands_exist(command: str) -> None:
    """Each subcommand of the README answers to `--help`."""
    assert command in qwen_image(f"{command} --help")


def test_every_page_is_linked() -> None:
    """From the README one gets to each page of docs/ but those that the site makes."""
    for page in (ROOT / "docs").glob("*.md"):
        assert f"docs/{page.name}" in README
