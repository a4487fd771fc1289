"""Importing the package: what it offers, and what it leaves alone."""

import subprocess
import sys

import pytest

import langchain_qwen_image


def modules_after(statement: str) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after a statement."""
    script = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    return set(done.stdout.split())


def test_what_is_optional_is_not_loaded() -> None:
    """The tool can be imported without Pillow, Typer, Rich, LangChain's agents or LangGraph."""
    loaded = modules_after("from langchain_qwen_image import QwenImageTool, QwenImageGenerator")
    loaded -= modules_after("import httpx")  # its command line, where click and rich are installed
    assert loaded & {"PIL", "typer", "rich", "click", "langchain", "langgraph"} == set()


def test_the_tool_loads_nothing_that_only_a_call_needs() -> None:
    """An agent that has the tool and never calls it pays for no HTTP core, SQLite or sandbox."""
    loaded = modules_after("from langchain_qwen_image import QwenImageTool; QwenImageTool()")
    loaded -= modules_after("import langchain_core.tools, httpx")
    ours = {name.partition(".")[2] for name in loaded if name.startswith("langchain_qwen_image.")}
    assert loaded & {"httpcore", "h11", "sqlite3"} == set()
    heavy = {
        "client",
        "pipeline.pipeline",
        "account.account",
        "result",
        "gateway_schemas",
        "sandbox",
    }
    assert ours & heavy == set()


def test_importing_the_package_costs_next_to_nothing() -> None:
    """The package by itself loads none of what it stands on."""
    loaded = modules_after("import langchain_qwen_image; langchain_qwen_image.__version__")
    assert loaded & {"httpx", "pydantic", "langchain_core"} == set()


def test_all_is_sorted_and_can_be_had() -> None:
    """Each public name is there, listed once, sorted, and shown by `dir`."""
    names = langchain_qwen_image.__all__
    assert names == sorted(set(names))
    assert [name for name in names if not hasattr(langchain_qwen_image, name)] == []
    assert dir(langchain_qwen_image) == names
    assert set(langchain_qwen_image._HOMES) == set(names)


def test_the_public_names_are_the_designs() -> None:
    """Every name of the design is public."""
    designed = {
        "Budget",
        "GeneratedImage",
        "ImageGenerationResult",
        "QwenImageClient",
        "QwenImageError",
        "QwenImageGenerator",
        "QwenImageInput",
        "QwenImageTool",
        "QwenImageToolkit",
        "TextToImageRequest",
        "TextToImageResponse",
    }
    assert designed <= set(langchain_qwen_image.__all__)


def test_another_name_is_an_attribute_error() -> None:
    """A name that the package does not have is missing as names are."""
    with pytest.raises(AttributeError, match="no attribute 'QwenImage'"):
        _ = langchain_qwen_image.QwenImage
