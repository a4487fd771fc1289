"""How a bulk run ends early: what waits is woken, and what has left is settled."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

_T = TypeVar("_T")


class RunStoppedError(Exception):
    """The run ends, and the request was not sent; a resumed run sends it."""


class Stoppable:
    """The tasks of one event loop that end together.

    Attributes:
        failure: What ended them, if anything did.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self.failure: Exception | None = None
        self._stopping = False
        self._idle: set[asyncio.Task[object]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Take the running loop for that of the run."""
        self._loop = asyncio.get_running_loop()

    def stop(self) -> None:
        """Send nothing more, and wake up the tasks that wait; safe for threads."""
        self._stopping = True
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: the run is over
                self._loop.call_soon_threadsafe(self._wake)

    def end(self, failure: Exception) -> None:
        """Stop because of a failure; the first one counts."""
        self.failure = self.failure or failure
        self.stop()

    async def unless_stopped(self, waiting: Callable[[], Awaitable[_T]]) -> _T:
        """Wait for something that costs nothing to give up.

        Raises:
            RunStoppedError: The run was stopped first.
        """
        if self._stopping:
            raise RunStoppedError
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker
        self._idle.add(task)
        try:
            return await waiting()
        except asyncio.CancelledError:
            if not self._stopping:
                raise
            task.uncancel()
            raise RunStoppedError from None
        finally:
            self._idle.discard(task)

    def _wake(self) -> None:
        for task in self._idle:
            task.cancel()
