"""Scripts: decisions once, done in blocking code and in asyncio."""

import asyncio

import pytest

from langchain_qwen_image.concurrency.script import Do, Script, adrive, drive


def step(outcome: object) -> Do:
    """Return a step that gives an outcome, or raises it."""

    def sync() -> object:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def asynchronous() -> object:
        await asyncio.sleep(0)
        return sync()

    return Do(sync, asynchronous)


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest):
    """Run a script on either driver."""
    if request.param == "sync":
        return drive
    return lambda script: asyncio.run(adrive(script))


def test_outcomes_go_into_the_script(run) -> None:
    """Each step's outcome comes back at its `yield`, and the script's value comes out."""

    def script() -> Script[list[object]]:
        return [(yield step(1)), (yield step(None)), (yield step("x"))]

    assert run(script()) == [1, None, "x"]


def test_a_script_without_steps(run) -> None:
    """A script that waits for nothing gives its value at once."""

    def script() -> Script[int]:
        return 7
        yield

    assert run(script()) == 7


def test_an_error_of_a_step_can_be_answered(run) -> None:
    """A step's error is raised at its `yield`; a script that catches it goes on."""

    def script() -> Script[object]:
        try:
            yield step(ValueError("x"))
        except ValueError:
            return (yield step("after all"))

    assert run(script()) == "after all"


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(3)])
def test_an_error_that_nobody_answers_comes_out(run, error: BaseException) -> None:
    """An error that the script lets pass reaches the caller as itself, after its `finally`."""
    ended = []

    def script() -> Script[None]:
        try:
            yield step(error)
        finally:
            ended.append("yes")

    with pytest.raises(type(error)) as caught:
        run(script())
    assert caught.value is error
    assert ended == ["yes"]


def test_an_error_of_the_script_comes_out(run) -> None:
    """An error between two steps reaches the caller."""

    def script() -> Script[None]:
        yield step(1)
        raise ValueError("between")

    with pytest.raises(ValueError, match="between"):
        run(script())


def test_scripts_nest(run) -> None:
    """A script may be a step of another, with its value and its errors."""

    def inner(outcome: object) -> Script[object]:
        return (yield step(outcome))

    def outer() -> Script[list[object]]:
        given = [(yield from inner(1))]
        try:
            yield from inner(ValueError("x"))
        except ValueError as error:
            given.append(str(error))
        return given

    assert run(outer()) == [1, "x"]
