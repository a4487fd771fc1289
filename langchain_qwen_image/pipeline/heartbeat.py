"""A step that is taken every few seconds beside a call that waits, until it is ended.

In blocking code a thread takes it, in asyncio a task; both in the context of the call.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import copy_context
from typing import Any, Protocol

from langchain_qwen_image.concurrency.runtime import run_blocking

Step = Callable[[], Coroutine[Any, Any, bool]]
"""Takes the step, and returns whether there is another one."""


class Heartbeat(Protocol):
    """Steps that are being taken."""

    def end(self) -> None:
        """Begin no further step; one that has begun is not waited for."""

    def wait(self) -> None:
        """Wait until a step that has begun is done; in blocking code."""

    async def await_end(self) -> None:
        """The same in asyncio."""


async def in_task(seconds: float, step: Step) -> Heartbeat:
    """Take steps in a task of the running loop, the first after so many seconds."""
    return TaskHeartbeat(seconds, step)


class ThreadHeartbeat:
    """Takes the steps in a thread."""

    def __init__(self, seconds: float, step: Step) -> None:
        """Take the first step after so many seconds, and one after each such pause."""
        self._seconds = seconds
        self._step = step
        self._over = threading.Event()
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._beat,), name="qwen-image-progress", daemon=True
        )
        self._thread.start()

    def end(self) -> None:
        """Begin no further step."""
        self._over.set()

    def wait(self) -> None:
        """Wait until a step that has begun is done."""
        self._thread.join()

    async def await_end(self) -> None:
        """Unused: a thread beats for blocking code."""
        self.wait()

    def _beat(self) -> None:
        with suppress(asyncio.CancelledError):  # so a step of a call that nobody waits for ends
            while not self._over.wait(self._seconds) and run_blocking(self._step()):
                pass


class TaskHeartbeat:
    """Takes the steps in a task of the running loop."""

    def __init__(self, seconds: float, step: Step) -> None:
        """Take the first step after so many seconds, and one after each such pause."""
        self._seconds = seconds
        self._step = step
        self._over = asyncio.Event()
        self._task = asyncio.create_task(self._beat())

    def end(self) -> None:
        """Begin no further step."""
        self._over.set()

    def wait(self) -> None:
        """Unused: a task beats for asyncio."""

    async def await_end(self) -> None:
        """Wait until a step that has begun is done, unless this wait is cancelled."""
        await asyncio.wait({self._task})

    async def _beat(self) -> None:
        while not self._over.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), self._seconds)
                return
            if not await self._step():
                return
