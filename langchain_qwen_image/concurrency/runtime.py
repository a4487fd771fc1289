"""One decision for both worlds: the core of a call is `async def` code over one of two runtimes.

Under `Blocking` nothing in it ever waits for an event loop, so that `run_blocking` drives it to
its end with a single `send(None)`; under `Asyncio` it is an ordinary coroutine. The retry rule,
the budget and the ledger are written once, and the type checker sees each step.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, Protocol, TypeVar

from langchain_qwen_image.concurrency.threads import in_thread

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


class Blocking:
    """Does everything in the caller's thread."""

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
        return blocking(*args, **kwargs)

    async def beside(self, work: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Do the work here."""
        return work(*args, **kwargs)

    async def sleep(self, seconds: float) -> None:
        """Block for so many seconds."""
        self._sleep(seconds)


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


BLOCKING = Blocking()
ASYNCIO = Asyncio()


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
