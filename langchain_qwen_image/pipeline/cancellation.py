"""What becomes of a call that its caller cancels.

A POST that has left is paid for, so its answer is worth having: the call goes on in the background
to its end, and its image is saved and booked. A POST that has not left never does. Either way the
caller gets the cancellation at once, and httpx never sees it: its pool breaks after some thousands
of cancelled requests (httpcore 1.0, encode/httpcore#1093). Ctrl-C in a blocking call of the main
thread is the same: a helper thread makes the call.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from contextvars import Context
from functools import partial
from typing import Any, TypeVar

from langchain_qwen_image.concurrency.helper_threads import interruptible
from langchain_qwen_image.concurrency.runtime import run_blocking
from langchain_qwen_image.errors import QwenImageError
from langchain_qwen_image.transport.call import Call, Lease

_T = TypeVar("_T")
_background: set[asyncio.Task[object]] = set()

logger = logging.getLogger("langchain_qwen_image")


class CallState:
    """One call under way: whether a POST is out, and whether anybody still waits."""

    __slots__ = ("_exchange", "abandoned", "call_id", "has_sent", "leave", "paying", "tool_call_id")

    def __init__(self, tool_call_id: str | None = None) -> None:
        """Start with nothing sent; `tool_call_id` is the model's name of the call."""
        self.tool_call_id = tool_call_id
        self.call_id: str | None = None  # in the account, when it is about to be sent
        self.paying = False
        self.has_sent = False
        self.abandoned = False
        self.leave: Callable[[], None] | None = None
        self._exchange: Call | None = None

    def start_post(
        self, connect_seconds: float, answer_seconds: float, lease: Lease | None = None
    ) -> Call:
        """Note that a POST is on its way, and return its deadlines."""
        latest = time.monotonic() + connect_seconds + answer_seconds
        self._exchange = Call(latest, answer_within=answer_seconds, lease=lease)
        self._exchange.abandoned = self.abandoned
        self.paying = self.has_sent = True
        return self._exchange

    def not_billed(self) -> None:
        """Note that the last POST provably bought nothing."""
        self.paying = False

    def may_be_billed(self, error: BaseException) -> bool:
        """Say whether the call may be paid for, now that it has ended in `error`.

        Our own errors know, where this call sent anything: it may have met what an earlier one came
        to. Any other error, such as Ctrl-C, may have met a POST that was out: not one whose
        connection was still being made.
        """
        if isinstance(error, QwenImageError):
            return error.may_have_been_billed and self.has_sent
        return self.paying and (self._exchange is None or self._exchange.may_have_left)

    @property
    def seconds_left(self) -> float | None:
        """How long the answer to the POST that is out may take from now on; None without one."""
        if self._exchange is None or not self.paying:
            return None
        return max(self._exchange.deadline - time.monotonic(), 0.0)

    def abandon(self) -> None:
        """Note that its caller waits no longer; where others wait for the same call, it goes on."""
        if self.leave is None:
            self.stop()
        else:
            self.leave()

    def stop(self) -> None:
        """Note that nobody waits any more; a POST that has not left will not."""
        self._set_abandoned(abandoned=True)

    def resume(self) -> None:
        """Note that somebody waits again."""
        self._set_abandoned(abandoned=False)

    def _set_abandoned(self, *, abandoned: bool) -> None:
        self.abandoned = abandoned
        if self._exchange is not None:
            self._exchange.abandoned = abandoned


async def finish_in_background(steps: Coroutine[Any, Any, _T], call_state: CallState) -> _T:
    """Run the steps of a call; when its caller is cancelled, a paid call finishes all the same."""
    task = asyncio.ensure_future(steps)
    ended = asyncio.get_running_loop().create_future()
    # As asyncio.shield does, with half of its objects: one of these waits for each call. The
    # context is new: one that a callback of another loop is in at the moment cannot be entered.
    task.add_done_callback(partial(_wake, ended), context=Context())
    try:
        await ended
        return task.result()
    except asyncio.CancelledError:
        if call_state.paying:
            call_state.stop()
            finish_detached(task)
        else:
            task.cancel()
        raise


def finish_in_helper(steps: Callable[[], Coroutine[Any, Any, _T]], call_state: CallState) -> _T:
    """Blocking twin of `finish_in_background`, for an interrupt in the main thread."""
    return interruptible(lambda: run_blocking(_told_if_left(steps(), call_state)), call_state)


async def _told_if_left(steps: Coroutine[Any, Any, _T], call_state: CallState) -> _T:
    try:
        result = await steps
    except BaseException as error:
        if call_state.abandoned:
            logger.info("a cancelled call ended: %s", str(error) or type(error).__name__)
        raise
    if call_state.abandoned:
        logger.info("a cancelled call was answered after all")
    return result


def finish_detached(task: asyncio.Task[Any]) -> None:
    """Let a task go on for which nobody waits any more, and say in the log what became of it."""
    _background.add(task)
    task.add_done_callback(_finished)


def in_background() -> list[asyncio.Task[object]]:
    """Return the running loop's calls for which nobody waits any more."""
    loop = asyncio.get_running_loop()
    return [task for task in list(_background) if task.get_loop() is loop]


def _wake(ended: asyncio.Future[None], task: asyncio.Task[Any]) -> None:
    if not ended.done():
        ended.set_result(None)
    elif not task.cancelled():
        task.exception()  # nobody waits to be told


def _finished(task: asyncio.Task[object]) -> None:
    _background.discard(task)
    if task.cancelled():
        logger.info("a cancelled call was cut off before its answer came")
    elif error := task.exception():
        logger.info("a cancelled call ended: %s", error)
    else:
        logger.info("a cancelled call was answered after all")
