"""Write one SQLite file from many threads, tasks and processes, without blocking an event loop.

Jobs queue up; one thread commits what it finds in one transaction, so that 1,000 tasks share a few
flushes of the disk. Reads have a connection and a lock of their own, which that thread never needs:
a signal handler may read, and wait for a commit, whatever the main thread is about.

A fork closes the connections first: SQLite keeps the state of its locks in memory, and a copy of
that in a child believes in locks which the child does not hold.
"""

import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, TypeVar

from langchain_qwen_image.account.connections import BAD_ROW, FOREIGN, Connections, Job
from langchain_qwen_image.account.open_file import drop_rooms, hold_all
from langchain_qwen_image.account.store import Commit, NotTakenError
from langchain_qwen_image.concurrency.forks import held, hold_over_forks
from langchain_qwen_image.concurrency.writer import Writer
from langchain_qwen_image.errors import AccountError

__all__ = ["Commit", "Database", "Job"]

T = TypeVar("T")


class Database:
    """One file in this process; `Database.at` gives every caller of a path the same."""

    def __init__(self, path: Path) -> None:
        """Note the path; nothing is opened before the first use."""
        self.path = path
        self._connections = Connections(path)
        self._committer = _Committer(path, self._connections)
        self._writer: Writer[tuple[Job[Any], Commit[Any]]] = Writer(
            self._committer.commit, self._committer.clear_log, "qwen-image-account"
        )

    @property
    def shown(self) -> str:
        """The path."""
        return str(self.path)

    def __reduce__(self) -> tuple[Callable[[Path], "Database"], tuple[Path]]:
        return (Database.at, (self.path,))

    @staticmethod
    def at(path: Path) -> "Database":
        """Return this process's database for the path."""
        place = path.parent.resolve() / path.name
        with _registry_lock:
            database = _registry.get(place)
            if database is None:
                database = _registry[place] = Database(place)
            return database

    def submit(self, job: Job[T]) -> Commit[T]:
        """Hand over a job to run in a transaction; its future is done once that is on the disk.

        The job takes the transaction; its exception undoes its own work and nobody else's.
        """
        commit: Commit[T] = Commit()
        self._writer.hand_over((job, commit))
        return commit

    def read(self, job: Job[T], *, missing: T) -> T:
        """Run a job that only reads, on one snapshot; a missing file is not made.

        Raises:
            ConfigurationError: Something else is at the path.
            AccountError: The file cannot be read, or holds what this package did not write.
        """
        try:
            with self._connections.reading:
                return self._connections.read(job, missing=missing)
        except (OSError, sqlite3.Error) as error:
            problem = f"could not be read: {error}"
        except BAD_ROW as error:
            problem = f"{FOREIGN}: {type(error).__name__}"
        raise AccountError(f"{self.path} {problem}.")

    def close(self) -> None:
        """Write what is pending and close the file; the next use opens it again."""
        if not self._writer.is_idle or self._connections.is_writing:
            self._writer.run_between(self._committer.close)
        with self._connections.reading:
            self._connections.stop_reading()


class _Committer:
    """Writes; it does not know the database, which is closed when nothing knows that any more.

    Attributes:
        writing: Held while the connection that writes is used.
    """

    def __init__(self, path: Path, connections: Connections) -> None:
        self.writing = connections.writing
        self._path = path
        self._connections = connections

    def commit(self, work: list[tuple[Job[Any], Commit[Any]]]) -> None:
        try:
            with self.writing:
                outcomes = self._connections.write([job for job, _ in work])
        except BaseException as error:  # what waits for a commit gets its error, whatever it is
            for _, commit in work:
                commit.set_exception(self._explained(error))
            return
        for (_, commit), (value, failure) in zip(work, outcomes, strict=True):
            if failure is None:
                commit.set_result(value)
            else:
                commit.set_exception(self._explained(failure))

    def clear_log(self) -> None:
        if self._connections.log_holds_secret:
            with self.writing:
                self._connections.clear_log()

    def close(self) -> None:
        self.clear_log()
        with self.writing:
            self._connections.stop_writing()

    def _explained(self, error: BaseException) -> BaseException:
        if isinstance(error, (OSError, sqlite3.Error, UnicodeError)):
            return NotTakenError(f"{self._path} could not be written: {error}.")
        if isinstance(error, BAD_ROW):
            return AccountError(f"{self._path} {FOREIGN}: {type(error).__name__}.")
        return error.with_traceback(None)  # its frames hold links


_registry: weakref.WeakValueDictionary[Path, Database] = weakref.WeakValueDictionary()
_registry_lock = threading.RLock()


def _hold_all() -> Iterator[Generator[None]]:
    yield held(_registry_lock)
    yield from hold_all()


hold_over_forks(_hold_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=drop_rooms)
