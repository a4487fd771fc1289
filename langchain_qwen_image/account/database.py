"""Write one SQLite file from many threads, tasks and processes, without blocking an event loop.

Jobs queue up; a thread that lives only while there is work commits what it finds in one
transaction, so that 1,000 tasks share a few flushes of the disk. It is not a daemon: the
interpreter waits for it at exit, and what was handed over is written.

A fork closes the connections first: SQLite keeps the state of its locks in memory, and a copy of
that in a child believes in locks which the child does not hold.
"""

import os
import sqlite3
import threading
import weakref
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from langchain_qwen_image.account.connections import BAD_ROW, FOREIGN, Connections, Job
from langchain_qwen_image.account.store import Commit, NotTakenError
from langchain_qwen_image.errors import AccountError

__all__ = ["Commit", "Database", "Job"]

T = TypeVar("T")


class Database:
    """One file in this process; `Database.at` gives every caller of a path the same."""

    def __init__(self, path: Path) -> None:
        """Note the path; nothing is opened before the first use."""
        self.path = path
        self._pending: deque[tuple[Job[Any], Commit[Any]]] = deque()
        self._connections = Connections(path)
        self._make_locks()

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
        self._pending.append((job, commit))
        if self._draining.acquire(blocking=False):
            self._start()
        return commit

    def read(self, job: Job[T], *, missing: T) -> T:
        """Run a job that only reads, on one snapshot; a missing file is not made.

        Raises:
            ConfigurationError: Something else is at the path.
            AccountError: The file cannot be read, or holds what this package did not write.
        """
        try:
            with self._using:
                return self._connections.read(job, missing=missing)
        except (OSError, sqlite3.Error) as error:
            problem = f"could not be read: {error}"
        except BAD_ROW as error:
            problem = f"{FOREIGN}: {type(error).__name__}"
        raise AccountError(f"{self.path} {problem}.")

    def close(self) -> None:
        """Write what is pending and close the file; the next use opens it again."""
        self._draining.acquire()
        self._write_pending()
        self._clear_log()
        with self._using:
            self._connections.close()
        self._let_go()

    def _make_locks(self) -> None:
        self._draining = threading.Lock()  # held by the one thread that empties the queue
        self._using = threading.Lock()  # held while the connections are used

    def _start(self) -> None:
        try:
            threading.Thread(target=self._drain, name="qwen-image-ledger", daemon=False).start()
        except RuntimeError:  # the interpreter is shutting down and starts no thread any more
            self._drain()

    def _drain(self) -> None:
        self._write_pending()
        self._clear_log()
        self._let_go()

    def _write_pending(self) -> None:
        while self._pending:
            work = [self._pending.popleft() for _ in range(len(self._pending))]
            self._commit(work)

    def _let_go(self) -> None:
        self._draining.release()
        if self._pending and self._draining.acquire(blocking=False):
            self._start()

    def _commit(self, work: list[tuple[Job[Any], Commit[Any]]]) -> None:
        try:
            with self._using:
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

    def _clear_log(self) -> None:
        if self._connections.log_holds_secret:
            with self._using:
                self._connections.clear_log()

    def _explained(self, error: BaseException) -> BaseException:
        if isinstance(error, (OSError, sqlite3.Error, UnicodeError)):
            return NotTakenError(f"{self.path} could not be written: {error}.")
        if isinstance(error, BAD_ROW):
            return AccountError(f"{self.path} {FOREIGN}: {type(error).__name__}.")
        return error.with_traceback(None)  # its frames hold links


_registry: weakref.WeakValueDictionary[Path, Database] = weakref.WeakValueDictionary()
_registry_lock = threading.Lock()
_at_fork: list[Database] = []


def _before_fork() -> None:
    _registry_lock.acquire()
    _at_fork.extend(_registry.values())
    for database in _at_fork:
        database._using.acquire()
        database._connections.close_for_fork()


def _after_fork_in_parent() -> None:
    for database in _at_fork:
        database._using.release()
    _at_fork.clear()
    _registry_lock.release()


def _after_fork_in_child() -> None:
    for database in _at_fork:
        database._pending.clear()  # the parent writes them
        database._connections.forget_room()
        database._make_locks()
    _at_fork.clear()
    _registry_lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
