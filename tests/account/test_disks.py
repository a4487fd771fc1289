"""Disks that are full, read-only, or without locks or shared memory, and other SQLites."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import warm

from langchain_qwen_image.account import connections as _connections
from langchain_qwen_image.account import open_file
from langchain_qwen_image.account import opening as _opening
from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.budget import Budget
from langchain_qwen_image.account.database import Database
from langchain_qwen_image.account.keys import NewCall
from langchain_qwen_image.account.schema import sqlite_problem
from langchain_qwen_image.account.spend import spend_by_day
from langchain_qwen_image.errors import AccountError, ConfigurationError

PRICE = Decimal("0.045")
LINK = f"https://images.example/p.png?Signature={'s' * 1000}"


def ask(account: Account, call_id: str = "c1") -> None:
    """Enter a call."""
    base_url = "https://gateway.example"
    account.asked(NewCall(call_id, "a fox", {}, "qwen-image", base_url, PRICE)).result(60)


def send(account: Account, call_id: str = "c1") -> None:
    """Enter a call and note that it was sent."""
    ask(account, call_id)
    account.sent(call_id, lease_seconds=300).result(60)


def answer(account: Account, call_id: str = "c1") -> None:
    """Note what the call bought."""
    images = [(f"{call_id}-image", LINK, None)]
    account.answered(call_id, request_id="r", cost_usd=PRICE, images=images).result(60)


def connections_of(folder: Path) -> _connections.Connections:
    """Return what the account in the folder has open."""
    return Database.at(folder / "books.db")._connections


def states(account: Account) -> list[str]:
    """Return how far each call has come."""
    return [call.state for call in account.calls()]


@pytest.fixture(params=["640k", "8m"])
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A disk of its own, of that size."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={request.param}", "none", str(place)]
    with contextlib.suppress(OSError):
        if subprocess.run(mount, capture_output=True, check=False).returncode == 0:
            yield place
            subprocess.run(["umount", "-l", str(place)], check=True)
            return
    pytest.skip("this user cannot mount a disk")


def fill(disk: Path) -> None:
    """Use up the disk to the last byte."""
    with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_a_disk_that_fills_up_meanwhile_loses_no_link(small_disk: Path) -> None:
    """What calls under way bought is noted in the room that was held when they were sent."""
    account = Account(small_disk / "books.db")
    names = [f"c{number}" for number in range(10)]
    for name in names:
        send(account, name)
    fill(small_disk)
    for name in names:
        answer(account, name)
    account.close()
    assert [[image.url for image in call.images] for call in account.calls()] == [[LINK]] * 10
    account.close()


def test_nothing_is_sent_when_an_answer_would_find_no_room(small_disk: Path) -> None:
    """A step that must come before a POST fails where its answer could not be noted."""
    account = Account(small_disk / "books.db")
    ask(account)
    fill(small_disk)
    with pytest.raises(AccountError, match=r"No space left|full"):
        account.sent("c1", lease_seconds=300).result(60)
    (small_disk / "filler").unlink()
    account.sent("c1", lease_seconds=300).result(60)
    account.close()


@pytest.mark.parametrize(
    "code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE], ids=["full", "quota"]
)
def test_room_is_given_back_when_a_step_finds_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """A step that fails for want of room is taken once more, after what was held is given back."""
    account = Account(tmp_path / "books.db")
    send(account)
    reserve = connections_of(tmp_path)._reserve
    run_together, failures = _connections._run_together, 0

    def run(connection: sqlite3.Connection, jobs: list[Any]) -> list[Any]:
        nonlocal failures
        if reserve._file is None:
            return run_together(connection, jobs)
        failures += 1
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = code
        raise error

    monkeypatch.setattr(_connections, "_run_together", run)
    answer(account)
    assert (failures, states(account)) == (1, ["answered"])
    account.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_leaves_the_room_to_its_parent(tmp_path: Path) -> None:
    """A child that closes the account, or finds the disk full, gives none of its parent's room."""
    account = Account(tmp_path / "books.db")
    send(account)
    file = connections_of(tmp_path)._reserve._file
    assert file is not None
    before = os.fstat(file.fileno()).st_size
    child = os.fork()
    if child == 0:
        account.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert os.fstat(file.fileno()).st_size == before > 0
    account.close()
    assert [one.name for one in tmp_path.iterdir()] == ["books.db"]


class Strange(sqlite3.Connection):
    """A connection to a file system that does not do everything."""

    refuses: Callable[[str], sqlite3.OperationalError | None]

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:  # type: ignore[override]
        """Run a statement, or refuse it."""
        error = type(self).refuses(statement)
        if error is not None:
            raise error
        return super().execute(statement, *values)


def failure(text: str, code: int | None) -> sqlite3.OperationalError:
    """Return an error as SQLite raises it."""
    error = sqlite3.OperationalError(text)
    if code is not None:
        error.sqlite_errorcode = code
    return error


@pytest.fixture
def strange(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Refuse statements, in every connection."""

    def set_up(refuses: Callable[[str], sqlite3.OperationalError | None]) -> None:
        monkeypatch.setattr(Strange, "refuses", staticmethod(refuses), raising=False)
        connect = sqlite3.connect
        monkeypatch.setattr(
            sqlite3, "connect", lambda *given, **named: connect(*given, factory=Strange, **named)
        )

    return set_up


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param("disk I/O error", sqlite3.SQLITE_IOERR_SHMMAP, id="virtiofs"),
        pytest.param("disk I/O error", sqlite3.SQLITE_IOERR_SHMOPEN, id="no-shm-file"),
        pytest.param("locking protocol", sqlite3.SQLITE_PROTOCOL, id="nfs"),
        pytest.param("unable to open database file", sqlite3.SQLITE_CANTOPEN, id="cannot-open"),
        pytest.param("disk I/O error", None, id="no-code"),
    ],
)
def test_a_file_system_without_shared_memory_gets_a_rollback_journal(
    tmp_path: Path, strange: Callable[..., None], text: str, code: int | None
) -> None:
    """Where the write-ahead log is refused, the books are written with another journal."""
    strange(lambda statement: failure(text, code) if statement.endswith("= WAL") else None)
    account = Account(tmp_path / "books.db")
    send(account)
    answer(account)
    account.saved("c1-image", path="a.png", sha256="ab", size_bytes=7).result(60)
    assert states(account) == ["saved"]
    account.close()
    budget = Budget.file(tmp_path / "books.db", max_images=5)
    budget.settle(budget.reserve(PRICE), PRICE)
    assert budget.images == 2
    content = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"ssssssss" not in content


def test_a_log_that_was_left_is_read_without_shared_memory(
    tmp_path: Path, strange: Callable[..., None]
) -> None:
    """An account that a killed process left, moved to such a file system, is read and written."""
    path = tmp_path / "books.db"
    leave_log(path)
    strange(refuse_log_until_exclusive())
    account = Account(path)
    assert states(account) == ["answered"]
    send(account, "c2")
    assert states(account) == ["answered", "sent"]
    account.close()


def refuse_log_until_exclusive() -> Callable[[str], sqlite3.OperationalError | None]:
    """Refuse to read until the connection has the file to itself, as SQLite does there."""
    is_exclusive = False

    def refuses(statement: str) -> sqlite3.OperationalError | None:
        nonlocal is_exclusive
        is_exclusive = is_exclusive or "EXCLUSIVE" in statement
        if is_exclusive or statement != "PRAGMA application_id":
            return None
        return failure("disk I/O error", sqlite3.SQLITE_IOERR_SHMMAP)

    return refuses


def leave_log(path: Path) -> None:
    """Write a call from a process that is killed, so that its log is not played."""
    program = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_disks import Account, Path, answer, send
account = Account(Path(sys.argv[1]))
send(account)
answer(account)
os.kill(os.getpid(), {signal.SIGKILL})
"""
    warm.run([sys.executable, "-c", program, str(path)])
    assert path.with_name(path.name + "-wal").stat().st_size > 0


@pytest.mark.parametrize("code", [sqlite3.SQLITE_BUSY, None], ids=["busy", "no-code"])
@pytest.mark.parametrize("exists", [False, True], ids=["new", "existing"])
def test_a_file_system_without_locks_is_refused_at_once(
    tmp_path: Path,
    strange: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    code: int | None,
    exists: bool,
) -> None:
    """What would be "database is locked" is told with its cause and the way out, unwaited for."""
    monkeypatch.setattr(_opening, "BUSY_SECONDS", 86_400.0)
    account = Account(tmp_path / "books.db")
    if exists:
        send(account, "c0")
        account.close()
    strange(
        lambda statement: (
            failure("database is locked", code) if statement.startswith("BEGIN") else None
        )
    )
    with pytest.raises(ConfigurationError, match=r"cannot lock files.*account="):
        send(account)
    if exists:
        with pytest.raises(ConfigurationError, match="cannot lock files"):
            account.get("c0")
    assert {file.name for file in tmp_path.iterdir()} == {"books.db"}


@pytest.fixture
def freeze(tmp_path: Path) -> Iterator[Callable[[Path], Path]]:
    """Give a function that makes a folder read-only and says where it is then."""
    mounted: list[Path] = []

    def freeze(folder: Path) -> Path:
        if os.geteuid() != 0:
            folder.chmod(0o555)
            return folder
        place = tmp_path / "frozen"
        place.mkdir()
        for options in (["--bind", str(folder), str(place)], ["-o", "remount,ro,bind", str(place)]):
            if subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
                pytest.skip("this user cannot mount a folder")
            mounted[:] = [place]
        return place

    yield freeze
    for place in mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)
    for folder in tmp_path.iterdir():
        folder.chmod(0o755)


def finish(path: Path) -> None:
    """Write a call and close the account."""
    account = Account(path)
    send(account)
    answer(account)
    account.close()


def leave_log_alone(path: Path) -> None:
    """Leave a log without the shared memory beside it, as a copied folder may have it."""
    leave_log(path)
    path.with_name(path.name + "-shm").unlink()


def finish_with_rollback_journal(path: Path) -> None:
    """Close an account that has a rollback journal."""
    finish(path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(finish, id="closed"),
        pytest.param(leave_log, id="killed"),
        pytest.param(leave_log_alone, id="killed-and-copied"),
        pytest.param(finish_with_rollback_journal, id="rollback-journal"),
    ],
)
def test_a_folder_that_cannot_be_written_can_be_read(
    tmp_path: Path, freeze: Callable[[Path], Path], make: Callable[[Path], None]
) -> None:
    """Calls, days and totals are read of a read-only folder, a log that was left included."""
    (tmp_path / "images").mkdir()
    make(tmp_path / "images" / "books.db")
    before = sorted(file.name for file in (tmp_path / "images").iterdir())
    path = freeze(tmp_path / "images") / "books.db"
    account = Account(path)
    assert [(call.state, call.images[0].url) for call in account.calls()] == [("answered", LINK)]
    assert [(day.paid, day.usd) for day in spend_by_day(path)] == [(1, PRICE)]
    assert Budget.file(path, max_usd=1).spent_usd == PRICE
    with pytest.raises(AccountError, match="could not be written"):
        send(account, "c2")
    account.close()
    assert sorted(file.name for file in path.parent.iterdir()) == before


@pytest.mark.parametrize("version", [1, 2])
def test_an_earlier_version_that_cannot_be_written_is_read(
    tmp_path: Path, freeze: Callable[[Path], Path], version: int
) -> None:
    """A read-only file of an earlier version is upgraded in a copy, and stays as it is."""
    from old_accounts import make_old  # not where a process of its own imports this module

    (tmp_path / "images").mkdir()
    call = {"state": "answered", "link": LINK}
    make_old(tmp_path / "images" / "books.db", version, calls=[call])
    path = freeze(tmp_path / "images") / "books.db"
    before = path.read_bytes()
    assert [(one.state, one.images[0].url) for one in Account(path).calls()] == [("answered", LINK)]
    assert [(day.paid, day.usd) for day in spend_by_day(path)] == [(1, PRICE)]
    assert (path.read_bytes(), [*path.parent.iterdir()]) == (before, [path])


def test_a_reader_makes_no_writer(tmp_path: Path) -> None:
    """What only reads opens the file read-only, also where it could write."""
    finish(tmp_path / "books.db")
    account = Account(tmp_path / "books.db")
    assert states(account) == ["answered"]
    [(connection, _)] = connections_of(tmp_path)._opened.values()
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM calls")
    account.close()


def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    """A folder of any name holds an account, and an image's path comes back as it was."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    finish(folder / "books.db")
    account = Account(folder / "books.db")
    image = str(folder / "a.png")
    account.saved("c1-image", path=image, sha256="ab", size_bytes=7).result(60)
    found = account.find_image(image)
    assert found is not None
    assert (found.path, states(account)) == (image, ["saved"])
    account.close()
    assert [day.saved for day in spend_by_day(folder / "books.db")] == [1]


@pytest.mark.parametrize(
    ("version", "is_good"),
    [
        pytest.param((3, 7, 15), False, id="python's-least"),
        pytest.param((3, 23, 1), False, id="too-old"),
        pytest.param((3, 24, 0), True, id="oldest"),
        pytest.param((3, 31, 1), True, id="before-returning"),
        pytest.param((4, 0, 0), True, id="next"),
        pytest.param(None, True, id="this"),
    ],
)
def test_old_sqlites_are_known(version: tuple[int, ...] | None, is_good: bool) -> None:
    """A version that cannot hold an account is named, with what is needed."""
    problem = sqlite_problem(version)
    assert (problem is None) == is_good
    if problem is not None:
        assert "3.24" in problem


def test_an_old_sqlite_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Account and budget are configuration errors from the first step on."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 8, 0))
    with pytest.raises(ConfigurationError, match=r"SQLite 3\.8\.0"):
        send(Account(tmp_path / "books.db"))
    with pytest.raises(ConfigurationError, match=r"SQLite 3\.8\.0"):
        Budget.file(tmp_path / "budget.db", max_usd=1).reserve(PRICE)
    assert list(tmp_path.iterdir()) == []


def test_no_statement_needs_a_new_sqlite(tmp_path: Path, strange: Callable[..., None]) -> None:
    """Everything is said in the SQL of the oldest version that is allowed."""
    statements: list[str] = []

    def note(statement: str) -> None:
        statements.append(statement.upper())

    strange(note)
    finish(tmp_path / "books.db")
    budget = Budget.file(tmp_path / "books.db", max_usd=1)
    for _ in range(2):
        budget.settle(budget.reserve(PRICE), PRICE)
    assert budget.images == 3
    assert len(statements) > 20
    newer = ("RETURNING", "DROP COLUMN", " STRICT", "MATERIALIZED", "IIF(", "NULLS LAST")
    assert not [one for one in statements for word in newer if word in one]


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param(
            "CREATE TRIGGER t AFTER UPDATE ON calls BEGIN DELETE FROM images; END", id="trigger"
        ),
        pytest.param(
            "DROP TABLE spent; CREATE VIEW spent AS WITH RECURSIVE r(x) AS"
            " (SELECT 1 UNION ALL SELECT x + 1 FROM r)"
            " SELECT x AS day, 1 AS usd, 1 AS images FROM r",
            id="endless-view",
        ),
        pytest.param("DROP TABLE links", id="missing-table"),
        pytest.param("ALTER TABLE calls ADD COLUMN more TEXT", id="other-column"),
        pytest.param("CREATE TABLE notes (text)", id="other-table"),
    ],
)
def test_a_file_that_was_tampered_with_is_not_used(tmp_path: Path, statement: str) -> None:
    """An account whose tables are not ours is refused before anything is read or written."""
    path = tmp_path / "books.db"
    finish(path)
    connection = sqlite3.connect(path)
    connection.executescript(statement)
    connection.close()
    for use in (
        lambda: list(Account(path).calls()),
        lambda: spend_by_day(path),
        lambda: Budget.file(path, max_images=1).reserve(PRICE),
        lambda: send(Account(path), "c2"),
    ):
        with pytest.raises(ConfigurationError, match="tables that this package"):
            use()
    Account(path).close()


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("UPDATE calls SET cost_usd = 'much'", id="no-amount"),
        pytest.param("UPDATE calls SET parameters = '{'", id="no-json"),
        pytest.param("UPDATE calls SET created_at = 'then'", id="no-time"),
        pytest.param("UPDATE calls SET created_at = 9000000000000000000", id="far-time"),
    ],
)
def test_a_row_that_is_not_ours_is_an_error(tmp_path: Path, statement: str) -> None:
    """A value that this package never writes is told as damage, and not with a traceback."""
    path = tmp_path / "books.db"
    finish(path)
    connection = sqlite3.connect(path)
    connection.executescript(statement)
    connection.close()
    with pytest.raises(AccountError, match="did not write"):
        list(Account(path).calls())


def test_a_huge_number_of_a_call_does_not_hang(tmp_path: Path) -> None:
    """Calls are read page by page however far apart their numbers are."""
    path = tmp_path / "books.db"
    finish(path)
    connection = sqlite3.connect(path)
    connection.executescript(f"UPDATE calls SET seq = {2**62}; UPDATE images SET call = {2**62};")
    connection.close()
    assert states(Account(path)) == ["answered"]


def test_a_file_of_runs_that_had_locks_is_ours(tmp_path: Path) -> None:
    """The table that bulk runs of version 0.1 added belongs to an account."""
    path = tmp_path / "books.db"
    finish(path)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE runs (batch TEXT PRIMARY KEY, owner TEXT NOT NULL)")
    connection.close()
    assert states(Account(path)) == ["answered"]


def test_a_connection_in_use_is_not_closed(tmp_path: Path) -> None:
    """At the end of a process its thread that writes may be at it: closing waits for that."""
    path = tmp_path / "books.db"
    finish(path)
    last = [_connections.Connections(path)]
    last[0].write([lambda tx: tx.one("SELECT id FROM account")])
    writing, (connection, _) = last[0].writing, last[0]._opened["write"]
    with writing:
        closing = threading.Thread(target=last.clear)
        closing.start()
        closing.join(0.2)
        assert connection.execute("SELECT 1").fetchone()[0] == 1
    closing.join(120)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")


def test_a_fork_waits_until_a_forgotten_file_is_closed(tmp_path: Path) -> None:
    """SQLite takes locks of its own to close a file: no child may get a copy of them."""
    begun, go_on, happened = threading.Event(), threading.Event(), []

    class Slow:
        def close(self) -> None:
            begun.set()
            assert go_on.wait(120)
            happened.append("closed")

    last = [_connections.Connections(tmp_path / "books.db")]
    last[0]._opened["write"] = (Slow(), (0, 0))  # type: ignore[assignment]

    def hold() -> None:
        holds = list(open_file.hold_all())
        for one in holds:
            next(one)
        happened.append("forked")

    threads = [threading.Thread(target=last.clear), threading.Thread(target=hold)]
    threads[0].start()
    assert begun.wait(120)
    threads[1].start()
    threads[1].join(0.2)
    go_on.set()
    for thread in threads:
        thread.join(120)
    assert happened == ["closed", "forked"]
