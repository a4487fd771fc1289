"""The page docs/errors.md says of each class what is so."""

import re

import pytest
from pages import ROOT

from langchain_qwen_image import QwenImageGenerator, QwenImageTool, errors

PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
CLASSES = {name: getattr(errors, name) for name in errors.__all__ if name != "QwenImageError"}


def _table() -> dict[str, list[str]]:
    rows = re.findall(r"^\| `(\w+Error)` \|(.+)\|$", PAGE, re.MULTILINE)
    return {name: [cell.strip() for cell in cells.split("|")] for name, cells in rows}


def test_table_has_every_error_in_order() -> None:
    """The error table's rows are the classes of the tree, in the order that errors.py draws."""
    drawn = re.findall(r"──+ (\w+)", errors.__doc__ or "")
    assert list(_table()) == drawn
    assert sorted(drawn) == sorted(CLASSES)


@pytest.mark.parametrize("name", CLASSES)
def test_table_says_what_the_class_says(name: str) -> None:
    """The column on billing agrees with the class; some errors come after an image is paid for."""
    billed = _table()[name][1]
    if issubclass(CLASSES[name], errors.DownloadError | errors.SaveError):
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


def test_page_lists_what_the_tool_raises() -> None:
    """The errors that the tool raises in an agent are those that the page names."""
    listed = set(re.findall(r"`(\w+Error)`", PAGE.partition("It raises what only you")[2][:200]))
    played = {name: cells[3].strip("`") for name, cells in _table().items() if cells[3]}
    raised = {name for name, prompt in played.items() if _raises(prompt)}
    assert raised == listed - {"AccountError", "ConfigurationError"}  # no scenario has these
