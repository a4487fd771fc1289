"""The pace of many calls, tasks and processes, in simulated time: nothing here waits."""

import asyncio
import os
from concurrent.futures import Future
from typing import Any

import pytest
from simulated_gateway import Bucket, call, calls
from simulated_time import now, simulate

from langchain_qwen_image.account.pace import Pace
from langchain_qwen_image.account.pace_state import Turn
from langchain_qwen_image.account.pace_store import MemoryPaceStore
from langchain_qwen_image.concurrency.runtime import ASYNCIO, BLOCKING, Blocking, run_blocking
from langchain_qwen_image.errors import AccountError, RateLimitError


class Counted(MemoryPaceStore):
    """A store that counts its steps, and gives futures as a database does."""

    steps = 0

    def step(self, rule: Any) -> Any:
        """Count, and change the state."""
        self.steps += 1
        done: Future[Any] = Future()
        done.set_result(super().step(rule))
        return done


def processes(number: int) -> tuple[list[Pace], Counted]:
    """Return so many paces that share a store, and the store."""
    clock = asyncio.get_running_loop().time
    store = Counted(clock)
    return [Pace(store, clock) for _ in range(number)], store


def test_nothing_is_held_back_before_the_first_refusal() -> None:
    """A thousand requests leave at once while none is refused, and the store is not asked."""

    async def run() -> None:
        (pace,), store = processes(1)
        for _ in range(1000):
            pace.admitted(await pace.turn(ASYNCIO, longest=1))
        assert (now(), store.steps) == (1000.0, 0)

    simulate(run())


@pytest.mark.parametrize(
    "rate",
    [pytest.param(0.2, marks=pytest.mark.long), 2.0, 20.0],
    ids=lambda rate: f"{rate:g} a second",
)
@pytest.mark.parametrize("says", [True, False], ids=["retry-after", "no-retry-after"])
@pytest.mark.parametrize(("paces", "at_once"), [(1, 1), (1, 32), (10, 4)], ids=str)
def test_what_is_sent_fits_what_is_admitted(
    rate: float, says: bool, paces: int, at_once: int
) -> None:
    """Most of what the gateway admits is used, and after the first burst few are refused."""

    async def run() -> None:
        wanted = 400 if at_once == 1 else 200
        gateway = Bucket(rate, retry_after=1 / rate if says else None, answers_after=0.02)
        seconds = await calls(processes(paces)[0], gateway, wanted, at_once)
        assert wanted / seconds > 0.5 * rate
        assert gateway.refused < paces * at_once + 0.12 * wanted

    simulate(run())


@pytest.mark.parametrize("answers_after", [1.0, 25.0])
@pytest.mark.parametrize("retry_after", [None, 1.0], ids=["no-retry-after", "retry-after"])
@pytest.mark.parametrize("seed", range(2))
def test_twenty_services_share_a_small_gateway(
    retry_after: float | None, answers_after: float, seed: int
) -> None:
    """Of twenty services with four images each, at five a second, none fails for its retries."""

    async def run() -> None:
        gateway = Bucket(5, burst=5, retry_after=retry_after, answers_after=answers_after)
        seconds = await calls(processes(20)[0], gateway, 80, 4, max_retries=2)
        assert len(gateway.admitted_at) == 80
        assert seconds < 3 * 80 / 5
        assert gateway.refused < 80 + 0.12 * 80

    simulate(run(), seed)


@pytest.mark.parametrize("retry_after", [None, 1.0], ids=["no-retry-after", "retry-after"])
def test_a_refusal_after_quiet_minutes_slows_down_for_seconds(retry_after: float | None) -> None:
    """After ten quiet minutes and one refusal, four a second are reached soon (1,873 s before)."""

    async def run() -> None:
        (pace,), _ = processes(1)
        gateway = Bucket(4, burst=4, retry_after=retry_after, answers_after=20.0)
        for _ in range(26):
            await call(pace, gateway)
        turn = await pace.turn(ASYNCIO, longest=1)
        await pace.refused(ASYNCIO, turn, retry_after)
        assert await calls([pace], gateway, 200, 200) < 1.5 * 200 / 4

    simulate(run())


@pytest.mark.parametrize("quiet", [100.0, 3600.0])
def test_a_low_rate_is_forgotten_while_nobody_calls(quiet: float) -> None:
    """A rate of an hour ago does not slow down what is admitted at once now."""

    async def run() -> None:
        paces, _ = processes(2)
        gateway = Bucket(0.05, burst=1)
        await calls(paces, gateway, 12, 6)
        await asyncio.sleep(quiet)
        gateway.rate, gateway.burst = 4.0, 200.0
        await asyncio.sleep(60)
        assert await calls(paces, gateway, 100, 10) < 15

    simulate(run())


def test_a_pause_of_one_process_holds_all() -> None:
    """Who waits for its turn when another process is refused leaves after that pause."""

    async def run() -> None:
        (first, second), _ = processes(2)
        gateway = Bucket(1, burst=1)
        await asyncio.gather(*(call(one, gateway) for one in (first, second) for _ in range(3)))
        turn = await first.turn(ASYNCIO, longest=9)
        waiting = [asyncio.create_task(second.turn(ASYNCIO, longest=90)) for _ in range(2)]
        await asyncio.sleep(0.1)
        refused_at = now()
        await first.refused(ASYNCIO, turn, 30.0)
        left = [(await one).left_at for one in waiting]
        late = [at for at in left if at > refused_at + 1.5]
        assert late
        assert min(late) >= refused_at + 30

    simulate(run())


def test_a_call_waits_for_its_turn_as_long_as_it_may() -> None:
    """A turn that cannot come in time is a RateLimitError at once; a possible one is waited for."""

    async def run() -> None:
        (pace,), _ = processes(1)
        await pace.refused(ASYNCIO, await pace.turn(ASYNCIO, longest=1), 50.0)
        with pytest.raises(RateLimitError, match="nothing was sent") as caught:
            await pace.turn(ASYNCIO, longest=40)
        assert now() == 1000.0
        assert caught.value.retry_after == pytest.approx(50)
        assert (caught.value.is_retryable, caught.value.may_have_been_billed) == (True, False)
        await pace.turn(ASYNCIO, longest=60)
        assert now() == pytest.approx(1050.0)

    simulate(run())


def test_a_store_that_takes_its_time_fails_no_call() -> None:
    """Calls that no limit holds back get their turns, also later than they may wait."""

    class Slow(MemoryPaceStore):
        def step(self, rule: Any) -> Any:
            done: Future[Any] = Future()
            found = super().step(rule)
            asyncio.get_running_loop().call_later(1.0, done.set_result, found)
            return done

        def peek(self) -> Any:
            return None

    async def run() -> None:
        clock = asyncio.get_running_loop().time
        pace = Pace(Slow(clock), clock)
        turns = [await pace.turn(ASYNCIO, longest=1) for _ in range(100)]
        await pace.refused(ASYNCIO, turns[0], 1.0)
        await asyncio.sleep(5)
        await asyncio.gather(*(pace.turn(ASYNCIO, longest=0.2) for _ in range(4)))

    simulate(run())


def test_cancelled_waits_take_nobody_elses_turn() -> None:
    """After a hundred waiters were cancelled, the next call does not wait for their turns."""

    async def run() -> None:
        (pace,), _ = processes(1)
        gateway = Bucket(2)
        await calls([pace], gateway, 20, 10)
        waiters = [asyncio.create_task(pace.turn(ASYNCIO, longest=900)) for _ in range(100)]
        await asyncio.sleep(1)
        for one in waiters:
            one.cancel()
        await asyncio.gather(*waiters, return_exceptions=True)
        cancelled_at = now()
        await call(pace, gateway)
        assert now() - cancelled_at < 4

    simulate(run())


def test_blocking_calls_wait_in_steps_that_can_be_given_up() -> None:
    """A blocking wait sleeps a second at a time, and as long as an asynchronous one."""
    slept: list[float] = []
    pace, world = Pace(), Blocking(slept.append)
    turn = run_blocking(pace.turn(world, longest=1))
    run_blocking(pace.refused(world, turn, 3.5))
    run_blocking(pace.turn(world, longest=60))
    assert sum(slept) == pytest.approx(3.5, abs=0.5)
    assert max(slept) <= 1


def test_a_store_that_fails_does_not_stop_the_pace() -> None:
    """Where the account cannot be written, the process goes on with a pace of its own."""

    class Broken:
        def step(self, rule: Any) -> Any:
            raise AccountError("The disk is full.")

        def peek(self) -> None:
            return None

        def look(self, tx: Any) -> Any:
            raise AssertionError("there is no account")

    async def run() -> None:
        pace = Pace(Broken(), asyncio.get_running_loop().time)
        await pace.refused(ASYNCIO, await pace.turn(ASYNCIO, longest=1), 5.0)
        await pace.turn(ASYNCIO, longest=60)
        assert now() == pytest.approx(1005.0, abs=0.1)

    simulate(run())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_who_asks_in_its_parent() -> None:
    """What a fork copies of waiting calls holds up no call of the child."""
    pace = Pace()
    run_blocking(pace.hold(BLOCKING, 0))
    pace._is_asking = True  # by a thread that the child does not have
    pace._waiting[-1] = None
    child = os.fork()
    if child == 0:
        try:
            found = pace._look(1, insists=False)
            os._exit(0 if list(pace._waiting) == [1] and isinstance(found, Turn) else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
