"""The pages in docs/ run: their code from top to bottom, and it prints what they show."""

import re
from pathlib import Path

import pytest
from pages import ROOT, Block, blocks_of, prepare, run

from langchain_qwen_image.sandbox import SCENARIOS, SandboxServer

PAGES = {
    page.stem: page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs").glob("*.md"))
}
_RUN_ELSEWHERE = {"testing"}  # whole files with names of their own: test_testing_plugin.py


@pytest.mark.parametrize("page", [name for name, text in PAGES.items() if "```python\n" in text])
def test_code_prints_what_the_page_shows(
    page: str, server: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page's code runs in one namespace, without a key or against a gateway here."""
    blocks = list(blocks_of(PAGES[page]))
    prepare(blocks, server, tmp_path, monkeypatch)
    run(blocks)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_code_is_run(page: str) -> None:
    """No fence is written in a way that the tests pass over."""
    fences = PAGES[page].count("\n```") // 2
    assert page in _RUN_ELSEWHERE or len(list(blocks_of(PAGES[page]))) == fences


def test_scenarios_are_those_of_the_sandbox() -> None:
    """The page on the sandbox has each scenario once, and says of it what the sandbox says."""
    rows = re.findall(r"^\| `sandbox:(\S+)` \| (.+) \|$", PAGES["sandbox"], re.MULTILINE)
    assert sorted(rows) == sorted((name, one.description) for name, one in SCENARIOS.items())


def test_outputs_are_compared() -> None:
    """A page whose code prints something else than it shows fails."""
    with pytest.raises(AssertionError, match="the code printed"):
        run([Block("x", "python", "print(1)"), Block("x", "text", "2\n")])
    with pytest.raises(AssertionError, match="every output is shown"):
        run([Block("x", "text", ""), Block("x", "python", "print(1)")])
    with pytest.raises(AssertionError, match="the code printed"):
        run([Block("x", "console", "$ qwen-image --version\n0\n")])
