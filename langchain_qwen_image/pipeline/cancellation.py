"""What becomes of a call that its caller cancels.

A POST that has left is paid for, so its answer is worth having: the call goes on in the background
to its end, and its image is saved and booked. A POST that has not left never does. Either way the
caller gets the cancellation at once, and httpx never sees it: its pool breaks after some thousands
of cancelled requests (httpcore 1.0, encode/httpcore#1093).
"""

import asyncio
import logging
import time
from collections.abc import Coroutine, Hashable
from contextvars import Context
from functools import partial
from typing import Any, Generic, TypeVar

from langchain_qwen_image.errors import QwenImageError
from langchain_qwen_image.transport.call import Call

_T = TypeVar("_T")
_MOST_DETACHED = 256
_NO_CONTEXT = Context()
_background: set[asyncio.Task[object]] = set()

logger = logging.getLogger("langchain_qwen_image")


class CallState:
    """One call under way: whether a POST is out, and whether anybody still waits."""

    __slots__ = ("_exchange", "abandoned", "paying", "tool_call_id")

    def __init__(self, tool_call_id: str | None = None) -> None:
        """Start with nothing sent; `tool_call_id` is the model's name of the call."""
        self.tool_call_id = tool_call_id
        self.paying = False
        self.abandoned = False
        self._exchange: Call | None = None

    def start_post(self, connect_seconds: float, answer_seconds: float) -> Call:
        """Note that a POST is on its way, and return its deadlines."""
        latest = time.monotonic() + connect_seconds + answer_seconds
        self._exchange = Call(latest, answer_within=answer_seconds)
        self._exchange.abandoned = self.abandoned
        self.paying = True
        return self._exchange

    def not_billed(self) -> None:
        """Note that the last POST provably bought nothing."""
        self.paying = False

    def may_be_billed(self, error: BaseException) -> bool:
        """Say whether the call may be paid for, now that it has ended in `error`.

        Our own errors know; any other, such as Ctrl-C, may have met a POST that was out.
        """
        return error.may_have_been_billed if isinstance(error, QwenImageError) else self.paying

    def abandon(self) -> None:
        """Note that nobody waits any more; a POST that has not left will not."""
        self._set_abandoned(abandoned=True)

    def resume(self) -> None:
        """Note that somebody waits again."""
        self._set_abandoned(abandoned=False)

    def _set_abandoned(self, *, abandoned: bool) -> None:
        self.abandoned = abandoned
        if self._exchange is not None:
            self._exchange.abandoned = abandoned


class DetachedCalls(Generic[_T]):
    """Paid calls that lost their caller, for a caller that asks for the same again.

    An agent that is resumed repeats the tool calls that were cancelled: it gets what they bought.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._calls: dict[Hashable, tuple[CallState, asyncio.Task[_T]]] = {}

    def add(self, name: Hashable, call_state: CallState, task: asyncio.Task[_T]) -> None:
        """Remember a call by its name; the oldest is forgotten when there are very many."""
        self._calls[name] = (call_state, task)
        if len(self._calls) > _MOST_DETACHED:
            del self._calls[next(iter(self._calls))]

    def reattach(self, name: Hashable) -> tuple[CallState, asyncio.Task[_T]] | None:
        """Hand out the call of that name, unless it bought nothing or its loop is gone."""
        found = self._calls.pop(name, None)
        if found is None:
            return None
        call_state, task = found
        if task.done():
            return found if _may_have_bought(call_state, task) else None
        if task.get_loop() is not asyncio.get_running_loop():
            return None
        call_state.resume()
        return found


async def finish_in_background(
    steps: Coroutine[Any, Any, _T],
    call_state: CallState,
    detached: DetachedCalls[_T] | None = None,
    name: Hashable = None,
) -> _T:
    """Run the steps of a call; when its caller is cancelled, a paid call finishes all the same.

    With a name, the call is known again: an earlier one of that name is waited for in its place.
    """
    found = detached.reattach(name) if detached is not None else None
    if found is None:
        task = asyncio.ensure_future(steps)
    else:
        steps.close()
        call_state, task = found
    ended = asyncio.get_running_loop().create_future()
    # As asyncio.shield does, with half of its objects: one of these waits for each call.
    task.add_done_callback(partial(_wake, ended), context=_NO_CONTEXT)
    try:
        await ended
        return task.result()
    except asyncio.CancelledError:
        if call_state.paying:
            call_state.abandon()
            _background.add(task)
            task.add_done_callback(_finished)
            if detached is not None and name is not None:
                detached.add(name, call_state, task)
        else:
            task.cancel()
        raise


def _wake(ended: asyncio.Future[None], task: asyncio.Task[Any]) -> None:
    if not ended.done():
        ended.set_result(None)
    elif not task.cancelled():
        task.exception()  # nobody waits to be told


def _may_have_bought(call_state: CallState, task: asyncio.Task[Any]) -> bool:
    if task.cancelled():
        return False
    error = task.exception()
    return error is None or call_state.may_be_billed(error)


def _finished(task: asyncio.Task[object]) -> None:
    _background.discard(task)
    if task.cancelled():
        logger.info("a cancelled call was cut off before its answer came")
    elif error := task.exception():
        logger.info("a cancelled call ended: %s", error)
    else:
        logger.info("a cancelled call was answered after all")
