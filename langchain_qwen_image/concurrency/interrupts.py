"""What an exception of a signal handler cannot break: starting a thread, and waiting for one.

Python runs signal handlers in the main thread, between any two of its steps; Ctrl-C is one that
raises. `Thread.start`, `Event.wait` and `Future.result` are many steps, and an exception between
some of them leaves a lock held, or comes out as another one. What is here is one call of C.
"""

import _thread
import sys
import threading
from collections.abc import Callable

__all__ = ["Gate", "in_main_thread", "start_thread"]

# On Windows nothing interrupts a wait for a lock: it is made in pieces, in seconds.
_PIECE = 0.2 if sys.platform == "win32" else threading.TIMEOUT_MAX


def in_main_thread() -> bool:
    """Say whether this thread is the one that signal handlers run in."""
    return threading.get_ident() == threading.main_thread().ident


def start_thread(work: Callable[[], object], name: str) -> None:
    """Start a thread that the interpreter does not wait for at its exit.

    Raises:
        RuntimeError: There can be no more threads, or the interpreter is shutting down.
    """
    if in_main_thread():
        _thread.start_new_thread(_start, (work, name))
    else:
        threading.Thread(target=work, name=name, daemon=True).start()


def _start(work: Callable[[], object], name: str) -> None:
    try:
        threading.Thread(target=work, name=name, daemon=True).start()
    except RuntimeError:  # this thread is the last that there could be
        work()


class Gate:
    """Is opened once, by any thread; one thread waits for it."""

    def __init__(self) -> None:
        """Start closed."""
        self._lock = _thread.allocate_lock()
        self._lock.acquire()

    def open(self) -> None:
        """Let the one that waits go on, now or when it comes."""
        if self._lock.locked():
            self._lock.release()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is open, or at most so many seconds; say whether it is."""
        if seconds is not None:
            return self._lock.acquire(timeout=max(seconds, 0))
        while not self._lock.acquire(timeout=_PIECE):
            pass
        return True
