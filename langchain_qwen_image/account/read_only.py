"""Open an account's or a budget's file to read it, also where nothing can be written."""

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from langchain_qwen_image.account.opening import connect, open_database, patiently, primary_code
from langchain_qwen_image.account.schema import SCHEMA_VERSION, create_tables, read_version

__all__ = ["open_to_read"]

_UNWRITABLE = (None, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR)


def open_to_read(path: Path) -> tuple[sqlite3.Connection, bool]:
    """Open a file that exists, and say whether the connection sees what is written later.

    A file of an earlier version is upgraded first, or a copy of it where it cannot be written.

    Raises:
        ConfigurationError: Something else is at the path.
        OSError: It cannot be read.
        sqlite3.Error: It cannot be read.
    """
    if not path.stat().st_size:  # a kill left it between making and filling it
        return _in_memory(), False
    try:
        connection, version = _open(path, "mode=ro")
    except sqlite3.OperationalError as error:
        if primary_code(error) not in _UNWRITABLE:
            raise
        return (
            (open_database(path), True) if _is_writable(path) else (_open_unwritable(path), False)
        )
    if version == SCHEMA_VERSION:
        return connection, True
    connection.close()
    if version == 0:
        return _in_memory(), False
    return (open_database(path), True) if _is_writable(path) else (_copy(path), False)


def _open(path: Path, options: str) -> tuple[sqlite3.Connection, int]:
    versions = []

    def prepare(connection: sqlite3.Connection) -> None:
        versions.append(patiently(lambda: read_version(connection, path), path))

    return connect(path, options, prepare), versions[0]


def _open_unwritable(path: Path) -> sqlite3.Connection:
    """Open a file that SQLite can make no files beside (grafana-sqlite-datasource#167)."""
    if any(log.exists() and log.stat().st_size for log in _logs(path)):
        return _copy(path)
    connection, version = _open(path, "mode=ro&immutable=1")
    if version == SCHEMA_VERSION:
        return connection
    connection.close()
    return _copy(path) if version else _in_memory()


def _copy(path: Path) -> sqlite3.Connection:
    """Read a file together with the log that a killed process left, upgraded where it is old."""
    copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    copy.row_factory = sqlite3.Row
    with tempfile.TemporaryDirectory(prefix="qwen-image-") as folder:  # mode 0700: it has links
        for file in (path, *_logs(path)):
            if file.exists():
                shutil.copyfile(file, Path(folder) / file.name)
        with closing(open_database(Path(folder) / path.name)) as opened:
            opened.backup(copy)
    return copy


def _in_memory() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    create_tables(connection)
    connection.execute("DELETE FROM account")  # it has no name yet
    return connection


def _is_writable(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _logs(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in ("-wal", "-journal")]
