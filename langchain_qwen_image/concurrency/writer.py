"""Work that is handed over from any thread, and done by one thread, in batches.

The thread is a daemon that lives a short while longer than there is work, which saves its next
start; what is pending is done before the interpreter ends. Handing over takes no lock, so that
neither an exception nor a wait of a signal handler can leave it held.
"""

import atexit
import os
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from langchain_qwen_image.concurrency.interrupts import Gate, start_thread

__all__ = ["Writer"]

_T = TypeVar("_T")
LINGER_SECONDS = 0.5
_writers: "weakref.WeakSet[Writer[object]]" = weakref.WeakSet()


class _Run:
    """One life of the thread."""

    is_over = False


class _Between:
    """What is to be done between two batches, alone."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.work = work
        self.is_done = Gate()


class Writer(Generic[_T]):
    """Does what is handed over; a forked child starts with nothing pending: its parent does it."""

    def __init__(
        self, do: Callable[[list[_T]], object], idle: Callable[[], object], name: str
    ) -> None:
        """Take what to do.

        Args:
            do: Does a batch; raises nothing.
            idle: Is called when all is done.
            name: The thread's.
        """
        self._do, self._idle, self._name = do, idle, name
        self._run: _Run | None = None
        self._forget()
        _writers.add(self)  # type: ignore[arg-type]

    def hand_over(self, item: _T) -> None:
        """Have one thing done, soon."""
        self._inbox.put(item)
        self._see_to_it()

    def run_between(self, work: Callable[[], object]) -> None:
        """Have something done after all that was handed over so far, and wait until it is."""
        step = _Between(work)
        self._inbox.put(step)
        self._see_to_it()
        step.is_done.wait()

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do, and no thread that might do something."""
        run = self._run
        return self._inbox.empty() and (run is None or run.is_over)

    def flush(self) -> None:
        """Wait until all that was handed over is done."""
        if not self.is_idle:
            self.run_between(lambda: None)

    def _see_to_it(self) -> None:
        """Make sure that a thread does what is in the inbox.

        A thread that ends says so before it looks into the inbox a last time, and what is handed
        over is there before this looks at the thread: one of the two sees the other.
        """
        run = self._run
        if run is not None and not run.is_over:
            return
        run = _Run()
        try:
            start_thread(lambda: self._live(run), self._name)
        except RuntimeError:  # the interpreter is shutting down, and starts no thread any more
            self._work_here()
        else:
            self._run = run

    def _live(self, run: _Run) -> None:
        while self._working.acquire(blocking=False):  # else another one is at it, and looks again
            try:
                run.is_over = False
                self._work(run, LINGER_SECONDS)
            finally:
                run.is_over = True
                self._working.release()
            if self._inbox.empty():
                return
        run.is_over = True

    def _work_here(self) -> None:
        while not self._inbox.empty():
            with self._working:
                self._work(None, 0)

    def _work(self, run: _Run | None, linger: float) -> None:
        while True:
            if run is not None:
                self._run = run
            item: _T | _Between | None
            try:
                item = self._inbox.get(timeout=linger)
            except Empty:
                return
            batch: list[_T] = []
            while item is not None:
                if isinstance(item, _Between):
                    self._finish(batch)
                    self._between(item)
                    batch = []
                else:
                    batch.append(item)
                item = self._next()
            self._finish(batch)
            del batch

    def _next(self) -> "_T | _Between | None":
        with suppress(Empty):
            return self._inbox.get_nowait()
        return None

    def _finish(self, batch: list[_T]) -> None:
        if batch:
            self._do(batch)
            if self._inbox.empty():
                self._idle()

    def _between(self, step: _Between) -> None:
        try:
            step.work()
        finally:
            step.is_done.open()

    def _forget(self) -> None:
        self._inbox: SimpleQueue[_T | _Between] = SimpleQueue()
        self._run = None
        self._working = threading.Lock()  # held by the one thread that does the work


def _flush_all() -> None:
    for writer in list(_writers):
        writer.flush()


def _forget_all() -> None:
    for writer in list(_writers):
        writer._forget()


atexit.register(_flush_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
