"""A transaction on an SQLite file."""

import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["SqliteTransaction"]

_NONE: Mapping[str, Any] = {}


class SqliteTransaction:
    """Runs statements on a connection; SQLite has one writer at a time, so that nothing is locked.

    Attributes:
        connection: Where they run.
        answers_beside: The file; large raw answers lie beside it.
        has_erased: Whether a job erased a secret, which the write-ahead log still has.
    """

    def __init__(
        self, connection: sqlite3.Connection, path: Path, hold_room: Callable[[], None]
    ) -> None:
        """Take the connection, its file, and what holds room beside that."""
        self.connection = connection
        self.answers_beside = path
        self.has_erased = False
        self.hold_room = hold_room

    def execute(self, sql: str, values: Mapping[str, Any] = _NONE) -> int:
        """Write, and return how many rows were."""
        return self.connection.execute(sql, values).rowcount

    def one(self, sql: str, values: Mapping[str, Any] = _NONE) -> sqlite3.Row | None:
        """Return the first row; None if there is none."""
        row: sqlite3.Row | None = self.connection.execute(sql, values).fetchone()
        return row

    def all(self, sql: str, values: Mapping[str, Any] = _NONE) -> list[sqlite3.Row]:
        """Return all rows."""
        return self.connection.execute(sql, values).fetchall()

    def lock(
        self, sql: str, values: Mapping[str, Any] = _NONE, *, skip: bool = False
    ) -> sqlite3.Row | None:
        """Do what `one` does."""
        return self.one(sql, values)

    def now(self) -> int:
        """Return this machine's time, in microseconds since 1970, UTC."""
        return now_micros()

    def erased_secret(self) -> None:
        """Note that the write-ahead log has a secret that the tables have no more."""
        self.has_erased = True


def now_micros() -> int:
    """Return this machine's time."""
    return time.time_ns() // 1000
