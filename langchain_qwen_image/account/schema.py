"""The tables of a ledger's or a budget's file, and which versions of them this package reads.

A ledger and a file budget share one format, so that one command reads both and one file can hold
both.
"""

import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path

from langchain_qwen_image.errors import ConfigurationError

__all__ = [
    "RUNS",
    "SCHEMA_VERSION",
    "create_tables",
    "prepare_tables",
    "read_version",
    "sqlite_problem",
]

APPLICATION_ID = 0x5157494D  # "QWIM"
SCHEMA_VERSION = 2
# 3.22 is the first that reads a file in write-ahead mode from a folder that cannot be written; 3.24
# is the oldest that was tried. No statement here needs a newer one, such as RETURNING of 3.35.
_OLDEST_SQLITE = (3, 24)

# Money is decimal text, because it must be exact; times are microseconds since 1970, UTC.
#
# A link is a secret, and so is a raw answer. `secure_delete` clears what is deleted or cut short,
# but not the place that a row had before SQLite moved it to another page, as it does when rows grow
# or are deleted: 2 of 20,000 links were found so in the file, after they had been cut. So secrets
# have tables of their own, whose rows are only appended and cut short, which moves none.
TABLES = """
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
    replaced_by TEXT,
    polling_path TEXT
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
CREATE TABLE raw_answers (
    seq INTEGER PRIMARY KEY,
    call INTEGER NOT NULL REFERENCES calls (seq),
    content_type TEXT,
    size_bytes INTEGER,
    body BLOB
);
CREATE INDEX raw_answers_kept ON raw_answers (call) WHERE size_bytes IS NOT NULL;
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

# Made when a bulk run first claims its folder: other ledgers do without.
RUNS = "CREATE TABLE runs (batch TEXT PRIMARY KEY, owner TEXT NOT NULL)"

# What makes a file of the version that is the key one of the next.
_UPGRADES = {
    1: """
ALTER TABLE calls ADD COLUMN polling_path TEXT;
CREATE TABLE raw_answers (
    seq INTEGER PRIMARY KEY,
    call INTEGER NOT NULL REFERENCES calls (seq),
    content_type TEXT,
    size_bytes INTEGER,
    body BLOB
);
CREATE INDEX raw_answers_kept ON raw_answers (call) WHERE size_bytes IS NOT NULL;
UPDATE links SET url = rtrim(url);
""",
}


def sqlite_problem(version: tuple[int, ...] | None = None) -> str | None:
    """Return why a version of SQLite, this Python's by default, cannot hold a ledger; or None."""
    version = tuple(version or sqlite3.sqlite_version_info)
    if version >= _OLDEST_SQLITE:
        return None
    given, needed = (".".join(map(str, one)) for one in (version, _OLDEST_SQLITE))
    return (
        f"This Python uses SQLite {given}, and a ledger or a budget's file needs {needed} or "
        "newer. Use a Python with a newer SQLite, or do not use save_to, ledger or Budget.file."
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
            for older in range(version, SCHEMA_VERSION):
                _execute(connection, _UPGRADES[older])
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def create_tables(connection: sqlite3.Connection) -> None:
    """Make the tables of a file without any."""
    _execute(connection, TABLES)
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
    if version == SCHEMA_VERSION:
        _compare_tables(connection, path)
    return version


def _compare_tables(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a file that was prepared: a view or a trigger in it would run in our statements."""
    found, ours = _statements(connection), _our_statements()
    if not ours <= found <= ours | {_written_tight(RUNS)}:
        raise ConfigurationError(
            f"{path} has tables that this package did not create, so it is not used. Choose "
            "another path."
        )


@cache
def _our_statements() -> frozenset[str]:
    with closing(sqlite3.connect(":memory:")) as connection:
        create_tables(connection)
        return _statements(connection)


def _statements(connection: sqlite3.Connection) -> frozenset[str]:
    rows = connection.execute(
        "SELECT sql FROM sqlite_master WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!'"
    )
    return frozenset(_written_tight(row[0] or "") for row in rows)


def _written_tight(statement: str) -> str:
    return "".join(statement.split())  # an added column is written in another place
