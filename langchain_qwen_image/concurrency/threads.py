"""Blocking work beside an event loop, in few threads."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

THREADS = 8
"""Threads a process: as many images are fetched at once, and wait in little memory."""

_P = ParamSpec("_P")
_T = TypeVar("_T")
_executors: dict[int, ThreadPoolExecutor] = {}


async def in_thread(work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Run blocking work in one of a few threads and return what it returns.

    Work that was asked for is done even when the task that waits for it is cancelled: it may be
    about an image that is paid for.
    """
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def tell(_: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(_wake, ready)

    job: Future[_T] = Future()
    job.add_done_callback(tell)
    once = partial(_do, [partial(copy_context().run, work, *args, **kwargs)], job)
    try:
        _executor().submit(once)
    except RuntimeError:  # the interpreter is shutting down, and starts no thread any more
        once()
    await ready
    return job.result()


def _do(to_do: list[Callable[[], _T]], job: Future[_T]) -> None:
    """Do it, unless another thread does: an executor that complains may do it all the same."""
    try:
        work = to_do.pop()
    except IndexError:
        return
    try:
        value = work()
    except BaseException as error:  # it is the caller's
        job.set_exception(error)
    else:
        job.set_result(value)


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _executor() -> ThreadPoolExecutor:
    """Return this process's executor; a forked child has none of its parent's threads."""
    process = os.getpid()
    if process not in _executors:
        _executors.setdefault(process, ThreadPoolExecutor(THREADS, "qwen-image"))
    return _executors[process]
