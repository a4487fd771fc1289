"""The file that an earlier version left in a folder of images is moved, once and whole."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import warm
from account_steps import walk
from old_accounts import make_old

from langchain_qwen_image.account import takeover
from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.takeover import take_over
from langchain_qwen_image.errors import AccountError, ConfigurationError

_CALLS = ({"state": "sent"}, {"state": "answered", "link": "https://host.example/x.png?sig=1"})


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Leave a file of version 2 in a folder."""
    folder = tmp_path / "images"
    folder.mkdir()
    make_old(folder / ".qwen-image.db", calls=_CALLS)
    return folder / ".qwen-image.db"


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """Say where it goes."""
    return tmp_path / "images.books" / "account.db"


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takeover, "_PATIENCE_SECONDS", 0.05)


_FOLDERS = 8


def _ids(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM calls ORDER BY seq")]


def test_an_old_file_is_moved_with_its_answers(old: Path, new: Path) -> None:
    """All rows and all answers beside it are at the new place, for the owner alone."""
    answer = old.with_name(f"{old.name}-answer-{'a' * 32}")
    answer.write_bytes(b"{}")
    take_over(old, new)
    assert _ids(new) == ["c1", "c2"]
    assert new.with_name(f"account.db-answer-{'a' * 32}").read_bytes() == b"{}"
    assert list(old.parent.iterdir()) == []
    assert new.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("version", [1, 2])
def test_both_earlier_versions_are_taken_over(tmp_path: Path, new: Path, version: int) -> None:
    """The tables stay as they are until the account is opened."""
    old = tmp_path / ".qwen-image.db"
    make_old(old, version, calls=_CALLS)
    take_over(old, new)
    with closing(sqlite3.connect(new)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (version,)


def test_where_there_is_no_old_file_nothing_is_made(tmp_path: Path, new: Path) -> None:
    """A folder of this version has none."""
    take_over(tmp_path / ".qwen-image.db", new)
    assert list(tmp_path.iterdir()) == []


_WRITER = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode = " + sys.argv[2])
connection.execute("PRAGMA cache_size = 1")
connection.execute("PRAGMA wal_autocheckpoint = 0")
connection.execute("UPDATE calls SET prompt = 'written last'")
if sys.argv[2] != "WAL":  # what is half done is undone
    connection.execute("BEGIN")
    connection.execute("UPDATE calls SET prompt = 'half done ' || hex(randomblob(100000))")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_what_a_killed_process_left_is_played_first(old: Path, new: Path, mode: str) -> None:
    """Rows that are only in the log come along, and what was half done is undone."""
    ended = subprocess.run([sys.executable, "-c", _WRITER, str(old), mode], check=False)
    assert ended.returncode == -signal.SIGKILL
    left = old.with_name(f"{old.name}-{'wal' if mode == 'WAL' else 'journal'}")
    assert left.stat().st_size
    take_over(old, new)
    with closing(sqlite3.connect(new)) as connection:
        assert set(connection.execute("SELECT prompt FROM calls")) == {("written last",)}
        assert connection.execute("PRAGMA journal_mode").fetchone() == (mode.lower(),)
    assert list(old.parent.iterdir()) == []


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_a_file_that_another_process_has_open_stops_the_run(
    old: Path, new: Path, mode: str
) -> None:
    """A process of the earlier version would go on in the moved file, or make another."""
    with closing(sqlite3.connect(old, isolation_level=None)) as other:
        other.execute(f"PRAGMA journal_mode = {mode}")
        other.execute("BEGIN")
        other.execute("SELECT * FROM calls").fetchone()
        with pytest.raises(AccountError, match=r"(?s)another process has it open.*Stop every"):
            take_over(old, new)
    assert not new.exists()
    take_over(old, new)
    assert _ids(new) == ["c1", "c2"]


def test_an_old_file_beside_new_books_stops_the_run(old: Path, new: Path) -> None:
    """Neither is written over the other."""
    new.parent.mkdir()
    new.write_bytes(b"books")
    with pytest.raises(AccountError, match="two records"):
        take_over(old, new)
    assert (_ids(old), new.read_bytes()) == (["c1", "c2"], b"books")


@pytest.mark.parametrize("kind", ["fifo", "link", "another program's", "no database"])
def test_what_is_no_old_file_of_ours_is_not_moved(
    old: Path, new: Path, tmp_path: Path, kind: str
) -> None:
    """A pipe, a link, another's database: refused, without blocking."""
    old.unlink()
    match kind:
        case "fifo":
            os.mkfifo(old)
        case "link":
            make_old(tmp_path / "other.db")
            old.symlink_to(tmp_path / "other.db")
        case "another program's":
            with closing(sqlite3.connect(old)) as connection:
                connection.execute("CREATE TABLE theirs (x)")
        case _:
            old.write_bytes(b"no database " * 100)
    with pytest.raises(ConfigurationError):
        take_over(old, new)
    assert os.path.lexists(old)
    assert not new.exists()


def test_only_files_are_moved_as_answers(old: Path, new: Path, tmp_path: Path) -> None:
    """A link of an answer's name would have another file read as one."""
    (tmp_path / "secret").write_text("secret")
    (old.parent / f"{old.name}-answer-x").symlink_to(tmp_path / "secret")
    os.mkfifo(old.parent / f"{old.name}-answer-y")
    take_over(old, new)
    assert [file.name for file in new.parent.iterdir()] == ["account.db"]


_RACER = """
import sqlite3, sys
from pathlib import Path
from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.takeover import take_over
sys.stdin.readline()
for folder in sorted(Path(sys.argv[1]).glob("race-*")):
    take_over(folder / "old.db", folder / "new" / "account.db")
    connection = sqlite3.connect(folder / "new" / "account.db")
    assert connection.execute("SELECT count(*) FROM calls").fetchone() == (2,)
"""


@pytest.mark.parametrize("mode", ["WAL", pytest.param("DELETE", marks=pytest.mark.long)])
def test_many_processes_take_one_file_over_once(old: Path, tmp_path: Path, mode: str) -> None:
    """The first one moves it; none fails, and no row is missing for anyone."""
    with closing(sqlite3.connect(old)) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
    for number in range(_FOLDERS):
        (tmp_path / f"race-{number}").mkdir()
        shutil.copyfile(old, tmp_path / f"race-{number}" / "old.db")
    racers = [
        warm.Popen(
            [sys.executable, "-c", _RACER, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(3)
    ]
    said = [racer.communicate("go\n")[0] for racer in racers]
    assert ([racer.returncode for racer in racers], said) == ([0] * 3, [""] * 3)


def test_a_kill_between_any_two_steps_loses_nothing(
    old: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it ends, the next one finishes it."""
    for letter in "ab":
        old.with_name(f"{old.name}-answer-{letter * 32}").write_bytes(letter.encode())
    real, moves = Path.rename, iter(range(99))
    killed = 0

    class Killed(BaseException):
        """Stands for kill -9: nothing of ours catches it."""

    def rename(file: Path, to: Path) -> Path:
        if next(moves) % 2:
            raise Killed
        return real(file, to)

    monkeypatch.setattr(Path, "rename", rename)
    while old.exists():
        try:
            take_over(old, new)
        except Killed:
            killed += 1
    assert killed
    assert _ids(new) == ["c1", "c2"]
    assert {file.read_bytes() for file in new.parent.glob("*-answer-*")} == {b"a", b"b"}


@pytest.mark.parametrize("kind", ["fifo", "link"])
def test_a_prepared_answer_beside_the_books_is_not_read(tmp_path: Path, kind: str) -> None:
    """A pipe would block, and a link would have another file written out as an answer."""
    account = Account(tmp_path / "account.db")
    walk(account, "asked sent")
    account.raw_answer("c1", body=b"x" * 100_000, content_type=None).result()
    [answer] = tmp_path.glob("*-answer-*")
    assert account.read_raw_answer("c1") == b"x" * 100_000
    answer.unlink()
    if kind == "fifo":
        os.mkfifo(answer)
    else:
        answer.symlink_to(tmp_path / "account.db")
    with pytest.raises(AccountError, match="could not be read"):
        account.read_raw_answer("c1")
