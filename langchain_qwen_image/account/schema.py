"""Open the SQLite file in which a ledger or a budget is saved, for its owner alone.

A ledger and a file budget share one format, so that one command reads both and one file can hold
both. SQLite gives its `-wal` and `-shm` files the mode of the database file.
"""

import contextlib
import os
import sqlite3
import stat
import time
from collections.abc import Callable
from pathlib import Path

from langchain_qwen_image.errors import ConfigurationError

__all__ = ["BUSY_SECONDS", "open_database"]

APPLICATION_ID = 0x5157494D  # "QWIM"
SCHEMA_VERSION = 1
BUSY_SECONDS = 30.0

# Money is decimal text, because it must be exact; times are microseconds since 1970, UTC.
#
# A link is a secret, so its row is only appended, and overwritten in place at the same length.
# SQLite moves rows of another length between pages, and `secure_delete` does not clear where they
# were: 2 of 20,000 links were found so in the file, after they had been cut.
_TABLES = """
CREATE TABLE calls (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    prompt TEXT NOT NULL,
    parameters TEXT NOT NULL,
    model TEXT NOT NULL,
    base_url TEXT NOT NULL,
    cost_usd TEXT NOT NULL,
    request_id TEXT,
    error TEXT,
    message TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    batch TEXT,
    batch_item TEXT,
    replaced_by TEXT
);
CREATE UNIQUE INDEX current_of_batch_item ON calls (batch, batch_item)
    WHERE batch IS NOT NULL AND replaced_by IS NULL;
CREATE TABLE images (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    call INTEGER NOT NULL REFERENCES calls (seq),
    position INTEGER NOT NULL,
    expires_at INTEGER,
    path TEXT,
    sha256 TEXT,
    size_bytes INTEGER,
    error TEXT
);
CREATE INDEX images_of_call ON images (call, position);
CREATE INDEX images_by_path ON images (path);
CREATE TABLE links (
    image INTEGER PRIMARY KEY REFERENCES images (seq),
    url TEXT NOT NULL
);
CREATE TABLE reservations (
    token TEXT PRIMARY KEY,
    day TEXT NOT NULL,
    usd TEXT NOT NULL,
    images INTEGER NOT NULL,
    owner TEXT NOT NULL
);
CREATE TABLE spent (
    day TEXT PRIMARY KEY,
    usd TEXT NOT NULL,
    images INTEGER NOT NULL
);
"""


def open_database(path: Path) -> sqlite3.Connection:
    """Open the file, making it and its folder when missing.

    Raises:
        ConfigurationError: Something else is at the path, or a newer version wrote it.
        OSError: The folder or the file cannot be made.
        sqlite3.Error: The disk does not let SQLite work.
    """
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
    is_new = patiently(lambda: _looks_new(connection, path))
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        with contextlib.suppress(OSError):  # of another user, who let us in
            path.chmod(0o600)
    patiently(lambda: connection.execute("PRAGMA journal_mode = WAL").fetchone())
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = ON")
    if is_new:
        _create_tables(connection, path)


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


def _looks_new(connection: sqlite3.Connection, path: Path) -> bool:
    """Check the version on one snapshot: another process may be filling the file just now."""
    connection.execute("BEGIN")
    try:
        return _check_version(connection, path)
    finally:
        connection.rollback()


def _check_version(connection: sqlite3.Connection, path: Path) -> bool:
    """Return whether the file is empty, and so ours to fill."""
    application: int = connection.execute("PRAGMA application_id").fetchone()[0]
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    tables: int = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if (application, version, tables) == (0, 0, 0):
        return True
    if application != APPLICATION_ID:
        raise ConfigurationError(f"{path} is the database of another program; choose another path.")
    if version != SCHEMA_VERSION:
        raise ConfigurationError(
            f"{path} has schema version {version}, and this package reads {SCHEMA_VERSION}: "
            "upgrade langchain-qwen-image, or choose another path."
        )
    return False


def _create_tables(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("BEGIN IMMEDIATE")
    with connection:  # commits, or rolls back
        if _check_version(connection, path):  # another process may have been first
            for statement in _TABLES.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _is_not_ours(error: BaseException) -> bool:
    codes = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", None) in codes
