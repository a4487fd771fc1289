"""Coroutines that tell of each of their suspensions, so that a test can cancel at every one."""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any


def cancel_at(
    number: int, work: Callable[[], Coroutine[Any, Any, Any]], *, again: bool = False
) -> "asyncio.Task[Any]":
    """Begin some work in a task that is cancelled at the suspension of that number.

    Suspensions of all tasks of the running loop count, from 1 on, in their order: the work's own
    and those of the tasks that it starts.

    Args:
        number: Of the suspension.
        work: Makes the work.
        again: Whether from then on whatever task waits for something is cancelled, too.
    """
    loop = asyncio.get_running_loop()
    left = number

    def suspended() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            task.cancel()
        elif left < 0 and again and (current := asyncio.current_task()):
            current.cancel()

    def make(
        loop: asyncio.AbstractEventLoop,
        steps: Coroutine[Any, Any, Any],
        context: Context | None = None,
        **named: Any,
    ) -> "asyncio.Task[Any]":
        return asyncio.Task(_Told(steps, suspended), loop=loop, context=context, **named)

    loop.set_task_factory(make)  # type: ignore[arg-type]
    task = loop.create_task(work())
    return task


class _Told(Coroutine[Any, Any, Any]):
    """A coroutine that says so whenever it waits for something."""

    def __init__(self, steps: Coroutine[Any, Any, Any], suspended: Callable[[], None]) -> None:
        self._steps = steps
        self._suspended = suspended

    def send(self, value: Any) -> Any:
        waits_for = self._steps.send(value)
        self._suspended()
        return waits_for

    def throw(self, *error: Any) -> Any:
        waits_for = self._steps.throw(*error)
        self._suspended()
        return waits_for

    def close(self) -> None:
        self._steps.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._steps.__await__()
