"""Calls of this process that more than one caller may wait for, in whatever loop or thread.

The first caller of a name leads: it makes the call. Who comes while that is under way waits for it.
A caller that goes touches nobody else. When the last one goes, a POST that has left goes on in the
background to its end, and one that has not left never does.
"""

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Generic, TypeVar

from langchain_qwen_image.pipeline.cancellation import CallState, finish_detached
from langchain_qwen_image.pipeline.shared_call import Caller, SharedCall

_T = TypeVar("_T")
_MOST_KEPT = 256


class SharedCalls(Generic[_T]):
    """The calls under way by their names; safe for threads, loops and forks.

    What a call bought whose callers have all gone is kept for the next who asks for it by its name.
    An agent that is resumed repeats the tool calls that were cancelled: it gets what they bought.
    """

    def __init__(self, *, keeps: bool = True) -> None:
        """Start with none; `keeps` says whether what nobody has got is kept."""
        self._keeps = keeps
        self._under_way: dict[Hashable, SharedCall[_T]] = {}
        self._kept: dict[Hashable, SharedCall[_T]] = {}
        self._renew_lock()
        _registries.add(self)

    @contextmanager
    def taking_part(self, name: Hashable, call_state: CallState) -> Iterator[Caller[_T]]:
        """Take part in the call of that name; with the name None, in one of its own.

        Args:
            name: By what equal calls are known.
            call_state: The caller's own; where it leads, it is the call's.
        """
        caller = self._join(name, call_state)
        call_state.leave = caller.leave
        try:
            yield caller
        finally:
            call_state.leave = None
            caller.leave()

    def remove(self, caller: Caller[_T]) -> None:
        """Let a caller go; with the last one the call is given up, or goes on in the background."""
        call = caller.call
        with self._lock:
            if caller.has_left:
                return
            caller.has_left = True
            call.waiting -= 1
            if caller.leads:
                call.has_leader = False
                call.is_accounted_for |= call.call_state.paying  # who goes then has told the cost
            if call.waiting:
                return
        if call.outcome.done():
            self._settle(call)
        elif call.task is None:
            self._give_up(call)
        else:
            _do_on(call.task.get_loop(), partial(self._give_up, call))

    def accepts_cost(self, call: SharedCall[_T]) -> bool:
        """Say whether a caller that does not lead is to bear the cost, since nobody else does."""
        with self._lock:
            is_first = not (call.is_accounted_for or call.has_leader)
            call.is_accounted_for |= is_first
            return is_first

    def _join(self, name: Hashable, call_state: CallState) -> Caller[_T]:
        if name is None:
            return Caller(self, SharedCall(None, call_state), leads=True)
        with self._lock:
            call = self._kept.pop(name, None) or self._under_way.get(name)
            if call is not None and (call.has_bought or not call.outcome.done()):
                call.waiting += 1
                call.call_state.resume()
                return Caller(self, call, leads=False)
            call = self._under_way[name] = SharedCall(name, call_state)
        call.outcome.add_done_callback(lambda _: self._settle(call))
        return Caller(self, call, leads=True)

    def _give_up(self, call: SharedCall[_T]) -> None:
        """Let a call that has paid go on, and end another, unless somebody has come meanwhile."""
        with self._lock:
            if call.waiting or call.outcome.done():
                return
            is_paying = call.call_state.paying
            if not is_paying:
                self._forget(call)
            if is_paying or call.task is None:
                call.call_state.stop()
        if call.task is not None:
            finish_detached(call.task) if is_paying else call.task.cancel()

    def _settle(self, call: SharedCall[_T]) -> None:
        """Forget a call that has ended, or keep what it bought for who asks next."""
        with self._lock:
            self._forget(call)
            is_left_over = call.name is not None and not (call.waiting or call.was_taken)
            if self._keeps and is_left_over and call.has_bought:
                self._kept[call.name] = call
                if len(self._kept) > _MOST_KEPT:
                    del self._kept[next(iter(self._kept))]

    def _forget(self, call: SharedCall[_T]) -> None:
        if self._under_way.get(call.name) is call:
            del self._under_way[call.name]

    def _renew_lock(self) -> None:
        self._lock = threading.RLock()  # a signal handler may call, too

    def _after_fork(self) -> None:
        """Forget what the parent makes: it ends there."""
        self._renew_lock()
        self._under_way.clear()


_registries: "weakref.WeakSet[SharedCalls[Any]]" = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for registry in list(_registries):
        registry._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _do_on(loop: asyncio.AbstractEventLoop, work: Callable[[], None]) -> None:
    """Do something on a loop: now if that is the running one, never if it is closed."""
    running = None
    with suppress(RuntimeError):
        running = asyncio.get_running_loop()
    if running is loop:
        work()
        return
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(work)
