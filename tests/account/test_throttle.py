"""The pace of a bulk run, on a clock of the test's own: nothing here waits."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from langchain_qwen_image.account.throttle import PATIENCE, AdaptiveThrottle


class Clock:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


class Bucket:
    """A gateway that admits so many requests a second, and a few at once."""

    def __init__(self, clock: Clock, rate: float, burst: float = 3) -> None:
        self._clock, self._rate, self._burst = clock, rate, burst
        self._filled, self._at = burst, clock.now
        self.admitted = self.refused = 0

    def admits(self) -> bool:
        now = self._clock.now
        self._filled = min(self._burst, self._filled + (now - self._at) * self._rate)
        self._at = now
        if self._filled < 1:
            self.refused += 1
            return False
        self._filled -= 1
        self.admitted += 1
        return True


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still until somebody sleeps."""
    return Clock()


@pytest.fixture
def pace(clock: Clock) -> AdaptiveThrottle:
    """A pace on that clock."""
    return AdaptiveThrottle(clock, clock.sleep)


def finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end."""
    return asyncio.run(coroutine)


def test_nothing_is_held_back_before_the_first_refusal(
    clock: Clock, pace: AdaptiveThrottle
) -> None:
    """A thousand requests leave at once while none is refused."""

    async def run() -> None:
        for _ in range(1000):
            await pace.turn()
            pace.admitted()

    finish(run())
    assert clock.now == 1000.0


@pytest.mark.parametrize("retry_after", [0.5, 7.0, 60.0])
def test_everybody_waits_as_long_as_the_gateway_asks(
    clock: Clock, pace: AdaptiveThrottle, retry_after: float
) -> None:
    """After a `Retry-After` of one request no other leaves sooner."""

    async def run() -> None:
        window = await pace.turn()
        assert pace.refused(window, retry_after)
        await pace.turn()

    finish(run())
    assert clock.now == pytest.approx(1000.0 + retry_after)


def test_pauses_double_where_the_gateway_does_not_say(clock: Clock, pace: AdaptiveThrottle) -> None:
    """Refusals in a row are met with 1, 2, 4, … seconds, at most 60; a success starts anew."""

    async def pause() -> float:
        pace.refused(await pace.turn(), None)
        return pace._next_at - clock.now

    async def run() -> list[float]:
        return [await pause() for _ in range(8)]

    assert finish(run()) == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60])


def test_a_success_ends_the_doubling(clock: Clock, pace: AdaptiveThrottle) -> None:
    """After a request that was admitted, the next pause is short again."""

    async def run() -> None:
        for _ in range(3):
            pace.refused(await pace.turn(), None)
        await pace.turn()
        pace.admitted()
        pace.refused(await pace.turn(), None)

    finish(run())
    assert pace._next_at - clock.now <= 1


def test_a_burst_of_refusals_counts_once(clock: Clock, pace: AdaptiveThrottle) -> None:
    """Thirty refusals of requests that left together slow down to what was admitted of them."""

    async def run() -> None:
        spans = [await pace.turn() for _ in range(32)]
        clock.now += 1
        for window in spans[:30]:
            assert pace.refused(window, 1.0)

    finish(run())
    assert pace._in_a_row == 1
    assert pace.rate == pytest.approx(0.7 * 2 / 2)  # two in the second that it took, and a pause


def test_the_rate_comes_back_up_additively(pace: AdaptiveThrottle) -> None:
    """Each request adds a fiftieth of the lowered rate, however low it fell in between."""

    async def run() -> list[float]:
        pace.refused(await pace.turn(), 1.0)
        low, rates = pace.rate, []
        for _ in range(3):
            for _ in range(50):
                await pace.turn()
            rates.append(pace.rate / low)
        return rates

    assert finish(run()) == pytest.approx([2, 3, 4])


@pytest.mark.parametrize("rate", [0.2, 2.0, 20.0], ids=lambda rate: f"{rate:g} a second")
@pytest.mark.parametrize("says", [True, False], ids=["retry-after", "no-retry-after"])
def test_what_is_sent_fits_what_is_admitted(
    clock: Clock, pace: AdaptiveThrottle, rate: float, says: bool
) -> None:
    """Over a long run, most of what the gateway admits is used, and few requests are refused."""
    bucket = Bucket(clock, rate)

    async def run() -> None:
        while bucket.admitted < 400:
            window = await pace.turn()
            clock.now += 0.001
            if bucket.admits():
                pace.admitted()
            else:
                assert pace.refused(window, 1 / rate if says else None)

    finish(run())
    assert bucket.admitted / (clock.now - 1000.0) > 0.5 * rate
    assert bucket.refused < 0.12 * bucket.admitted


def test_an_outage_does_not_lower_the_rate(clock: Clock, pace: AdaptiveThrottle) -> None:
    """A network that is down makes a run wait, and go on as fast as before."""

    async def run() -> list[float]:
        pauses = []
        for _ in range(4):
            assert pace.unreachable(await pace.turn())
            pauses.append(pace._next_at - clock.now)
        return pauses

    assert finish(run()) == pytest.approx([1, 2, 4, 8])
    assert pace.rate == float("inf")


def test_a_pause_that_comes_meanwhile_is_saved_by_who_waits_already(
    clock: Clock, pace: AdaptiveThrottle
) -> None:
    """Who sleeps when another is refused looks again before it leaves."""

    async def run() -> None:
        first = await pace.turn()
        pace.refused(first, 5.0)

        async def longer(seconds: float) -> None:
            clock.now += seconds
            if clock.now < 1006:
                pace.hold(10.0)

        pace._sleep = longer
        await pace.turn()

    finish(run())
    assert clock.now == pytest.approx(1015.0)


@pytest.mark.parametrize(
    ("retry_after", "goes_on"),
    [
        pytest.param(PATIENCE - 1, True, id="long"),
        pytest.param(PATIENCE + 1, False, id="too-long"),
    ],
)
def test_patience_has_an_end(
    clock: Clock, pace: AdaptiveThrottle, retry_after: float, goes_on: bool
) -> None:
    """A gateway that asks to wait longer than ten minutes ends the run."""

    async def run() -> bool:
        return pace.refused(await pace.turn(), retry_after)

    assert finish(run()) is goes_on


def test_a_gateway_that_only_refuses_ends_the_run(clock: Clock, pace: AdaptiveThrottle) -> None:
    """Without any success, refusals go on for about ten minutes and then end."""

    async def run() -> int:
        for number in range(1000):
            if not pace.refused(await pace.turn(), None):
                return number
        raise AssertionError("it never gave up")

    assert 5 < finish(run()) < 30
    assert clock.now - 1000.0 <= PATIENCE
