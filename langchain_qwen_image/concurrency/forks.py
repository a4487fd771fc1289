"""A fork copies the locks that other threads hold, and none of these threads.

So a fork waits for our locks, and for imports of other threads: the child would wait for ever to
import the same module. What holds a lock over a fork is a generator, so that no exception of a
signal handler leaves the lock held.
"""

import _frozen_importlib
import _imp
import os
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager
from typing import Any

from langchain_qwen_image import _lazy_model

__all__ = ["held", "hold_over_forks", "new_lock"]

IMPORT_SECONDS = 10.0  # an import that stands still for longer may be waiting for this fork
_holds: list[Callable[[], Iterable[Generator[None]]]] = [lambda: [held(_lazy_model.building)]]
_held: list[Generator[None]] = []
_locks: weakref.WeakSet[Any] = weakref.WeakSet()
# Not documented: without it, nothing is waited for.
_module_locks: dict[str, Callable[[], Any]] = getattr(_frozen_importlib, "_module_locks", {})


def hold_over_forks(holds: Callable[[], Iterable[Generator[None]]]) -> None:
    """Have generators started before each fork, and closed after it in parent and child."""
    _holds.append(holds)


def new_lock() -> AbstractContextManager[Any]:
    """Return a re-entrant lock that forks wait for last: within it no other lock is taken."""
    lock = threading.RLock()
    _locks.add(lock)
    return lock


def held(lock: AbstractContextManager[Any]) -> Generator[None]:
    """Hold a lock for as long as this generator lives."""
    with lock:
        yield


def _before() -> None:
    for is_last in (False, False, True):
        try:
            while not _has_all():
                _let_go()
        except BaseException:  # a signal handler's: Python prints what a hook raises, and goes on
            _let_go()
            if is_last:
                raise
        else:
            return


def _has_all() -> bool:
    """Take all that is to be held, and say whether there is no more of it by now.

    An import that was waited for has brought more, or a thread has made a lock.
    """
    holds, locks = list(_holds), set(_locks)
    for hold in holds:
        for one in hold():
            _start(one)
    for lock in locks:
        _start(held(lock))
    _start(_no_imports())  # last: what holds a lock of ours may have to import first
    return holds == _holds and locks.issuperset(_locks)


def _start(hold: Generator[None]) -> None:
    _held.append(hold)  # first: whatever interrupts this, the hook after the fork lets go
    next(hold)


def _no_imports() -> Generator[None]:
    seen, moved = frozenset[str](), time.monotonic()
    while True:
        _imp.acquire_lock()
        try:
            now, importing = time.monotonic(), _imported_by_others()
            if importing != seen:
                seen, moved = importing, now
            if not importing or now > moved + IMPORT_SECONDS:
                yield
                return
        finally:
            _imp.release_lock()
        time.sleep(0.001)


def _imported_by_others() -> frozenset[str]:
    """Return what other threads import, or are about to; asked with the lock for that."""
    me = threading.get_ident()
    locks = [(name, ref()) for name, ref in list(_module_locks.items())]
    return frozenset(name for name, lock in locks if getattr(lock, "owner", me) != me)


def _let_go() -> None:
    while _held:
        _held.pop().close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_let_go, after_in_child=_let_go)
