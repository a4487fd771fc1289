"""Signal handlers without signals: something is done, or raised, at a chosen step of this thread.

Python runs a handler between two of its own steps; so does a trace function. It takes every line
of the package that this thread executes for a step, one after the other.
"""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

_PACKAGE = "/langchain_qwen_image/"


class InterruptError(BaseException):
    """What a signal handler raises, as that of Ctrl-C does."""


def handled_at(number: int, work: Callable[[], object], handler: Callable[[], object]) -> bool:
    """Do some work, with a handler at one step of it; say whether it had so many."""
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps == number + 1:
            handler()

    _traced(work, step)
    return steps > number


def interrupted_at(number: int, work: Callable[[], object]) -> bool:
    """Do some work, with an interrupt at one step of it; say whether it had so many."""
    left = number

    def step() -> None:
        nonlocal left
        left -= 1
        if left == -1:
            raise InterruptError

    try:
        _traced(work, step)
    except InterruptError:
        return True
    return False


def _traced(work: Callable[[], object], step: Callable[[], object]) -> None:
    handling = False

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal handling
        if handling or _PACKAGE not in frame.f_code.co_filename:
            return None
        if event == "line":
            handling = True  # a handler of Python's is interrupted by others, and not by itself
            try:
                step()
            finally:
                handling = False
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(previous)
