"""The README and the pages in docs/ run as pasted: whole pages, in order, from a fresh folder."""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from page_services import Services
from pages import CHAT_MODELS, ROOT, Block, blocks_of, run, run_page

from langchain_qwen_image.sandbox import SCENARIOS

PAGES = {
    page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8")
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
}
_SHOWN_ONLY = {"json", "toml", "yaml", "ini", "http", "mermaid", "sh", "sql"}
"""`sh` is a command that needs a real key, and pays, or a server; so does `sql`."""


def _processes(page: str) -> int:
    """Return how many programs a page starts, each of which imports everything anew."""
    return len(re.findall(r"^\$ .*qwen-image|title=\"test_", page, re.MULTILINE))


@pytest.fixture
def fresh_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A new folder, the sandbox that the environment turns on, and no other chat model."""
    before = dict(os.environ)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIXAZO_SANDBOX", "1")
    monkeypatch.syspath_prepend(CHAT_MODELS)
    for module in [path.stem for path in CHAT_MODELS.glob("langchain_*.py")]:
        monkeypatch.delitem(sys.modules, module, raising=False)
    yield tmp_path
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(name, marks=[pytest.mark.long] * (_processes(text) > 1))
        for name, text in PAGES.items()
        if "\n```" in text
    ],
)
def test_page_runs_as_pasted(page: str, fresh_folder: Path, services: Services) -> None:
    """A page runs from its first block to its last, and prints what it shows."""
    services(PAGES[page])
    run_page(PAGES[page])


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_code_is_run(page: str) -> None:
    """No fence is written in a way that the tests pass over."""
    blocks = list(blocks_of(PAGES[page]))
    assert len(blocks) == len(re.findall(r"^ *```", PAGES[page], re.MULTILINE)) // 2
    languages = {block.language for block in blocks if not block.file}
    assert languages <= {"python", "text", "console"} | _SHOWN_ONLY


def test_scenarios_are_those_of_the_sandbox() -> None:
    """The page on the sandbox has each scenario once, and says of it what the sandbox says."""
    page = PAGES["docs/sandbox.md"]
    rows = re.findall(r"^\| `sandbox:(\S+)` \| (.+) \|$", page, re.MULTILINE)
    assert sorted(rows) == sorted((name, one.description) for name, one in SCENARIOS.items())


def test_outputs_are_compared(fresh_folder: Path) -> None:
    """A page whose code prints something else than it shows fails, as does a wrong command."""
    with pytest.raises(AssertionError, match="the code printed"):
        run([Block("x", "python", "print(1)"), Block("x", "text", "2\n")])
    with pytest.raises(AssertionError, match="every output is shown"):
        run([Block("x", "text", ""), Block("x", "python", "print(1)")])
    with pytest.raises(AssertionError, match="the code printed"):
        run([Block("x", "console", "$ qwen-image --version\n0\n")])
    with pytest.raises(AssertionError, match="ended with 2"):
        run([Block("x", "console", "$ qwen-image no-such-command\n")])
