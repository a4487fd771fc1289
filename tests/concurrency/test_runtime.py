"""The core of a call is written once, and done in blocking code and in asyncio."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from waiting import PATIENCE

from langchain_qwen_image.concurrency.runtime import (
    ASYNCIO,
    BLOCKING,
    Asyncio,
    Blocking,
    Runtime,
    run_blocking,
)

Steps = Callable[[Runtime], Coroutine[Any, Any, Any]]
Run = Callable[[Steps], Any]


async def step(runtime: Runtime, outcome: object) -> object:
    """Give an outcome, or raise it, in the runtime's world."""

    def blocking(outcome: object) -> object:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def asynchronous(outcome: object) -> object:
        await asyncio.sleep(0)
        return blocking(outcome)

    return await runtime.either(blocking, asynchronous, outcome)


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run steps in either world."""
    if request.param == "sync":
        return lambda steps: run_blocking(steps(BLOCKING))
    return lambda steps: asyncio.run(steps(ASYNCIO))


def test_outcomes_come_back(run: Run) -> None:
    """Each step's outcome comes back where it was awaited, and the value comes out."""

    async def steps(runtime: Runtime) -> list[object]:
        return [await step(runtime, one) for one in (1, None, "x")]

    assert run(steps) == [1, None, "x"]


def test_no_step_at_all(run: Run) -> None:
    """A core that waits for nothing gives its value at once."""

    async def steps(_: Runtime) -> int:
        return 7

    assert run(steps) == 7


def test_an_error_of_a_step_can_be_answered(run: Run) -> None:
    """A step's error is raised where it was awaited; a core that catches it goes on."""

    async def steps(runtime: Runtime) -> object:
        try:
            await step(runtime, ValueError("x"))
        except ValueError:
            return await step(runtime, "after all")

    assert run(steps) == "after all"


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(3)])
def test_an_error_that_nobody_answers_comes_out(run: Run, error: BaseException) -> None:
    """An error that the core lets pass reaches the caller as itself, after its `finally`."""
    ended = []

    async def steps(runtime: Runtime) -> None:
        try:
            await step(runtime, error)
        finally:
            ended.append("yes")

    with pytest.raises(type(error)) as caught:
        run(steps)
    assert caught.value is error
    assert ended == ["yes"]


def test_an_error_between_steps_comes_out(run: Run) -> None:
    """An error between two steps reaches the caller."""

    async def steps(runtime: Runtime) -> None:
        await step(runtime, 1)
        raise ValueError("between")

    with pytest.raises(ValueError, match="between"):
        run(steps)


def test_cores_nest(run: Run) -> None:
    """A core may await another, with its value and its errors."""

    async def steps(runtime: Runtime) -> list[object]:
        given = [await step(runtime, 1)]
        try:
            await step(runtime, ValueError("x"))
        except ValueError as error:
            given.append(str(error))
        return given

    assert run(steps) == [1, "x"]


def test_blocking_work_and_waits(run: Run) -> None:
    """Work beside the loop gives its value, and waits take the seconds that they are asked for."""
    slept: list[float] = []

    async def asleep(seconds: float) -> None:
        slept.append(seconds)

    async def steps(runtime: Runtime) -> int:
        own = Blocking(slept.append) if runtime is BLOCKING else Asyncio(asleep)
        await own.sleep(3.0)
        return await own.beside(int, "12")

    assert run(steps) == 12
    assert slept == [3.0]


def test_steps_to_the_end_come_back(run: Run) -> None:
    """What must not be left half done gives its value and its errors as any other step."""

    async def steps(runtime: Runtime) -> object:
        with pytest.raises(ValueError, match="x"):
            await runtime.to_the_end(lambda world: step(world, ValueError("x")))
        return await runtime.to_the_end(lambda world: step(world, 7))

    assert run(steps) == 7


@pytest.mark.parametrize("cancellations", [1, 3])
def test_no_cancellation_ends_what_goes_to_the_end(cancellations: int) -> None:
    """Steps to the end are done however often their task is cancelled; then it is cancelled."""
    begun, go_on, done = threading.Event(), threading.Event(), list[str]()

    async def halves(runtime: Runtime) -> None:
        await runtime.beside(begun.set)
        await runtime.beside(go_on.wait, PATIENCE)
        await runtime.beside(done.append, "both halves")

    async def cancelled() -> bool:
        task = asyncio.create_task(ASYNCIO.to_the_end(halves))
        await asyncio.to_thread(begun.wait, PATIENCE)
        for _ in range(cancellations):
            task.cancel()
            await asyncio.sleep(0)
        assert not task.done()
        go_on.set()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(cancelled())
    assert done == ["both halves"]


def test_a_loop_that_ends_waits_for_what_goes_to_the_end() -> None:
    """`asyncio.run` cancels what it finds when it ends, and still lets it come to its end."""
    done = list[str]()

    async def late(runtime: Runtime) -> None:
        await runtime.sleep(0.05)
        await runtime.beside(done.append, "done")

    async def leave() -> None:
        tasks.append(asyncio.create_task(ASYNCIO.to_the_end(late)))
        await asyncio.sleep(0)

    tasks: list[asyncio.Task[None]] = []
    asyncio.run(leave())
    assert done == ["done"]
    assert tasks[0].cancelled()


def test_waiting_in_a_blocking_call_is_a_mistake() -> None:
    """A core that waits for a loop under the blocking runtime is stopped, and says so."""
    ended = []

    async def waits() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            ended.append("yes")

    with pytest.raises(RuntimeError, match="waited for an event loop"):
        run_blocking(waits())
    assert ended == ["yes"]
