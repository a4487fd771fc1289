"""The words that people read: one for one thing, and those of the field.

Pages, docstrings, comments, messages and help texts are read; code and what a gateway says are not.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from pages import ROOT

_INSTEAD = {
    r"pictures?": "image",
    r"mend(?:s|ed|ing)?": "fix",
    r"troubles?": "failure, or scenario",
    r"dies|died": "expires",
    r"whoever": "anyone who, or the noun",
    r"(?:by|of) (?:itself|themselves)": "automatically, separately",
}
_ON_PAGES = _INSTEAD | {"subscription keys?": "API key"}
"""In modules it may be what the gateway says."""
_FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_QUOTED = re.compile(r'"[^"\n]*"')
_PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "benchmarks").glob("*.md"),
    ]
)
_MODULES = sorted(
    [*(ROOT / "langchain_qwen_image").rglob("*.py"), *(ROOT / "examples").glob("*.py")]
)


def _prose(text: str) -> str:
    """Return a text without code and without what it quotes."""
    return _QUOTED.sub(" ", _CODE.sub(" ", _FENCE.sub(" ", text)))


def _texts_of(source: str) -> Iterator[str]:
    """Yield a module's docstrings, messages and comments; a name or a key has no space in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


@cache
def _read(file: Path) -> str:
    source = file.read_text(encoding="utf-8")
    return "\n".join(
        _prose(one) for one in (_texts_of(source) if file.suffix == ".py" else [source])
    )


def _found(word: str, prose: str) -> list[str]:
    return [match[0] for match in re.finditer(rf"\b(?:{word})\b", prose, re.IGNORECASE)]


@pytest.mark.parametrize(
    "file", [pytest.param(file, id=file.relative_to(ROOT).as_posix()) for file in _PAGES]
)
def test_page_uses_the_words_of_the_field(file: Path) -> None:
    """No page has a word for which the project has a better one."""
    prose = _read(file)
    assert {word: _found(word, prose) for word in _ON_PAGES} == {word: [] for word in _ON_PAGES}


def test_package_uses_the_words_of_the_field() -> None:
    """No docstring, message, help text or comment has such a word, in the package or an example."""
    wrong = {
        (file.relative_to(ROOT).as_posix(), word): found
        for file in _MODULES
        for word in _INSTEAD
        if (found := _found(word, _read(file)))
    }
    assert wrong == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("A picture.", ["picture"], id="the word"),
        pytest.param("Pictures, two.", ["Pictures"], id="plural, capital"),
        pytest.param("Mending it", ["Mending"], id="a form of a verb"),
        pytest.param("Troubleshooting, recommend, depicture", [], id="part of a word"),
        pytest.param("the variable `picture`", [], id="code"),
        pytest.param("```python\npicture = 1\n```", [], id="a block of code"),
        pytest.param('it said "no picture"', [], id="a quotation"),
    ],
)
def test_words_are_found_in_prose(text: str, found: list[str]) -> None:
    """Whole words are found, in any case; code and quotations are left alone."""
    assert [one for word in _INSTEAD for one in _found(word, _prose(text))] == found


def test_comments_and_messages_are_read() -> None:
    """Of a module, docstrings, messages in parts, and comments are read, and its names are not."""
    source = (
        '"""A first."""\npicture = 1  # second one\nraise ValueError(f"a third {picture} here")\n'
    )
    assert [one.strip() for one in _texts_of(source)] == [
        "A first.",
        "a third",
        "here",
        "# second one",
    ]
