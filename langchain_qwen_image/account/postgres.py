"""Keep an account in PostgreSQL, for any number of processes and machines.

Jobs queue up, reads too; up to four threads, each with a connection, run them, one transaction a
job. What one thread or task hands over runs in that order. The threads live only while there is
work and are no daemons: the interpreter waits for them at exit, and what was handed over is
written. No lock is ever held by a caller's thread, so that neither an
interrupt nor a signal handler can leave one behind.

A fork leaves the connections to the parent; the child opens its own.
"""

import contextlib
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import wait
from contextvars import ContextVar
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from langchain_qwen_image.account.connections import BAD_ROW
from langchain_qwen_image.account.database_url import hide_password, show_url, without_password
from langchain_qwen_image.account.store import Commit, NotTakenError, Transaction
from langchain_qwen_image.defaults import DATABASE_VARIABLE
from langchain_qwen_image.errors import AccountError, ConfigurationError

if TYPE_CHECKING:
    from langchain_qwen_image.account.postgres_sessions import Sessions

__all__ = ["PostgresStore"]

T = TypeVar("T")
Job = Callable[[Transaction], T]
_THREADS = 4
_INSTALL = (
    "An account in PostgreSQL needs psycopg 3, which {}. Install the extra: "
    "pip install 'langchain-qwen-image[postgres]'."
)


class _Work(NamedTuple):
    """A job, what waits for it, whether it only reads, when it was handed over, and after what."""

    job: Job[Any]
    commit: Commit[Any]
    reads: bool
    since: float
    after: Commit[Any] | None


class PostgresStore:
    """The tables of one database in this process; `PostgresStore.at` gives every caller the same.

    Attributes:
        url: The address, with its password.
        shown: The address as anyone may see it.
        path: None: it is no file.
    """

    path = None

    def __init__(self, url: str) -> None:
        """Note the address; nothing is opened before the first use.

        Raises:
            ConfigurationError: psycopg is not installed.
        """
        if find_spec("psycopg") is None:
            raise ConfigurationError(_INSTALL.format("is not installed"))
        self.url = url
        self.shown = show_url(url)
        self._sessions: Sessions | None = None
        self._start_empty()
        _stores.add(self)

    @staticmethod
    def at(url: str) -> "PostgresStore":
        """Return this process's store for the address."""
        return _registry.get(url) or _registry.setdefault(url, PostgresStore(url))

    def __repr__(self) -> str:
        return f"PostgresStore({self.shown!r})"

    def __reduce__(self) -> tuple[Callable[[str], "PostgresStore"], tuple[str]]:
        return (_unpickled, (without_password(self.url),))

    def submit(self, job: Job[T]) -> Commit[T]:
        """Hand over a job to run in a transaction; its future is done once that is on the disk.

        Its exception undoes its own work and nobody else's. A job that PostgreSQL refuses because
        of others (a deadlock, a key that appeared) runs again, so it must change nothing else.
        """
        return self._hand_over(job, reads=False)

    def read(self, job: Job[T], *, missing: T) -> T:
        """Run a job that only reads, on one snapshot; where no tables are, they are not made.

        Raises:
            ConfigurationError: The tables are not ours.
            AccountError: The database is not to be had, or holds what this package did not write.
        """
        found = self._hand_over(job, reads=True).result()
        return missing if found is _MISSING else found

    def close(self) -> None:
        """Write what is pending and close the connections; the next use opens them again."""
        wait(self._unfinished.copy())
        if self._sessions is not None:
            self._sessions.close()

    def _start_empty(self) -> None:
        # Every step on these is one call into C: no interrupt can come in between.
        self._pending: deque[_Work] = deque()
        self._seats = deque(range(_THREADS))
        self._unfinished: set[Commit[Any]] = set()
        self._failed_at = -1.0
        self._failure = ""

    def _hand_over(self, job: Job[Any], reads: bool) -> Commit[Any]:
        commit: Commit[Any] = Commit()
        last = _last.get()()
        after = last if last in self._unfinished else None
        self._unfinished.add(commit)
        self._pending.append(_Work(job, commit, reads, time.monotonic(), after))
        _last.set(weakref.ref(commit))
        self._start()
        return commit

    def _start(self) -> None:
        """See to it that somebody works; who holds a seat looks for work once more at its end."""
        if not self._seats:
            return
        # Once the interpreter is shutting down it waits for no new thread, and later starts none.
        if threading.main_thread().is_alive():
            with contextlib.suppress(RuntimeError):
                threading.Thread(target=self._work, name="qwen-image-account", daemon=False).start()
                return
        self._work()

    def _work(self) -> None:
        try:
            seat = self._seats.popleft()
        except IndexError:
            return
        try:
            while self._pending:
                with contextlib.suppress(IndexError):  # another one was quicker
                    self._finish(self._pending.popleft())
        finally:
            self._seats.append(seat)
        if self._pending:
            self._start()

    def _finish(self, work: _Work) -> None:
        try:
            value, error = self._run(work), None
        except BaseException as raised:  # what waits for a commit gets its error, whatever it is
            value, error = None, self._explained(raised, work)
        if error is None:
            work.commit.set_result(value)
        else:
            work.commit.set_exception(error)
        self._unfinished.discard(work.commit)

    def _run(self, work: _Work) -> Any:
        if work.after is not None:
            wait([work.after])  # it was taken from the queue before, so that somebody runs it
        if work.since < self._failed_at:  # it waited while the database was tried in vain
            raise (AccountError if work.reads else NotTakenError)(self._failure)
        if self._sessions is None:
            with _importing:
                self._sessions = _load(self.url)
        return self._sessions.run(work.job, reads=work.reads, missing=_MISSING)

    def _explained(self, error: BaseException, work: _Work) -> BaseException:
        problem = self._sessions and self._sessions.problem(error)
        verb = "read" if work.reads else "written"
        if problem:
            text = hide_password(problem.text, self.url)
            message = f"{self.shown} could not be {verb}: {text}."
            if problem.is_everyones:
                self._failure, self._failed_at = message, time.monotonic()
            may_pass = problem.may_pass and not work.reads
            return (NotTakenError if may_pass else AccountError)(message)
        if isinstance(error, UnicodeError):
            return AccountError(f"{self.shown} could not be {verb}: {error}.")
        if work.reads and isinstance(error, BAD_ROW):
            return AccountError(
                f"{self.shown} holds an entry that this package did not write: "
                f"{type(error).__name__}."
            )
        return error.with_traceback(None)  # its frames hold links


_MISSING = object()
# What this thread or task handed over last. Tasks and threads that it starts come after that, too.
_last: ContextVar[Callable[[], Commit[Any] | None]] = ContextVar("last", default=lambda: None)
_registry: weakref.WeakValueDictionary[str, PostgresStore] = weakref.WeakValueDictionary()
_stores: weakref.WeakSet[PostgresStore] = weakref.WeakSet()
_importing = threading.Lock()  # a fork waits for it: a child would wait for ever for the import


def _unpickled(url: str) -> PostgresStore:
    """Return the store of an address whose password was left behind, with one from here."""
    for known in [*_registry, os.environ.get(DATABASE_VARIABLE, "")]:
        if known and without_password(known) == url:
            return PostgresStore.at(known)
    return PostgresStore.at(url)


def _load(url: str) -> "Sessions":
    try:
        sessions = import_module("langchain_qwen_image.account.postgres_sessions")
    except ImportError as error:
        problem = " ".join(str(error).split())
    else:
        found: Sessions = sessions.Sessions(url)
        return found
    raise ConfigurationError(_INSTALL.format(f"could not be imported ({problem})"))


def _after_fork_in_child() -> None:
    _importing.release()
    for store in _stores:
        store._start_empty()  # the parent runs what it was handed
        if store._sessions is not None:
            store._sessions.leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_importing.acquire,
        after_in_parent=_importing.release,
        after_in_child=_after_fork_in_child,
    )
