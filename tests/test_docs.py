"""The pages in docs/ run: their code from top to bottom, and it prints what they show."""

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[1] / "docs"
_BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = {
    page.name: _BLOCK.findall(page.read_text(encoding="utf-8"))
    for page in sorted(DOCS.glob("*.md"))
}


def _run(page: str) -> None:
    names: dict[str, Any] = {}
    printed = StringIO()
    for number, (language, text) in enumerate(PAGES[page], 1):
        if language == "python":
            with redirect_stdout(printed):
                exec(compile(text, f"docs/{page}, block {number}", "exec"), names)
        else:
            assert printed.getvalue() == text
            printed = StringIO()


@pytest.mark.parametrize("page", ["chains.md", "notebooks.md"])
def test_code_prints_what_the_page_shows(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page's code runs in one namespace, without a key."""
    monkeypatch.chdir(tmp_path)
    _run(page)


def test_outputs_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page whose code prints something else than it shows fails."""
    monkeypatch.setitem(PAGES, "a.md", [("python", "print(1)"), ("text", "2\n")])
    with pytest.raises(AssertionError):
        _run("a.md")
