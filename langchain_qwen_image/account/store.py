"""What keeps an account's tables: the two protocols that SQLite and PostgreSQL both follow.

A step is one function of a transaction. Its SQL is written once, in the words that both know:
values are named (`:name`), money is decimal text that Python adds up, nothing is `RETURNING`.
"""

import asyncio
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol, TypeVar

from langchain_qwen_image.concurrency.interrupts import Gate
from langchain_qwen_image.errors import AccountError

__all__ = ["Commit", "NotTakenError", "Row", "Store", "Transaction"]

T = TypeVar("T")
_NONE: Mapping[str, Any] = {}


class NotTakenError(AccountError):
    """The store could not take a job: the disk is full, say, or the server is away.

    The same job may be taken later; any other error of a job stays.
    """


class Row(Protocol):
    """One row of an answer, by the names of its columns."""

    def __getitem__(self, name: str, /) -> Any:
        """Return the value of a column."""
        ...


class Transaction(Protocol):
    """One transaction on one connection: a step reads, decides and writes in it."""

    @property
    def answers_beside(self) -> Path | None:
        """The file beside which large raw answers are files of their own; None: they are rows."""
        ...

    def execute(self, sql: str, values: Mapping[str, Any] = _NONE) -> int:
        """Write, and return how many rows were."""
        ...

    def one(self, sql: str, values: Mapping[str, Any] = _NONE) -> Row | None:
        """Return the first row; None if there is none."""
        ...

    def all(self, sql: str, values: Mapping[str, Any] = _NONE) -> Sequence[Row]:
        """Return all rows."""
        ...

    def lock(
        self, sql: str, values: Mapping[str, Any] = _NONE, *, skip: bool = False
    ) -> Row | None:
        """Do what `one` does, and let nobody else change or lock that row before the end.

        With `skip`, a row that somebody else has locked is not waited for, and not returned.

        Every step that decides by a row locks it first: a call, then the totals, then others.
        """
        ...

    def now(self) -> int:
        """Return the time by the store's clock, in microseconds since 1970, UTC."""
        ...

    def hold_room(self) -> None:
        """See to it that an answer can be written later, where a disk may be full by then.

        Raises:
            OSError: It is full now.
        """
        ...

    def erased_secret(self) -> None:
        """Note that a secret was overwritten, for a store that has copies of it in a log."""
        ...


class Commit(Future[T]):
    """A job on its way to the disk: `.result()` in a thread, `await` in a task.

    It cannot be cancelled: it is written even if nothing waits for it any more.
    """

    def __init__(self) -> None:
        """Count as begun, which a future cannot be cancelled out of."""
        super().__init__()
        self.set_running_or_notify_cancel()
        self._waiting: list[Gate] = []
        self._is_over = False

    def set_result(self, result: T) -> None:
        """Note that it is on the disk, and what the job returned."""
        self._is_over = True
        super().set_result(result)
        self._open_gates()

    def set_exception(self, exception: BaseException | None) -> None:
        """Note that it is not on the disk, and why."""
        self._is_over = True
        super().set_exception(exception)
        self._open_gates()

    def result(self, timeout: float | None = None) -> T:
        """Wait for the disk, `timeout` seconds at most, and return what the job returned.

        Raises:
            TimeoutError: It is not on the disk yet.
        """
        return super().result(self._wait(timeout))

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Do what `result` does, and return what it would raise."""
        return super().exception(self._wait(timeout))

    def _wait(self, timeout: float | None) -> float | None:
        """Wait as a future does, so that no exception of a signal handler breaks it.

        Returns:
            How long a future's own wait may take.
        """
        gate = Gate()
        self._waiting.append(gate)
        if not self._is_over and not gate.wait(timeout):
            return 0
        return None

    def _open_gates(self) -> None:
        for gate in list(self._waiting):
            gate.open()

    def __await__(self) -> Generator[Any, None, T]:
        """Wait for the commit without blocking the event loop."""
        return asyncio.wrap_future(self).__await__()


class Store(Protocol):
    """Runs jobs in transactions, for any number of threads, tasks and processes."""

    @property
    def path(self) -> Path | None:
        """The file; None where there is none."""
        ...

    @property
    def shown(self) -> str:
        """The path or the address, without a password."""
        ...

    def submit(self, job: Callable[[Transaction], T]) -> Commit[T]:
        """Hand over a job to run in a transaction; its commit is done once that is on the disk.

        Its exception undoes its own work and nobody else's.
        """
        ...

    def read(self, job: Callable[[Transaction], T], *, missing: T) -> T:
        """Run a job that only reads, on one snapshot; return `missing` where nothing was written.

        Raises:
            AccountError: It cannot be read, or holds what this package did not write.
        """
        ...

    def close(self) -> None:
        """Write what is pending and close the connections; the next use opens them again."""
        ...
