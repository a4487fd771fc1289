"""Run jobs on connections to PostgreSQL: repeat what may be repeated, and say what went wrong."""

import os
import random
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, TypeVar, cast

import psycopg
from psycopg import errors

from langchain_qwen_image.account.postgres_connection import PostgresConnection, UnknownCommitError
from langchain_qwen_image.account.postgres_tables import has_tables, prepare_tables
from langchain_qwen_image.account.postgres_transaction import PostgresTransaction

__all__ = ["Problem", "Sessions"]

T = TypeVar("T")
Job = Callable[[PostgresTransaction], T]
# What another transaction is to blame for; a second try finds what that one left. A key that
# appears between a look and an INSERT is one of them: SQLite's single writer never sees it.
_OTHERS = (errors.SerializationFailure, errors.DeadlockDetected, errors.UniqueViolation)
_TRIES = 10
_FATE_SECONDS = 5.0
_inherited: list[PostgresConnection] = []


class Problem(NamedTuple):
    """Why a job failed.

    Attributes:
        text: What to tell; it may hold a password.
        is_everyones: The database is not to be had, for other jobs neither.
        may_pass: The same job may succeed later: it is the server's state, not the job.
    """

    text: str
    is_everyones: bool
    may_pass: bool


class Sessions:
    """This process's connections to one database."""

    def __init__(
        self, url: str, transaction: type[PostgresTransaction] = PostgresTransaction
    ) -> None:
        """Note the address."""
        self._url = url
        self._transaction = transaction
        self._idle: deque[PostgresConnection] = deque()
        self._open: set[PostgresConnection] = set()
        self._is_prepared = False
        weakref.finalize(self, _close_all, self._idle)

    def run(self, job: Job[T], *, reads: bool, missing: T) -> T:
        """Run a job in a transaction of its own.

        Raises:
            ConfigurationError: The tables are not ours, or the server cannot hold them.
            psycopg.Error: It failed; nothing is written.
        """
        for number in range(_TRIES):
            is_last = number == _TRIES - 1
            connection, is_new = self._connected()
            try:
                return self._run_on(connection, job, reads, missing)
            except _OTHERS:
                if is_last:
                    raise
                time.sleep(random.uniform(0, 0.005 * 2**number))  # noqa: S311 - no secret
            except UnknownCommitError as lost:
                if self._is_committed(lost.name):
                    return cast("T", lost.value)
            except (psycopg.OperationalError, psycopg.InterfaceError):
                # An idle connection may have been cut since: by the server's restart, by a
                # firewall. A new one has no such excuse. Neither had come to its COMMIT.
                if not connection.is_lost or is_new or is_last:
                    raise
            finally:
                self._give_back(connection)
        raise psycopg.OperationalError("the connection is lost again and again")

    def problem(self, error: BaseException) -> Problem | None:
        """Say what to tell of an error of psycopg; None for others."""
        if not isinstance(error, psycopg.Error):
            return None
        # The primary message alone: the details quote rows, and with them links.
        said = error.diag.message_primary or ("" if error.sqlstate else str(error))
        text = " ".join(said.split()).rstrip(".") or type(error).__name__
        may_pass = isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
        is_unreachable = isinstance(error, psycopg.OperationalError) and error.sqlstate is None
        return Problem(text, is_unreachable, may_pass)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        _close_all(self._idle)
        for connection in self._open.copy():
            if connection.is_lost:
                self._open.discard(connection)

    def leave_to_parent(self) -> None:
        """Forget the connections in a forked child, without a word to the server."""
        for connection in self._open:
            with suppress(psycopg.Error, OSError):  # it is closed, or was about to be
                os.close(connection.descriptor)
        _inherited.extend(self._open)  # collected, they would say goodbye for the parent
        self._open.clear()
        self._idle.clear()

    def _connected(self) -> tuple[PostgresConnection, bool]:
        try:
            return self._idle.pop(), False
        except IndexError:
            connection = PostgresConnection(self._url)
            self._open.add(connection)
            return connection, True

    def _give_back(self, connection: PostgresConnection) -> None:
        if connection.is_lost:
            self._open.discard(connection)
        elif threading.main_thread().is_alive():
            self._idle.append(connection)
        else:  # the interpreter is shutting down, and may be past closing what is idle
            connection.close()

    def _run_on(self, connection: PostgresConnection, job: Job[T], reads: bool, missing: T) -> T:
        if not self._is_prepared:
            if reads and not connection.read(has_tables, PostgresTransaction):
                return missing
            connection.write(prepare_tables, PostgresTransaction)
            self._is_prepared = True
        return (connection.read if reads else connection.write)(job, self._transaction)

    def _is_committed(self, name: str) -> bool:
        """Ask for the fate of a transaction whose connection was lost in its COMMIT.

        Raises:
            psycopg.Error: The server does not say.
        """
        end = time.monotonic() + _FATE_SECONDS
        while True:
            connection, _ = self._connected()
            try:
                fate = connection.is_committed(name)
            finally:
                self._give_back(connection)
            if fate is not None:
                return fate
            if time.monotonic() > end:
                raise psycopg.OperationalError("a COMMIT does not come to its end")
            time.sleep(0.05)


def _close_all(idle: deque[PostgresConnection]) -> None:
    while idle:
        idle.popleft().close()
