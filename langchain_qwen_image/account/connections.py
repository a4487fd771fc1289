"""One process's connections to one SQLite file, and what runs on them.

One writes, and one reads: each for one thread at a time.
"""

import contextlib
import sqlite3
import weakref
from collections.abc import Callable
from decimal import InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

from langchain_qwen_image.account.open_file import Opened, OpenFile
from langchain_qwen_image.account.opening import BUSY_SECONDS, check_path, is_full, open_database
from langchain_qwen_image.account.read_only import open_to_read
from langchain_qwen_image.account.sqlite import SqliteTransaction
from langchain_qwen_image.account.store import Transaction

__all__ = ["BAD_ROW", "FOREIGN", "Connections", "Job"]

T = TypeVar("T")
Job = Callable[[Transaction], T]
Outcome = tuple[Any, Exception | None]
# What a row that this package did not write makes of the code that reads it.
BAD_ROW = (ArithmeticError, InvalidOperation, LookupError, TypeError, ValueError)
FOREIGN = "holds an entry that this package did not write"


class Connections:
    """Opens a file when it is used, and anew when it was deleted or replaced.

    Attributes:
        reading: To be held while something is read.
        writing: To be held while the connection that writes is used, closed or cleared.
    """

    def __init__(self, path: Path) -> None:
        """Note the path; nothing is opened."""
        self._path = path
        file = OpenFile(path.parent)
        self._opened, self._reserve = file.opened, file.reserve
        self.reading, self.writing = file.reading, file.writing
        self._log_holds_secret = False
        weakref.finalize(self, file.close_in_the_end)

    def write(self, jobs: list[Job[Any]]) -> list[Outcome]:
        """Run the jobs in one transaction, so that one flush of the disk serves them all.

        Each may fail alone. When the disk is full, they are run again in the room that was held.
        """
        connection = self._to_write()
        transaction = SqliteTransaction(connection, self._path, self._hold_room)
        try:
            return self._run(transaction, jobs)
        except sqlite3.Error as error:
            if not is_full(error):
                raise
        self._reserve.release()
        with contextlib.suppress(sqlite3.Error):
            # From now on the log is played at once and used again from its start, so that the room
            # is for the file.
            _checkpoint(connection, "PASSIVE")
            connection.execute("PRAGMA wal_autocheckpoint = 1")
        return self._run(transaction, jobs)

    def read(self, job: Job[T], *, missing: T) -> T:
        """Run a job that only reads, on one snapshot; a missing file is not made."""
        check_path(self._path)
        if not self._path.exists():
            return missing
        opened, sees_changes = self._take_to_read()
        connection = opened[0]
        try:
            connection.execute("BEGIN")
            try:
                return job(SqliteTransaction(connection, self._path, self._hold_room))
            finally:
                connection.rollback()
        finally:
            is_whole = sees_changes and not connection.in_transaction
            if not is_whole or self._opened.setdefault("read", opened) is not opened:
                connection.close()

    @property
    def is_writing(self) -> bool:
        """Whether the connection that writes is open."""
        return "write" in self._opened

    @property
    def log_holds_secret(self) -> bool:
        """Whether the write-ahead log may have a secret that the tables have no more."""
        return self._log_holds_secret

    def clear_log(self) -> None:
        """Empty the write-ahead log, or leave it for the next time while another reads it."""
        with contextlib.suppress(sqlite3.Error):
            self._log_holds_secret = "write" in self._opened and not _checkpoint(
                self._opened["write"][0], "TRUNCATE"
            )

    def stop_writing(self) -> None:
        """Close the connection that writes; the next use opens it again."""
        _close(self._opened, "write")
        self._reserve.drop()

    def stop_reading(self) -> None:
        """Close the connection that reads; the next use opens it again."""
        _close(self._opened, "read")

    def _run(self, transaction: SqliteTransaction, jobs: list[Job[Any]]) -> list[Outcome]:
        try:
            return _run_together(transaction, jobs)
        finally:
            self._log_holds_secret |= transaction.has_erased

    def _hold_room(self) -> None:
        """Hold room on the disk for what has to be written when a call is answered.

        Raises:
            OSError: The disk is full.
        """
        if self._reserve.hold() and "write" in self._opened:
            self._opened["write"][0].execute("PRAGMA wal_autocheckpoint = 1000")  # SQLite's default

    def _to_write(self) -> sqlite3.Connection:
        identity = _identity(self._path)
        if "write" in self._opened:
            connection, opened_as = self._opened["write"]
            if opened_as == identity:
                return connection
            self.stop_writing()  # deleted or replaced since it was opened
        connection = open_database(self._path)
        self._opened["write"] = (connection, _identity(self._path))
        return connection

    def _take_to_read(self) -> tuple[Opened, bool]:
        """Return a connection of the caller's own, and whether it sees what is written later.

        It is put back afterwards. A signal handler that reads in between opens another, and one
        that an exception of a handler's leaves behind is closed with its last reference.
        """
        opened = self._opened.pop("read", None)
        if opened is not None:
            if opened[1] == _identity(self._path):
                return opened, True
            opened[0].close()
        connection, sees_changes = open_to_read(self._path)
        return (connection, _identity(self._path)), sees_changes


def _run_together(transaction: SqliteTransaction, jobs: list[Job[Any]]) -> list[Outcome]:
    connection = transaction.connection
    connection.execute("BEGIN IMMEDIATE")
    try:
        run = _run_alone if len(jobs) == 1 else _run_among_others
        outcomes = [run(transaction, job) for job in jobs]
        if connection.in_transaction:
            connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise
    return outcomes


def _run_alone(transaction: SqliteTransaction, job: Job[Any]) -> Outcome:
    try:
        return job(transaction), None
    except Exception as error:
        if is_full(error):  # it is run again, in the room that was held
            raise
        transaction.connection.rollback()
        return None, error


def _run_among_others(transaction: SqliteTransaction, job: Job[Any]) -> Outcome:
    connection = transaction.connection
    connection.execute("SAVEPOINT job")
    outcome: Outcome
    try:
        outcome = (job(transaction), None)
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


def _close(opened: dict[str, Opened], use: str) -> None:
    found = opened.pop(use, None)
    if found is not None:
        found[0].close()
