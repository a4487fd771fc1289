"""One call that more than one caller may wait for, and each of these callers.

What is noted here is changed by `SharedCalls` alone, under its lock.
"""

import asyncio
import copy
import threading
from collections.abc import Callable, Coroutine, Hashable
from concurrent.futures import Future
from contextlib import suppress
from contextvars import Context
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from langchain_qwen_image.pipeline.cancellation import CallState
from langchain_qwen_image.transport.failures import GivenUpError

_T = TypeVar("_T")
_Steps = Coroutine[Any, Any, _T]


class CutOffError(Exception):
    """The call that was waited for was stopped: its loop was closed, or its caller had gone.

    Attributes:
        was_paying: Whether its POST was out, so that it may be paid for.
    """

    def __init__(self, *, was_paying: bool) -> None:
        """Note whether it may be paid for."""
        super().__init__("The call was cut off before it ended.")
        self.was_paying = was_paying


class SharedCall(Generic[_T]):
    """One call, and what is known of those who wait for it.

    Attributes:
        name: By what others find it; None if nobody else may.
        call_state: Whether a POST of it is out.
        waiting: How many callers wait for it.
        has_leader: Whether the one that makes it is among them.
        is_accounted_for: Whether a caller has its cost already.
        was_taken: Whether a caller has got what came of it.
        task: What makes it, where that is a task.
        outcome: What came of it.
    """

    def __init__(self, name: Hashable, call_state: CallState) -> None:
        """Begin with one caller, which leads."""
        self.name = name
        self.call_state = call_state
        self.waiting = 1
        self.has_leader = True
        self.is_accounted_for = False
        self.was_taken = False
        self.task: asyncio.Task[_T] | None = None
        self.outcome: Future[_T] = Future()
        self.outcome.set_running_or_notify_cancel()  # who waits for it cannot cancel it

    @property
    def has_bought(self) -> bool:
        """Whether it has ended, and has bought something or may have."""
        if not self.outcome.done():
            return False
        error = self.outcome.exception()
        if isinstance(error, CutOffError):
            return False
        return error is None or self.call_state.may_be_billed(error)

    async def noted(self, steps: Coroutine[Any, Any, _T]) -> _T:
        """Take the steps of the call, and tell all who wait what came of them."""
        try:
            result = await steps
        except BaseException as error:
            self._fail(error)
            raise
        self.outcome.set_result(result)
        return result

    def note(self, task: asyncio.Task[_T]) -> None:
        """Tell all who wait what came of the task that made the call."""
        if task.cancelled():
            self._fail(asyncio.CancelledError())
        elif error := task.exception():
            self._fail(error)
        else:
            self.outcome.set_result(task.result())

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, GivenUpError):  # another caller may have come too late to prevent it
            error = CutOffError(was_paying=False)
        elif not isinstance(error, Exception):  # it was meant for the one who led
            error = CutOffError(was_paying=self.call_state.paying)
        self.outcome.set_exception(error)


class Registry(Protocol):
    """Where a call is known by its name; `SharedCalls` is one."""

    def remove(self, caller: "Caller[Any]") -> None:
        """Let a caller go."""

    def accepts_cost(self, call: SharedCall[Any]) -> bool:
        """Say whether a caller that does not lead is to bear the cost."""


class Caller(Generic[_T]):
    """One of those who wait for a call; the one that leads makes it.

    Attributes:
        call: The call.
        leads: Whether this caller makes it.
    """

    def __init__(self, registry: Registry, call: SharedCall[_T], leads: bool) -> None:
        """Take part; `SharedCalls.taking_part` makes it."""
        self.call = call
        self.leads = leads
        self.has_left = False
        self._registry = registry
        self._woken = threading.Event()

    def lead(
        self, run: Callable[[Coroutine[Any, Any, _T]], _T], steps: Callable[[], _Steps[_T]]
    ) -> None:
        """Make the call, which takes these steps, by `run`.

        Raises:
            Exception: What it ends in, which comes to all who wait.
        """
        try:
            run(self.call.noted(steps()))
        except Exception:
            self.call.was_taken = True
            raise

    async def alead(self, steps: Callable[[], _Steps[_T]]) -> None:
        """Async twin of `lead`, in a task of the running loop that may outlive this caller."""
        task = self.call.task = asyncio.ensure_future(steps())
        ended = asyncio.get_running_loop().create_future()
        # As asyncio.shield does, with half of its objects: one of these waits for each call. The
        # context is new: one that a callback of another loop is in at the moment cannot be entered.
        context = Context()
        task.add_done_callback(self.call.note, context=context)
        task.add_done_callback(partial(_wake, ended), context=context)
        await ended
        self.call.was_taken = True
        task.result()

    def wait(self, seconds: float) -> bool:
        """Wait for the end of the call, and say whether it came in time.

        Raises:
            CancelledError: This caller has left, as an interrupt in its thread makes it.
        """
        self.call.outcome.add_done_callback(lambda _: self._woken.set())
        self._woken.wait(seconds)
        if self.has_left:
            raise asyncio.CancelledError
        return self.call.outcome.done()

    async def await_end(self, seconds: float) -> bool:
        """Async twin of `wait`, on any loop."""
        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        def tell(_: object) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(_wake, ended)

        self.call.outcome.add_done_callback(tell)
        await asyncio.wait([ended], timeout=seconds)
        return self.call.outcome.done()

    def leave(self) -> None:
        """Wait no longer; a second time does nothing."""
        self._registry.remove(self)
        self._woken.set()

    def take(self) -> tuple[_T, bool]:
        """Return what came of a call that has ended, and whether its cost is this caller's.

        Raises:
            CutOffError: It was stopped from outside.
            Exception: What it ended in.
        """
        call = self.call
        call.was_taken = True
        if error := call.outcome.exception():
            with suppress(Exception):  # one of a class of the caller's may refuse to be copied
                error = copy.copy(error)
            raise error
        return call.outcome.result(), self.leads or self._registry.accepts_cost(call)


def _wake(ended: asyncio.Future[None], _: object = None) -> None:
    if not ended.done():
        ended.set_result(None)
