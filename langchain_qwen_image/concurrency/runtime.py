"""One decision for both worlds: the core of a call is `async def` code over one of two runtimes.

Under `Blocking` nothing in it ever waits for an event loop, so that `run_blocking` drives it to
its end with a single `send(None)`; under `Asyncio` it is an ordinary coroutine. The retry rule,
the budget and the account are written once, and the type checker sees each step.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, Protocol, TypeVar

from langchain_qwen_image.concurrency.helper_threads import finished
from langchain_qwen_image.concurrency.threads import in_thread
from langchain_qwen_image.concurrency.work import current_work

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Runtime(Protocol):
    """How what may wait is done: in blocking code, or in asyncio."""

    async def either(
        self,
        blocking: Callable[_P, _T],
        asynchronous: Callable[_P, Awaitable[_T]],
        /,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        """Do the one or the other of two twins, with the same arguments."""

    async def beside(self, work: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Do blocking work where it holds nobody up: beside the event loop, if there is one."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    async def to_the_end(self, steps: "Callable[[Runtime], Coroutine[Any, Any, _T]]") -> _T:
        """Take steps that must not be left half done, however often their caller is cancelled.

        Args:
            steps: Makes the coroutine; it gets the runtime to use, which is a blocking one.

        Raises:
            CancelledError: The caller was cancelled meanwhile; the steps are done all the same.
        """


class Blocking:
    """Does everything in this thread.

    Where that is the helper thread of a call whose caller was interrupted before anything was sent,
    the next step raises `asyncio.CancelledError`, as it does in a task that was cancelled.
    """

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Take what waits, in seconds; tests put their own here."""
        self._sleep = sleep

    async def either(
        self,
        blocking: Callable[_P, _T],
        asynchronous: Callable[_P, Awaitable[_T]],
        /,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        """Do the blocking twin."""
        _stop_if_left()
        return blocking(*args, **kwargs)

    async def beside(self, work: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Do the work here."""
        _stop_if_left()
        return work(*args, **kwargs)

    async def sleep(self, seconds: float) -> None:
        """Block for so many seconds; an interrupt ends it."""
        work = current_work.get()
        if work is None or self._sleep is not time.sleep:
            self._sleep(seconds)
            return
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            work.sleep(left)
            work.stop_if_left()

    async def to_the_end(self, steps: Callable[[Runtime], Coroutine[Any, Any, _T]]) -> _T:
        """Take the steps here."""
        token = current_work.set(None)  # no step of these is stopped
        try:
            return await steps(self)
        finally:
            current_work.reset(token)


class Asyncio:
    """Does everything on the running event loop, and blocking work in a few threads."""

    def __init__(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Take what waits, in seconds; tests put their own here."""
        self._sleep = sleep

    async def either(
        self,
        blocking: Callable[_P, _T],
        asynchronous: Callable[_P, Awaitable[_T]],
        /,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        """Await the asynchronous twin."""
        return await asynchronous(*args, **kwargs)

    async def beside(self, work: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Do the work in a thread; it is done even when the task that waits is cancelled."""
        return await in_thread(work, *args, **kwargs)

    async def sleep(self, seconds: float) -> None:
        """Wait without blocking the loop."""
        await self._sleep(seconds)

    async def to_the_end(self, steps: Callable[[Runtime], Coroutine[Any, Any, _T]]) -> _T:
        """Take the steps in a thread: a loop that ends cancels every task it finds."""
        return await finished(lambda: run_blocking(steps(BLOCKING)))


BLOCKING = Blocking()
ASYNCIO = Asyncio()


def _stop_if_left() -> None:
    work = current_work.get()
    if work is not None:
        work.stop_if_left()


def run_blocking(steps: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine that was made with the `Blocking` runtime.

    Raises:
        RuntimeError: It waited for an event loop, which is a mistake in this package.
    """
    try:
        steps.send(None)
    except StopIteration as stop:
        value: _T = stop.value
        return value
    steps.close()
    raise RuntimeError("A blocking call waited for an event loop.")
