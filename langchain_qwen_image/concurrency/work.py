"""The work of one blocking call, and the helper threads that do it."""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from queue import Empty, SimpleQueue
from typing import Any, Generic, Protocol, TypeVar, cast

import langchain_qwen_image.concurrency.forks  # noqa: F401 - from now on forks wait for imports
from langchain_qwen_image.concurrency.interrupts import Gate, start_thread

__all__ = ["KEPT", "Abandonable", "Work", "current_work", "wait_for_the_paid"]

_T = TypeVar("_T")
LINGER_SECONDS = 5.0
_BEGINS_WITHIN = 0.1  # seconds; if it does not, the thread that was to do it may have ended
_GIVEN_BACK_WITHIN = 0.25  # seconds that an interrupt waits for a call that has sent nothing
_ENDS_WITHIN = 1.0  # seconds that the interpreter's exit waits for such a call


class Abandonable(Protocol):
    """A call whose caller may go before it ends."""

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for it any more."""

    @property
    def paying(self) -> bool:
        """Whether it is worth going on with nevertheless."""

    def abandon(self) -> None:
        """Note that its caller waits no longer; a second time does nothing."""


class _Kept:
    """What goes on to its end, whether or not anyone waits for it."""

    abandoned = False
    paying = True

    def abandon(self) -> None:
        """Go on."""


class Work(Generic[_T]):
    """The work of one call, done by one helper thread."""

    def __init__(
        self, work: Callable[[], _T], call: Abandonable, then: Callable[[], object] | None = None
    ) -> None:
        """Take what to do, in a copy of the caller's context, and what to do afterwards."""
        self._call = call
        self._to_do: list[tuple[Context, Callable[[], _T]]] = [(copy_context(), work)]
        self._then = then
        self._has_begun = False
        self._was_stopped = False
        self._is_over = Gate()
        self._is_left = Gate()
        self._value: _T | None = None
        self._error: BaseException | None = None

    def hand_over(self) -> None:
        """Have it done, soon; here and now where no thread can be started."""
        _waiting.put(self)
        try:
            _idle.pop()
        except IndexError:
            self._start_thread()

    def wait(self) -> None:
        """Wait until it is over; it is begun, whatever became of the thread that was to do it."""
        while not self._is_over.wait(_BEGINS_WITHIN):
            if self._has_begun:
                self._is_over.wait()
                return
            self._start_thread()

    def see_to_it(self, loop: asyncio.AbstractEventLoop) -> asyncio.TimerHandle:
        """Have an event loop see to it that it is begun, too; cancel that when it is over."""

        def begin() -> None:
            if not self._has_begun:
                self._start_thread()

        return loop.call_later(_BEGINS_WITHIN, begin)

    def wait_at_exit(self) -> None:
        """Wait until it is over, if that is worth it."""
        self._is_over.wait(None if self._call.paying else _ENDS_WITHIN)

    def outcome(self) -> _T:
        """Return what came of it, when it is over.

        Raises:
            BaseException: What it raised.
        """
        error, self._error = self._error, None
        if error is None:
            return cast("_T", self._value)
        try:
            raise error
        finally:
            del error, self  # the error knows this frame

    def do(self) -> None:
        """Do it, unless another thread does."""
        try:
            context, work = self._to_do.pop()
        except IndexError:
            return
        self._has_begun = True
        _under_way.add(self)
        context.run(current_work.set, self)
        try:
            self._value = context.run(work)
        except BaseException as error:  # it is the caller's
            self._error = error
        finally:
            _under_way.discard(self)
            self._is_over.open()
            if self._then is not None:
                self._then()

    def leave(self) -> None:
        """Tell the call that its caller has gone, and wait a little for what that ends.

        It is told from a helper thread, where no other interrupt comes between its steps.
        """
        told = Work(self._call.abandon, KEPT)
        told.hand_over()
        told.wait()
        self._is_left.open()
        self.hand_over()  # if that was interrupted; it is done once
        if not self._call.paying:
            self._is_over.wait(_GIVEN_BACK_WITHIN)

    def sleep(self, seconds: float) -> None:
        """Sleep until the time is over, or the call's caller has gone."""
        self._is_left.wait(seconds)

    def stop_if_left(self) -> None:
        """End a call that nobody waits for, and that is not worth going on with; once.

        Raises:
            CancelledError: As in a task that is cancelled.
        """
        if self._call.abandoned and not self._call.paying and not self._was_stopped:
            self._was_stopped = True
            raise asyncio.CancelledError

    def _start_thread(self) -> None:
        try:
            start_thread(_help, "qwen-image-call")
        except RuntimeError:  # the interpreter is shutting down, or there are very many threads
            self.do()


current_work: ContextVar[Work[Any] | None] = ContextVar("current_work", default=None)
KEPT = _Kept()
_waiting: SimpleQueue[Work[Any]] = SimpleQueue()
_idle: list[None] = []  # one for each thread that waits for work; a hint
_under_way: set[Work[Any]] = set()


def wait_for_the_paid() -> None:
    """Wait until the calls that may be paid for have ended."""
    for job in list(_under_way):
        job.wait_at_exit()


def _help() -> None:
    """Do work until there has been none for a while."""
    while (work := _next()) is not None:
        work.do()
        _idle.append(None)


def _next() -> Work[Any] | None:
    """Return what is to be done next; None if this thread is to end."""
    with suppress(Empty):
        return _waiting.get(timeout=LINGER_SECONDS)
    try:
        _idle.pop()
    except IndexError:  # work was handed over to this thread meanwhile, so it is there
        with suppress(Empty):
            return _waiting.get_nowait()
    return None


def _forget_all() -> None:
    """Begin anew in a forked child: it has none of its parent's threads."""
    global _waiting
    _waiting = SimpleQueue()
    _idle.clear()
    _under_way.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
