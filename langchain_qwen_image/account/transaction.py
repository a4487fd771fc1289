"""Run jobs on a connection together, so that one flush of the disk serves them all."""

import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

from langchain_qwen_image.account.connection import BUSY_SECONDS

__all__ = ["Job", "run_together", "truncate_log"]

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]


def run_together(
    connection: sqlite3.Connection, jobs: list[Job[Any]]
) -> list[tuple[Any, Exception | None]]:
    """Run the jobs in one transaction, each of which may fail alone."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        outcomes = [_alone(connection, job) for job in jobs]
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise
    return outcomes


def _alone(connection: sqlite3.Connection, job: Job[Any]) -> tuple[Any, Exception | None]:
    connection.execute("SAVEPOINT job")
    outcome: tuple[Any, Exception | None]
    try:
        outcome = (job(connection), None)
    except Exception as error:
        if not connection.in_transaction:  # a full disk ends the whole transaction
            raise
        connection.execute("ROLLBACK TO job")
        outcome = (None, error)
    connection.execute("RELEASE job")
    return outcome


def truncate_log(connection: sqlite3.Connection) -> bool:
    """Empty the write-ahead log without waiting for who reads it; return whether it worked."""
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        row = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return bool(row[0] == 0)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
