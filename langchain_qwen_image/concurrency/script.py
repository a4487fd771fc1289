"""Decisions once, for both worlds: a script says what to do next, a driver does it.

A script is a generator. It yields each thing that may wait as a `Do`, which knows how to be done
in blocking code and in asyncio, and gets the outcome back. So the retry rule, the budget and the
ledger stand in one place, and the sync and async twins differ in which driver they call.
"""

from collections.abc import Awaitable, Callable, Generator
from typing import Any, NamedTuple, TypeVar

_T = TypeVar("_T")


class Do(NamedTuple):
    """One thing to do that may wait, in either world, with the arguments that it takes."""

    sync: Callable[..., Any]
    asynchronous: Callable[..., Awaitable[Any]]
    arguments: tuple[Any, ...] = ()


Script = Generator[Do, Any, _T]


def drive(script: Script[_T]) -> _T:
    """Run a script in blocking code; an error of a step is raised inside the script."""
    try:
        step = next(script)
        while True:
            try:
                outcome = step.sync(*step.arguments)
            except BaseException as error:
                step = script.throw(error)
            else:
                step = script.send(outcome)
    except StopIteration as stop:
        value: _T = stop.value
        return value


async def adrive(script: Script[_T]) -> _T:
    """Run a script in asyncio; an error of a step is raised inside the script."""
    try:
        step = next(script)
        while True:
            try:
                outcome = await step.asynchronous(*step.arguments)
            except BaseException as error:
                step = script.throw(error)
            else:
                step = script.send(outcome)
    except StopIteration as stop:
        value: _T = stop.value
        return value
