"""Blocking calls of the main thread: a helper thread does the work, and the main thread waits.

An interrupt, Ctrl-C or whatever a signal handler raises, then hits no line of the work. The call is
told that its caller has gone, and decides what becomes of it, as with a cancelled task. Other
threads are never interrupted: they do their work themselves.
"""

import asyncio
import atexit
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from langchain_qwen_image.concurrency.interrupts import in_main_thread
from langchain_qwen_image.concurrency.work import (
    KEPT,
    Abandonable,
    Work,
    current_work,
    wait_for_the_paid,
)

__all__ = ["finished", "interruptible"]

_T = TypeVar("_T")


def interruptible(work: Callable[[], _T], call: Abandonable) -> _T:
    """Do blocking work so that an interrupt breaks the wait for it, and nothing else.

    It goes on in the background then, and `call` is told that its caller has gone.
    """
    if not in_main_thread():
        return _done_here(work)
    job = Work(work, call)
    try:
        job.hand_over()
        job.wait()
    except BaseException:
        try:
            job.leave()
        except BaseException:  # a second interrupt
            with suppress(BaseException):
                job.leave()
        raise
    return job.outcome()


async def finished(work: Callable[[], _T]) -> _T:
    """Do blocking work beside the event loop, and wait for its end whatever is cancelled.

    Raises:
        CancelledError: The task that waits was cancelled; the work is done all the same.
    """
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    job = Work(work, KEPT, then=partial(_tell, loop, ended))
    job.hand_over()
    timer = job.see_to_it(loop)
    cancelled = None
    while not ended.is_set():
        try:
            await ended.wait()
        except asyncio.CancelledError as error:
            cancelled = error
    timer.cancel()
    if cancelled is not None:
        raise cancelled
    return job.outcome()


def _tell(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits
        loop.call_soon_threadsafe(ended.set)


def _done_here(work: Callable[[], _T]) -> _T:
    if current_work.get() is None:
        return work()
    token = current_work.set(None)  # within another call's work, this is one of its own
    try:
        return work()
    finally:
        current_work.reset(token)


def _end() -> None:
    """Let the interpreter end when calls that may be paid for have; Ctrl-C ends it at once."""
    with suppress(KeyboardInterrupt):
        wait_for_the_paid()


atexit.register(_end)
