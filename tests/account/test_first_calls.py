"""First calls in a new folder at the same moment: one makes the books, and all use them."""

from pathlib import Path
from typing import Any

import pytest

from langchain_qwen_image.account import belonging
from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.belonging import Belonging
from langchain_qwen_image.account.marker import read_marker
from langchain_qwen_image.account.places import Place, books_of
from langchain_qwen_image.errors import AccountError


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Give the place of the books of a new folder, with the empty file that a call begins with."""
    place = books_of(None, tmp_path / "images", sandbox=False, environ={})
    assert place is not None
    file = Path(place.location)
    file.parent.mkdir()
    file.touch()
    return place


def test_an_empty_file_has_no_name(place: Place) -> None:
    """A file that is made and not filled yet, or was left so by a kill, is no account."""
    account = Account(place.location)
    assert account.id is None
    assert list(account.calls()) == []
    assert account.prepare().result() == account.id


def test_another_call_makes_the_books_before_the_marker_is_read(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The marker of a call that was a moment earlier is not taken for a stranger's."""
    others = [lambda: Belonging(place).ready(Account(place.location))]

    def read_late(folder: Path) -> Any:
        if others:
            others.pop()()
        return read_marker(folder)

    monkeypatch.setattr(belonging, "read_marker", read_late)
    account = Account(place.location)
    Belonging(place).ready(account)
    assert place.folder is not None
    assert read_marker(place.folder) == account.id


def test_another_call_makes_the_books_and_pays_before_the_folder_is_looked_through(
    place: Place,
) -> None:
    """Images that a call of the same books has just paid for were not copied here."""

    def look(folder: Path) -> bool:
        Belonging(place).ready(Account(place.location))
        return True

    Belonging(place, look).ready(Account(place.location))


def test_images_without_their_books_are_refused_beside_an_empty_file(place: Place) -> None:
    """An empty file in the place of the books does not make them books."""
    with pytest.raises(AccountError, match="copied without it"):
        Belonging(place, lambda folder: True).ready(Account(place.location))
