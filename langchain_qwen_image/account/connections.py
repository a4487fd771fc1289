"""One process's connections to one SQLite file, and what runs on them; one thread at a time."""

import contextlib
import sqlite3
import weakref
from collections.abc import Callable
from decimal import InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

from langchain_qwen_image.account.disk_reserve import DiskReserve
from langchain_qwen_image.account.opening import BUSY_SECONDS, check_path, is_full, open_database
from langchain_qwen_image.account.read_only import open_to_read

__all__ = ["BAD_ROW", "Connections", "Job"]

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]
Outcome = tuple[Any, Exception | None]
# What a row that this package did not write makes of the code that reads it.
BAD_ROW = (ArithmeticError, InvalidOperation, LookupError, TypeError, ValueError)


class Connections:
    """Opens a file when it is used, and anew when it was deleted or replaced."""

    def __init__(self, path: Path) -> None:
        """Note the path; nothing is opened."""
        self._path = path
        self._opened: dict[str, tuple[sqlite3.Connection, tuple[int, int]]] = {}
        self._reserve = DiskReserve(path.parent)
        weakref.finalize(self, _close_all, self._opened)

    def write(self, jobs: list[Job[Any]]) -> list[Outcome]:
        """Run the jobs in one transaction, so that one flush of the disk serves them all.

        Each may fail alone. When the disk is full, they are run again in the room that was held.
        """
        connection = self._to_write()
        try:
            return _run_together(connection, jobs)
        except sqlite3.Error as error:
            if not is_full(error):
                raise
        self._reserve.release()
        with contextlib.suppress(sqlite3.Error):
            # From now on the log is played at once and used again from its start, so that the room
            # is for the file.
            _checkpoint(connection, "PASSIVE")
            connection.execute("PRAGMA wal_autocheckpoint = 1")
        return _run_together(connection, jobs)

    def read(self, job: Job[T], *, missing: T) -> T:
        """Run a job that only reads, on one snapshot; a missing file is not made."""
        check_path(self._path)
        if not self._path.exists():
            return missing
        connection, is_kept = self._to_read()
        try:
            connection.execute("BEGIN")
            try:
                return job(connection)
            finally:
                connection.rollback()
        finally:
            if not is_kept:
                connection.close()

    def hold_room(self) -> None:
        """Hold room on the disk for what has to be written when a call is answered.

        Raises:
            OSError: The disk is full.
        """
        if self._reserve.hold() and "write" in self._opened:
            self._opened["write"][0].execute("PRAGMA wal_autocheckpoint = 1000")  # SQLite's default

    def clear_log(self) -> bool:
        """Empty the write-ahead log, unless another process reads it; return whether it worked."""
        with contextlib.suppress(sqlite3.Error):
            return "write" not in self._opened or _checkpoint(self._opened["write"][0], "TRUNCATE")
        return False

    def close_for_fork(self) -> None:
        """Close the connections, which must not get into a child, and go on holding room."""
        _close_all(self._opened)

    def forget_room(self) -> None:
        """Leave the room that a forked child got from its parent to the parent."""
        self._reserve.drop()

    def close(self) -> None:
        """Close everything; the next use opens it again."""
        _close_all(self._opened)
        self._reserve.drop()

    def _to_write(self) -> sqlite3.Connection:
        found = self._current("write")
        if found is None:
            found = open_database(self._path)
            self._opened["write"] = (found, _identity(self._path))
        return found

    def _to_read(self) -> tuple[sqlite3.Connection, bool]:
        # The one that writes, if it is open: with a rollback journal, a second connection would
        # wait for it.
        found = self._current("write") or self._current("read")
        if found is not None:
            return found, True
        connection, sees_changes = open_to_read(self._path)
        if sees_changes:
            self._opened["read"] = (connection, _identity(self._path))
        return connection, sees_changes

    def _current(self, use: str) -> sqlite3.Connection | None:
        if use not in self._opened:
            return None
        connection, identity = self._opened[use]
        if identity == _identity(self._path):
            return connection
        self.close()  # deleted or replaced since it was opened
        return None


def _run_together(connection: sqlite3.Connection, jobs: list[Job[Any]]) -> list[Outcome]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        outcomes = [_run_alone(connection, job) for job in jobs]
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise
    return outcomes


def _run_alone(connection: sqlite3.Connection, job: Job[Any]) -> Outcome:
    connection.execute("SAVEPOINT job")
    outcome: Outcome
    try:
        outcome = (job(connection), None)
    except Exception as error:
        if is_full(error) or not connection.in_transaction:  # it concerns all of the transaction
            raise
        connection.execute("ROLLBACK TO job")
        outcome = (None, error)
    connection.execute("RELEASE job")
    return outcome


def _checkpoint(connection: sqlite3.Connection, mode: str) -> bool:
    """Play the write-ahead log into the file without waiting; return whether all of it was."""
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        row = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        return bool(row[0] == 0)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")


def _identity(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return (found.st_dev, found.st_ino)


def _close_all(opened: dict[str, tuple[sqlite3.Connection, tuple[int, int]]]) -> None:
    while opened:
        opened.popitem()[1][0].close()
