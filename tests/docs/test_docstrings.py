"""Docstrings run: their examples, and the sections that LangChain's pages are made of."""

import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest
from pages import CHAT_MODELS, ROOT, blocks_of, run

from langchain_qwen_image import QwenImageGenerator, QwenImageTool
from langchain_qwen_image.sandbox import SandboxServer

_SECTIONS = {
    QwenImageTool: [
        "Setup",
        "Instantiation",
        "Invocation",
        "Invocation with ToolCall",
        "Within an agent",
    ],
    QwenImageGenerator: ["Setup", "Instantiation", "Invocation", "In a chain"],
}


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


def _docstring(face: type) -> str:
    """Return it without the indent of its class, which Python takes off itself from 3.13 on."""
    return inspect.cleandoc(face.__doc__ or "")


@pytest.mark.parametrize("face", _SECTIONS)
def test_sections_are_those_of_langchain(face: type) -> None:
    """Both faces are described in the sections of LangChain's own integrations."""
    assert re.findall(r"^(\w[\w ]+):$", _docstring(face), re.MULTILINE) == _SECTIONS[face]


@pytest.mark.parametrize("face", _SECTIONS)
def test_sections_print_what_they_show(
    face: type, server: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sections run from the first to the last, with a key and a gateway on loopback."""
    blocks = list(blocks_of(re.sub("^ {4}", "", _docstring(face), flags=re.MULTILINE)))
    assert len([block for block in blocks if block.language == "python"]) >= 3
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIXAZO_API_KEY", "test-key-of-the-docstring")
    monkeypatch.setenv("PIXAZO_BASE_URL", server.base_url)
    monkeypatch.syspath_prepend(CHAT_MODELS)
    run(blocks)
