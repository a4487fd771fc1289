"""A line in a notebook that counts the seconds while calls wait; silent anywhere else."""

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import copy_context
from threading import Event, Lock, Thread
from uuid import uuid4

_TICK_SECONDS = 1.0  # A call that is answered sooner, as in the sandbox, leaves no line.

_lock = Lock()
_wait: "_Wait | None" = None


def in_notebook() -> bool:
    """Say whether this is a notebook's kernel, without importing anything of it."""
    return _in_jupyter() or in_marimo()


def in_marimo() -> bool:
    """Say whether a cell of a marimo notebook runs in this thread."""
    marimo = sys.modules.get("marimo")
    return marimo is not None and bool(marimo.running_in_notebook())


def waiting() -> AbstractContextManager[None]:
    """Show in Jupyter how long calls wait; calls at the same time share one line."""
    return _counted() if _in_jupyter() else nullcontext()  # marimo shows which cell runs


def _in_jupyter() -> bool:
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


class _Wait:
    """One line: from the first call that waits to the last that is answered."""

    def __init__(self) -> None:
        self.calls = 0
        self.unanswered = 0
        self._line = uuid4().hex
        self._over = Event()
        # The copied context says which cell the line belongs to.
        self._ticker = Thread(target=copy_context().run, args=(self._tick,), daemon=True)
        self._ticker.start()

    def end(self) -> None:
        """Say the last word, before the cell ends."""
        self._over.set()
        self._ticker.join()

    def _tick(self) -> None:
        started, shown = time.monotonic(), False
        while not self._over.wait(_TICK_SECONDS):
            seconds = time.monotonic() - started
            which = f"{self.unanswered} of {self.calls} calls" if self.calls > 1 else "the image"
            self._say(f"Qwen-Image: waiting for {which}, {seconds:.0f} s", again=shown)
            shown = True
        if shown:
            calls = f"{self.calls} calls" if self.calls > 1 else "1 call"
            self._say(f"Qwen-Image: {calls}, {time.monotonic() - started:.0f} s", again=True)

    def _say(self, text: str, *, again: bool) -> None:
        show = sys.modules["IPython"].display.display
        show({"text/plain": text}, raw=True, display_id=self._line, update=again)


@contextmanager
def _counted() -> Iterator[None]:
    wait = _begin()
    try:
        yield
    finally:
        _end(wait)


def _begin() -> _Wait:
    global _wait
    with _lock:
        _wait = _wait or _Wait()
        _wait.calls += 1
        _wait.unanswered += 1
        return _wait


def _end(wait: _Wait) -> None:
    global _wait
    with _lock:
        wait.unanswered -= 1
        is_last = not wait.unanswered
        if is_last:
            _wait = None
    if is_last:
        wait.end()
