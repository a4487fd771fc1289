"""The house: its rooms, what their doors say, how long a file may be, and where its tests are."""

import ast
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

import langchain_qwen_image
from langchain_qwen_image import account, bulk

PACKAGE = Path(langchain_qwen_image.__file__).parent
TESTS = Path(__file__).parents[1]
ROOMS = sorted(file.parent for file in PACKAGE.glob("*/__init__.py"))
_PUBLIC = {"account", "bulk", "cli", "gallery", "recovery", "sandbox", "serving", "testing"}
"""Rooms that people import from: their `__init__` lists what there is."""
_NOT_OF_A_ROOM = {"hosts", "engines", "docs", "project", "typing"}
_MOST_LINES = 250

_any_room = pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)


@_any_room
def test_a_room_says_what_it_is_for(room: Path) -> None:
    """A room's `__init__` has a docstring, and nothing else unless people import from it."""
    tree = ast.parse((room / "__init__.py").read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    assert (len(tree.body) == 1) == (room.name not in _PUBLIC)


@pytest.mark.parametrize("face", [langchain_qwen_image, account, bulk], ids=lambda it: it.__name__)
def test_names_are_found_where_they_live(face: object) -> None:
    """A lazy `__init__` names the home of each name, which has it; no other is listed."""
    homes: dict[str, str] = vars(face)["_HOMES"]
    name_of_package: str = vars(face)["__name__"]
    for name, home in homes.items():
        assert getattr(import_module(f"{name_of_package}.{home}"), name) is getattr(face, name)
    assert vars(face)["__all__"] == sorted(homes)


@pytest.mark.parametrize(
    "module", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE))
)
def test_modules_are_short(module: Path) -> None:
    """A longer module holds two things."""
    assert len(module.read_text(encoding="utf-8").splitlines()) <= _MOST_LINES


def test_names_of_modules_say_something() -> None:
    """No module has a name under which anything could stand."""
    empty = {"utils", "base", "constants", "wrapper", "helpers", "common", "misc"}
    assert [file for file in PACKAGE.rglob("*.py") if file.stem.lstrip("_") in empty] == []


def test_tests_live_where_their_code_does() -> None:
    """Each room has a folder of tests by its name, and no other folder has any."""
    folders = {file.parent.relative_to(TESTS) for file in TESTS.rglob("test_*.py")}
    assert {str(folder) for folder in folders} - _NOT_OF_A_ROOM == {
        ".",
        *(room.name for room in ROOMS),
    }


def test_files_of_tests_have_names_of_their_own() -> None:
    """No two files of the tests share a name: without packages, one would hide the other."""
    names = Counter(file.name for file in TESTS.rglob("*.py"))
    assert [name for name, count in names.items() if count > 1] == []
