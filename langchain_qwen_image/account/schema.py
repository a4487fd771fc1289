"""Which versions of an account's file this package reads, and that a file has no other tables."""

import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path

from langchain_qwen_image.account.sqlite import SqliteTransaction
from langchain_qwen_image.account.tables import SCHEMA_VERSION, TABLES, fill
from langchain_qwen_image.account.upgrade import RUNS, tables_of, upgrade
from langchain_qwen_image.errors import ConfigurationError

__all__ = [
    "RUNS",
    "SCHEMA_VERSION",
    "TABLES",
    "create_tables",
    "prepare_tables",
    "read_version",
    "sqlite_problem",
]

APPLICATION_ID = 0x5157494D  # "QWIM"
# 3.22 is the first that reads a file in write-ahead mode from a folder that cannot be written; 3.24
# is the oldest that was tried. No statement here needs a newer one, such as RETURNING of 3.35.
_OLDEST_SQLITE = (3, 24)


def sqlite_problem(version: tuple[int, ...] | None = None) -> str | None:
    """Return why a version of SQLite, this Python's by default, cannot hold an account; or None."""
    version = tuple(version or sqlite3.sqlite_version_info)
    if version >= _OLDEST_SQLITE:
        return None
    given, needed = (".".join(map(str, one)) for one in (version, _OLDEST_SQLITE))
    return (
        f"This Python uses SQLite {given}, and an account's file needs {needed} or "
        "newer. Use a Python with a newer SQLite, or do not use save_to, account or Budget.file."
    )


def read_version(connection: sqlite3.Connection, path: Path) -> int:
    """Return, of one snapshot, the version of a file's tables; 0 if it is empty and ours to fill.

    Raises:
        ConfigurationError: Another program or a newer version of this package wrote the file.
    """
    connection.execute("BEGIN")  # another process may be making the tables just now
    try:
        return _read_version(connection, path)
    finally:
        connection.rollback()


def prepare_tables(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables of an empty file, or upgrade those of an older version, all or nothing.

    Raises:
        ConfigurationError: Another program or a newer version of this package wrote the file.
    """
    if read_version(connection, path) == SCHEMA_VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    with connection:  # commits, or rolls back
        version = _read_version(connection, path)  # another process may have been first
        if version == 0:
            create_tables(connection)
        else:
            upgrade(connection, version)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def create_tables(connection: sqlite3.Connection) -> None:
    """Make the tables of a file without any."""
    _execute(connection, TABLES)
    fill(SqliteTransaction(connection, Path(), lambda: None))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _execute(connection: sqlite3.Connection, statements: str) -> None:
    for statement in statements.split(";"):  # executescript would commit first
        connection.execute(statement)


def _read_version(connection: sqlite3.Connection, path: Path) -> int:
    application: int = connection.execute("PRAGMA application_id").fetchone()[0]
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    tables: int = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if (application, version, tables) == (0, 0, 0):
        return 0
    if application != APPLICATION_ID:
        raise ConfigurationError(f"{path} is the database of another program; choose another path.")
    if not 1 <= version <= SCHEMA_VERSION:
        raise ConfigurationError(
            f"{path} has schema version {version}, and this package reads up to {SCHEMA_VERSION}: "
            "upgrade langchain-qwen-image, or choose another path."
        )
    _compare_tables(connection, path, version)
    return version


def _compare_tables(connection: sqlite3.Connection, path: Path, version: int) -> None:
    """Refuse a file that was prepared: a view or a trigger in it would run in our statements."""
    found, ours = _statements(connection), _our_statements(version)
    if not ours <= found <= ours | {_written_tight(RUNS)}:
        raise ConfigurationError(
            f"{path} has tables that this package did not create, so it is not used. Choose "
            "another path."
        )


@cache
def _our_statements(version: int) -> frozenset[str]:
    with closing(sqlite3.connect(":memory:")) as connection:
        _execute(connection, TABLES if version == SCHEMA_VERSION else tables_of(version))
        return _statements(connection)


def _statements(connection: sqlite3.Connection) -> frozenset[str]:
    rows = connection.execute(
        "SELECT sql FROM sqlite_master WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!'"
    )
    return frozenset(_written_tight(row[0] or "") for row in rows)


def _written_tight(statement: str) -> str:
    # An added column is written in another place, the name of a renamed table in quotes.
    return "".join(statement.replace('"', "").split())
