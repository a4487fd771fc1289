"""Ctrl-C in a command that pays: the first finishes what is paid for, the second leaves.

SIGTERM and SIGHUP mean the same: their sender does not want to lose paid images either.
"""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NamedTuple, TypeVar

_T = TypeVar("_T")
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP


class Ended(NamedTuple):
    """How interruptible work ended.

    Attributes:
        value: What it returned; None if it was left.
        status: Exit status by the shell's rule, 128 and the first signal's number; 0 without one.
    """

    value: Any
    status: int


def run_interruptible(
    work: Coroutine[Any, Any, _T], finish: Callable[[asyncio.Task[_T]], None]
) -> Ended:
    """Run a coroutine to its end.

    The first signal calls `finish`, in the event loop; the second cancels the work; the third is
    a `KeyboardInterrupt`.

    Args:
        work: What to run.
        finish: Lets the work begin nothing new, and end on its own.
    """
    signals: list[int] = []
    with asyncio.Runner() as runner:
        loop = runner.get_loop()

        async def watch() -> _T | None:
            task = asyncio.ensure_future(work)
            steps.extend([task.cancel, lambda: finish(task)])
            react()  # to what came before there was a task
            try:
                return await task
            except asyncio.CancelledError:
                if not signals:
                    raise
                return None

        steps: list[Callable[[], Any]] = []

        def react() -> None:
            while steps and 2 - len(steps) < len(signals):
                steps.pop()()

        def handle(number: int, _: FrameType | None) -> None:
            signals.append(number)
            if len(signals) > 2:
                raise KeyboardInterrupt
            loop.call_soon_threadsafe(react)

        with _handled(handle):
            value = runner.run(watch())
    return Ended(value, 128 + signals[0] if signals else 0)


@contextmanager
def _handled(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle the signals, but those that this process was started to ignore, as `nohup` does."""
    previous = {}
    try:
        for name in _SIGNALS:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                previous[number] = signal.signal(number, handle)
    except ValueError:  # not in the main thread: nothing is interrupted there
        pass
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
