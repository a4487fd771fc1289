"""Open the SQLite file in which an account or a budget is saved, for its owner alone.

SQLite gives its `-wal` and `-shm` files the mode of the database file.
"""

import contextlib
import os
import sqlite3
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from langchain_qwen_image.account.schema import prepare_tables, read_version, sqlite_problem
from langchain_qwen_image.errors import ConfigurationError

__all__ = [
    "BUSY_SECONDS",
    "check_path",
    "connect",
    "is_full",
    "lock_problem",
    "open_database",
    "patiently",
    "primary_code",
]

T = TypeVar("T")
BUSY_SECONDS = 30.0
# Longer than processes that open a new file at the same moment hold each other up.
_SUSPICIOUS_SECONDS = 0.5
# What SQLite says where it gets no shared memory for the write-ahead log: virtiofs, 9p, NFS
# (thepopebot#135, mailpit#271). Without a code: an error of a test's own making.
_NO_SHARED_MEMORY = (None, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL)


def open_database(path: Path) -> sqlite3.Connection:
    """Open the file to write it, making it and its folder when missing.

    It has a write-ahead log where the file system lets processes share memory, else a rollback
    journal, which is slower.

    Raises:
        ConfigurationError: Something else is at the path, a newer version wrote it, the file
            system cannot lock files, or this Python's SQLite is too old.
        OSError: The folder or the file cannot be made.
        sqlite3.Error: The disk does not let SQLite work.
    """
    problem = sqlite_problem()
    if problem is not None:
        raise ConfigurationError(problem)
    _make_private(path)
    try:
        return connect(path, "mode=rw", lambda connection: _prepare(connection, path))
    except sqlite3.OperationalError as error:
        if primary_code(error) not in _NO_SHARED_MEMORY:
            raise
    return connect(path, "mode=rw", lambda connection: _prepare_without_log(connection, path))


def connect(
    path: Path, options: str, prepare: Callable[[sqlite3.Connection], None]
) -> sqlite3.Connection:
    """Connect and prepare the connection, which first does not wait for locks, and then does.

    Raises:
        ConfigurationError: Something else is at the path.
        sqlite3.Error: The disk does not let SQLite work.
    """
    connection = sqlite3.connect(
        f"{path.as_uri()}?{options}",
        uri=True,
        timeout=0,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA trusted_schema = OFF")  # the file may be somebody else's
        connection.execute("PRAGMA temp_store = MEMORY")  # a full /tmp fails no step
        prepare(connection)
        connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
    except BaseException as error:
        connection.close()
        if primary_code(error) in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise ConfigurationError(f"{path} is not an account: {error}.") from None
        raise
    return connection


def check_path(path: Path) -> None:
    """Refuse what is no file of its own.

    Raises:
        ConfigurationError: It is a symbolic link, a folder, or a device.
    """
    if path.is_symlink():
        raise ConfigurationError(
            f"{path} is a symbolic link; an account must be a file of its own."
        )
    if path.exists() and not path.is_file():
        raise ConfigurationError(f"{path} is not a file; an account is one file.")


def primary_code(error: BaseException) -> int | None:
    """Return SQLite's result code of an error, without what extends it; None if it has none."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def is_full(error: BaseException) -> bool:
    """Say whether the disk, or the account's quota of it, may be used up.

    SQLite calls only ENOSPC full; a quota that is used up is an I/O error to it.
    """
    return primary_code(error) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


def patiently(action: Callable[[], T], path: Path) -> T:
    """Repeat what SQLite refuses as busy without waiting, such as the change to WAL.

    Raises:
        ConfigurationError: It is not busy: the file system cannot lock files.
    """
    begun = time.monotonic()
    is_checked = False
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            waited = time.monotonic() - begun
            if not _is_busy(error) or waited > BUSY_SECONDS:
                raise
        if waited > _SUSPICIOUS_SECONDS and not is_checked:
            is_checked = True
            problem = lock_problem(path.parent)
            if problem is not None:
                raise ConfigurationError(problem)
        time.sleep(0.005)


def lock_problem(folder: Path) -> str | None:
    """Return why files in a folder cannot be locked, or None if they can, or nobody can tell.

    SQLite says "busy" to a lock that the file system does not know (ENOLCK, as NFS without lockd
    has it), for ever. Nobody else has a new file of ours, so that busy is a refusal there.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".qwen-image-", dir=folder) as scratch:
            connection = sqlite3.connect(Path(scratch) / "locks.db", timeout=0)
            with contextlib.closing(connection):
                connection.execute("BEGIN EXCLUSIVE")
                connection.rollback()
    except sqlite3.OperationalError as error:
        if not _is_busy(error):
            return None
        return (
            f"The file system of {folder} cannot lock files ({error}), and without locks processes "
            "would overwrite each other's entries and pay twice. Nothing was sent. Put the account "
            "on a local disk (account=…, or another save_to), or mount this one with locks."
        )
    except OSError:
        return None
    return None


def _is_busy(error: sqlite3.OperationalError) -> bool:
    code = primary_code(error)
    return code == sqlite3.SQLITE_BUSY or (code is None and "locked" in str(error))


def _make_private(path: Path) -> None:
    # Never opened and closed once SQLite has it open: closing any descriptor of a file drops the
    # locks that SQLite holds on it (POSIX).
    check_path(path)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, flags, 0o600))


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    # First of all: another's file is refused before it is touched.
    is_new = patiently(lambda: read_version(connection, path), path) == 0
    _close_to_others(path)
    # A file that has tables and no write-ahead log is where there can be none: to try it again
    # would break the connections of processes that have it open.
    wanted = "PRAGMA journal_mode = WAL" if is_new else "PRAGMA journal_mode"
    if patiently(lambda: _first(connection, wanted), path) != "wal":
        patiently(lambda: _first(connection, "PRAGMA journal_mode = TRUNCATE"), path)
    patiently(lambda: _finish(connection, path), path)


def _prepare_without_log(connection: sqlite3.Connection, path: Path) -> None:
    # With the file to itself, SQLite reads a log without shared memory, and can leave it.
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    patiently(lambda: read_version(connection, path), path)
    _close_to_others(path)
    patiently(lambda: _first(connection, "PRAGMA journal_mode = TRUNCATE"), path)
    connection.execute("PRAGMA locking_mode = NORMAL")
    patiently(lambda: _finish(connection, path), path)  # its reading gives the lock back


def _finish(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = ON")
    prepare_tables(connection, path)


def _close_to_others(path: Path) -> None:
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        with contextlib.suppress(OSError):  # of another user, who let us in
            path.chmod(0o600)


def _first(connection: sqlite3.Connection, statement: str) -> Any:
    return connection.execute(statement).fetchone()[0]
