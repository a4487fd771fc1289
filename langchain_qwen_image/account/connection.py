"""Open the SQLite file in which a ledger or a budget is saved, for its owner alone.

SQLite gives its `-wal` and `-shm` files the mode of the database file.
"""

import contextlib
import os
import sqlite3
import stat
import time
from collections.abc import Callable
from pathlib import Path

from langchain_qwen_image.account.schema import is_empty, prepare_tables, sqlite_problem
from langchain_qwen_image.errors import ConfigurationError

__all__ = ["BUSY_SECONDS", "open_database", "patiently"]

BUSY_SECONDS = 30.0


def open_database(path: Path) -> sqlite3.Connection:
    """Open the file, making it and its folder when missing.

    Raises:
        ConfigurationError: Something else is at the path, a newer version wrote it, or this
            Python's SQLite is too old.
        OSError: The folder or the file cannot be made.
        sqlite3.Error: The disk does not let SQLite work.
    """
    problem = sqlite_problem()
    if problem is not None:
        raise ConfigurationError(problem)
    _make_private(path)
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        _prepare(connection, path)
    except BaseException as error:
        connection.close()
        if _is_not_ours(error):
            raise ConfigurationError(f"{path} is not a ledger: {error}.") from None
        raise
    return connection


def _make_private(path: Path) -> None:
    # Never opened and closed once SQLite has it open: closing any descriptor of a file drops the
    # locks that SQLite holds on it (POSIX).
    if path.is_symlink():
        raise ConfigurationError(f"{path} is a symbolic link; a ledger must be a file of its own.")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, flags, 0o600))
    elif not path.is_file():
        raise ConfigurationError(f"{path} is not a file; a ledger is one file.")


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.row_factory = sqlite3.Row
    patiently(lambda: is_empty(connection, path))  # refuses another's file before touching it
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        with contextlib.suppress(OSError):  # of another user, who let us in
            path.chmod(0o600)
    patiently(lambda: connection.execute("PRAGMA journal_mode = WAL").fetchone())
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = ON")
    prepare_tables(connection, path)


def patiently(action: Callable[[], bool]) -> bool:
    """Repeat what SQLite refuses as busy without waiting, such as the change to WAL."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.005)


def _is_not_ours(error: BaseException) -> bool:
    codes = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", None) in codes
