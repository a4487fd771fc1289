"""The statements of one job in PostgreSQL, and the rows that they return."""

import os
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import psycopg

from langchain_qwen_image.account.postgres_words import readable_text, storable_text, translated

__all__ = ["PostgresTransaction", "to_rows"]

_NONE: Mapping[str, Any] = {}
_NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now"


class PostgresTransaction:
    """Runs the statements of one job.

    Attributes:
        answers_beside: None: large raw answers are rows like others.
    """

    answers_beside = None

    def __init__(self, connection: psycopg.Connection[dict[str, Any]]) -> None:
        """Take a connection on which a transaction has begun."""
        self._connection = connection

    def execute(self, sql: str, values: Mapping[str, Any] = _NONE) -> int:
        """Write, and return how many rows were written."""
        return self._run(sql, values).rowcount

    def one(self, sql: str, values: Mapping[str, Any] = _NONE) -> dict[str, Any] | None:
        """Return the first row; None if there is none."""
        return self._run(sql, values).fetchone()

    def all(self, sql: str, values: Mapping[str, Any] = _NONE) -> list[Any]:
        """Return all rows."""
        return self._run(sql, values).fetchall()

    def lock(
        self, sql: str, values: Mapping[str, Any] = _NONE, *, skip: bool = False
    ) -> dict[str, Any] | None:
        """Do what `one` does, and let nobody else change or lock that row before the end.

        With `skip`, rows that somebody else holds are not there.
        """
        return self.one(f"{sql} FOR UPDATE{' SKIP LOCKED' if skip else ''}", values)

    def now(self) -> int:
        """Return the server's time, in microseconds since 1970, UTC."""
        return now_micros(self._connection)

    def hold_room(self) -> None:
        """Do nothing: the server's disk is its operator's."""

    def erased_secret(self) -> None:
        """Do nothing: there is no log of ours."""

    def _run(self, sql: str, values: Mapping[str, Any]) -> psycopg.Cursor[dict[str, Any]]:
        given = {name: _storable(name, value) for name, value in values.items()}
        return self._connection.execute(translated(sql), given)


def now_micros(connection: psycopg.Connection[dict[str, Any]]) -> int:
    """Return the time by the server's clock; `now()` there is when the transaction began."""
    row = connection.execute(_NOW).fetchone() or {"now": 0}
    return int(row["now"])


def to_rows(cursor: psycopg.Cursor[Any]) -> Callable[[Sequence[Any]], dict[str, Any]]:
    """Return what makes a row of values: a dictionary by the names of the columns."""
    names = [column.name for column in cursor.description or ()]
    return lambda values: {
        name: _readable(value) for name, value in zip(names, values, strict=True)
    }


def _storable(name: str, value: Any) -> Any:
    if isinstance(value, bytes) and name != "body":  # the one column of bytes; else it is a path
        value = os.fsdecode(value)
    return storable_text(value) if isinstance(value, str) else value


def _readable(value: Any) -> Any:
    if isinstance(value, str):
        return readable_text(value)
    return int(value) if isinstance(value, Decimal) else value  # a sum of whole numbers
