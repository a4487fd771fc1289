"""Where the books of a call are; what of a folder is believed; what a network disk is."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from langchain_qwen_image.account.marker import (
    MARKER_NAME,
    BadMarkerError,
    read_marker,
    write_marker,
)
from langchain_qwen_image.account.network_disk import network_file_system
from langchain_qwen_image.account.places import (
    Place,
    books_of,
    books_to_read,
    folder_of_books,
    own_file,
)
from langchain_qwen_image.errors import AccountError, ConfigurationError

_ID = "0123456789abcdef" * 2
_OTHER = "f" * 32
_URL = "postgresql://ada@db.example/images"
_VARIABLE = "QWEN_IMAGE_DATABASE"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder for images, not made yet."""
    return tmp_path / "images"


def _decided(folder: Path | None, given: str | None, variable: str, sandbox: bool) -> Place | None:
    return books_of(given, folder, sandbox=sandbox, environ={_VARIABLE: variable})


@pytest.mark.parametrize(
    ("given", "variable", "sandbox", "source", "marks"),
    [
        ("a.db", "", False, "argument", True),
        ("a.db", _URL, False, "argument", True),
        ("a.db", _URL, True, "argument", True),
        (None, _URL, False, "variable", True),
        (None, _URL, True, "folder", False),
        (None, "", False, "folder", True),
        (None, "", True, "folder", True),
        (None, " ", False, "folder", True),
    ],
)
def test_the_argument_wins_then_the_variable_then_the_folder(
    folder: Path, given: str | None, variable: str, sandbox: bool, source: str, marks: bool
) -> None:
    """Argument, variable, the folder's own file: in this order; the sandbox has no variable."""
    place = _decided(folder, given, variable, sandbox)
    own = folder.parent / "images.books" / "account.db"
    expected = {"argument": given, "variable": _URL, "folder": own}
    assert place == Place(expected[source], source, folder, marks)  # type: ignore[arg-type]


def test_without_a_folder_there_are_no_books_unless_they_are_named() -> None:
    """A ByteStore, or nothing, has no books of its own."""
    assert _decided(None, None, "", False) is None
    assert _decided(None, None, _URL, True) is None
    assert _decided(None, None, _URL, False) == Place(_URL, "variable", None)


def test_the_folders_own_file_may_be_named(folder: Path) -> None:
    """As the account of a budget, say: what a folder is checked for holds all the same."""
    own = own_file(folder)
    assert _decided(folder, str(own), _URL, False) == Place(own, "folder", folder)


def test_an_empty_account_is_refused(folder: Path) -> None:
    """An empty text is a mistake, and not the folder's own."""
    with pytest.raises(ConfigurationError, match="empty"):
        _decided(folder, "", "", False)


def test_looking_makes_nothing(folder: Path) -> None:
    """Who decides where the books are makes neither folder nor file."""
    books_of(None, folder, sandbox=False, environ={})
    books_to_read(folder)
    assert list(folder.parent.iterdir()) == []


def test_books_lie_inside_a_folder_that_is_a_file_system_of_its_own(
    mounted: Callable[[str], Path],
) -> None:
    """Beside a container's volume they would be lost with the container."""
    volume = mounted("size=1m")
    assert own_file(volume) == volume / ".books" / "account.db"
    assert own_file(volume / "new") == volume / "new.books" / "account.db"


def test_books_lie_inside_where_nothing_can_be_written_beside(
    open_folder: Path, as_nobody: Callable[[], object]
) -> None:
    """A folder of ours in a folder of another's has its books inside."""
    folder = open_folder / "images"
    folder.mkdir()
    folder.chmod(0o777)
    with as_nobody():  # type: ignore[attr-defined]
        assert own_file(folder) == folder / ".books" / "account.db"
    assert own_file(folder) == open_folder / "images.books" / "account.db"


def test_books_stay_where_they_are(folder: Path) -> None:
    """Books inside are used also when there could be some beside by now."""
    inside = folder / ".books" / "account.db"
    inside.parent.mkdir(parents=True)
    inside.touch()
    assert own_file(folder) == inside


def test_books_in_two_places_are_refused(folder: Path) -> None:
    """Nobody can tell which of them knows what was paid for."""
    for file in (folder / ".books" / "account.db", folder.with_name("images.books") / "account.db"):
        file.parent.mkdir(parents=True)
        file.touch()
    with pytest.raises(AccountError, match="two places"):
        own_file(folder)


def test_a_link_to_a_folder_has_the_books_of_the_folder(folder: Path) -> None:
    """Two names of one folder are one account."""
    folder.mkdir()
    link = folder.with_name("link")
    link.symlink_to(folder)
    assert own_file(link) == own_file(folder)


@pytest.mark.parametrize("name", ["n" * 252, "/"])
def test_a_name_that_takes_no_suffix_has_its_books_inside(folder: Path, name: str) -> None:
    """A long name, or the root, can have nothing beside."""
    assert own_file(folder / name) == folder / name / ".books" / "account.db"


def test_what_a_stranger_put_beside_is_not_used(folder: Path) -> None:
    """A link, or a folder of another user's, would have our links written where they say."""
    folder.mkdir()
    beside = folder.with_name("images.books")
    beside.symlink_to(folder.parent / "elsewhere")
    assert own_file(folder) == folder / ".books" / "account.db"
    beside.unlink()
    beside.mkdir()
    assert own_file(folder) == beside / "account.db"
    if os.geteuid() == 0:
        os.chown(beside, 65534, 65534)
        assert own_file(folder) == folder / ".books" / "account.db"


def test_a_place_says_whether_a_server_of_the_folder_serves_it(folder: Path) -> None:
    """Books inside are served with the images; those beside, or elsewhere, are not."""
    inside = folder / ".books" / "account.db"
    assert Place(inside, "folder", folder).is_inside
    assert not Place(folder.with_name("images.books") / "account.db", "folder", folder).is_inside
    assert not Place(_URL, "variable", folder).is_inside
    assert not Place(inside, "argument", None).is_inside


@pytest.mark.parametrize(
    ("file", "folder"),
    [
        ("/a/images.books/account.db", "/a/images"),
        ("/a/images/.books/account.db", "/a/images"),
        ("/a/.hidden.books/account.db", "/a/.hidden"),
        ("/a/images/.qwen-image.db", "/a/images"),
        ("/a/all.db", "/a"),
    ],
)
def test_books_know_their_folder(file: str, folder: str) -> None:
    """From the place of a folder's books, the folder is found again."""
    assert folder_of_books(Path(file)) == Path(folder)


def test_readers_find_an_old_file_that_was_not_taken_over(folder: Path) -> None:
    """Before the first call of this version, the account is read where it is."""
    folder.mkdir()
    (folder / ".qwen-image.db").touch()
    assert books_to_read(folder) == folder / ".qwen-image.db"
    own = own_file(folder)
    own.parent.mkdir()
    own.touch()
    assert books_to_read(folder) == own


def test_a_marker_says_which_account_a_folder_is_in(folder: Path) -> None:
    """It comes back as it was written, and the first one stays."""
    assert read_marker(folder) is None
    write_marker(folder, _ID)
    write_marker(folder, _OTHER)
    assert read_marker(folder) == _ID
    assert [file.name for file in folder.iterdir()] == [MARKER_NAME]


def test_a_marker_is_written_without_hard_links(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAT, and some file systems of containers, have none."""

    def link(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    write_marker(folder, _ID)
    write_marker(folder, _OTHER)
    assert read_marker(folder) == _ID


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"account ",
        b"account " + b"A" * 32 + b"\n",
        f"account {_ID}\nmore".encode(),
        b"\0" * 99,
    ],
)
def test_a_marker_of_another_form_is_not_believed(folder: Path, content: bytes) -> None:
    """What this package did not write names no account."""
    folder.mkdir()
    (folder / MARKER_NAME).write_bytes(content)
    with pytest.raises(BadMarkerError):
        read_marker(folder)


@pytest.mark.parametrize("kind", ["fifo", "link", "folder", "huge"])
def test_a_prepared_marker_neither_blocks_nor_leads_elsewhere(folder: Path, kind: str) -> None:
    """A pipe nobody writes, a link, a folder, a file of a terabyte: refused at once."""
    folder.mkdir()
    marker = folder / MARKER_NAME
    match kind:
        case "fifo":
            os.mkfifo(marker)
        case "link":
            other = folder.parent / "other"
            other.write_text(f"account {_ID}\n")
            marker.symlink_to(other)
        case "folder":
            marker.mkdir()
        case _:
            with marker.open("wb") as file:
                file.truncate(1 << 40)
    with pytest.raises(BadMarkerError):
        read_marker(folder)
    write_marker(folder, _ID)  # does not follow it either
    with pytest.raises(BadMarkerError):
        read_marker(folder)


_MOUNTS = r"""
21 1 8:1 / / rw,relatime - ext4 /dev/root rw
30 21 0:26 / /proc rw,nosuid - proc proc rw
40 21 0:40 / /mnt rw - tmpfs tmpfs rw
41 40 0:41 / /mnt/shared\040images rw shared:5 - nfs4 nas:/images rw,vers=4.2
42 41 0:42 / /mnt/shared\040images/local rw - xfs /dev/sdb rw
43 21 0:43 / /over rw - cifs //nas/share rw
44 43 0:44 / /over rw - ext4 /dev/sdc rw
broken line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/images", None),
        ("/mnt/images", None),
        ("/mnt/shared images/fox/account.db", "nfs4"),
        ("/mnt/shared images/local/account.db", None),
        ("/over/account.db", None),
    ],
)
def test_a_network_file_system_is_known_by_its_mount(path: str, kind: str | None) -> None:
    """The deepest mount counts, and of two at one place the last."""
    assert network_file_system(Path(path), _MOUNTS) == kind


def test_this_machines_own_disk_is_none() -> None:
    """What Linux says of itself can be read; where there is no such file, nobody knows."""
    assert network_file_system(Path("/proc/self")) is None
