"""Callers of one call: who makes it, who waits, who may go, and what each of them gets."""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from waiting import PATIENCE, await_until, wait_until

from langchain_qwen_image.concurrency.runtime import run_blocking
from langchain_qwen_image.errors import RequestTimeoutError, ServerError
from langchain_qwen_image.pipeline.cancellation import CallState
from langchain_qwen_image.pipeline.shared_call import CutOffError
from langchain_qwen_image.pipeline.shared_calls import SharedCalls
from langchain_qwen_image.transport.failures import GivenUpError

Outcome = tuple[str, bool]


class Desk:
    """Where calls of one name are made: each counts, and ends when the test says so."""

    def __init__(self, **options: Any) -> None:
        """Begin with none."""
        self.calls: SharedCalls[str] = SharedCalls(**options)
        self.made = 0
        self.error: Exception | None = None
        self.open = threading.Event()
        self.pays = True

    def _begin(self, call_state: CallState) -> None:
        self.made += 1
        if self.pays:
            call_state.start_post(1, 2)

    def _end(self) -> str:
        if self.error:
            raise self.error
        return "an image"

    async def steps(self, call_state: CallState) -> str:
        """Make a call on an event loop."""
        self._begin(call_state)
        await await_until(self.open.is_set)
        return self._end()

    async def blocking_steps(self, call_state: CallState) -> str:
        """Make a call in a thread."""
        self._begin(call_state)
        assert self.open.wait(PATIENCE)
        return self._end()

    async def aask(self, name: Any = "fox", seconds: float = PATIENCE) -> Outcome | None:
        """Ask for the call on a loop; None if it took too long."""
        call_state = CallState()
        with self.calls.taking_part(name, call_state) as caller:
            if caller.leads:
                await caller.alead(partial(self.steps, call_state))
            elif not await caller.await_end(seconds):
                return None
            return caller.take()

    def ask(self, name: Any = "fox", seconds: float = PATIENCE) -> Outcome | None:
        """Ask for the call in a thread; None if it took too long."""
        call_state = CallState()
        with self.calls.taking_part(name, call_state) as caller:
            if caller.leads:
                caller.lead(run_blocking, partial(self.blocking_steps, call_state))
            elif not caller.wait(seconds):
                return None
            return caller.take()

    @property
    def waiting(self) -> int:
        """How many wait for the call."""
        call = self.calls._under_way.get("fox")
        return call.waiting if call else 0


def in_a_loop(desk: Desk) -> Outcome | None:
    """Ask on a loop of one's own."""
    return asyncio.run(desk.aask())


@pytest.mark.parametrize("leader", [Desk.ask, in_a_loop], ids=["thread", "loop"])
@pytest.mark.parametrize("error", [None, RequestTimeoutError("no answer"), ServerError("500")])
def test_all_who_ask_meanwhile_get_what_came_of_one_call(leader: Any, error: Any) -> None:
    """Whichever loops and threads they are in: one call, one cost, one outcome for all."""
    desk = Desk()
    desk.error = error
    with ThreadPoolExecutor(5) as threads:
        first = threads.submit(leader, desk)
        wait_until(lambda: desk.made)
        others = [threads.submit(ask, desk) for ask in (Desk.ask, in_a_loop, Desk.ask, in_a_loop)]
        wait_until(lambda: desk.waiting == 5)
        desk.open.set()
        if error is None:
            assert first.result() == ("an image", True)
            assert [one.result() for one in others] == [("an image", False)] * 4
        else:
            assert {type(one.exception()) for one in [first, *others]} == {type(error)}
            assert len({id(one.exception()) for one in [first, *others]}) == 5
    assert desk.made == 1
    assert not desk.calls._under_way


def test_other_names_are_other_calls() -> None:
    """Calls of another name, and those without one, are made by each caller."""
    desk = Desk()
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(desk.ask, name) for name in ("fox", "owl", None, None)]
        wait_until(lambda: desk.made == 4)
        desk.open.set()
        assert [one.result() for one in asked] == [("an image", True)] * 4


@pytest.mark.parametrize("pays", [True, False])
async def test_one_who_goes_touches_nobody(pays: bool) -> None:
    """Whether it led or waited: the call goes on for those who are still there."""
    desk = Desk()
    desk.pays = pays
    tasks = [asyncio.create_task(desk.aask()) for _ in range(3)]
    await await_until(lambda: desk.waiting == 3)
    for task in tasks[:2]:  # the first of them led
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    desk.open.set()
    assert await tasks[2] == ("an image", not pays), "a cancelled call that had paid said its cost"
    assert desk.made == 1


async def test_a_waiter_in_a_thread_is_enough() -> None:
    """A call whose loop has no caller left goes on for one in another thread."""
    desk = Desk()
    desk.pays = False
    leader = asyncio.create_task(desk.aask())
    await await_until(lambda: desk.made)
    waiter = asyncio.create_task(asyncio.to_thread(desk.ask))
    await await_until(lambda: desk.waiting == 2)
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    desk.open.set()
    assert await waiter == ("an image", True)
    assert desk.made == 1


async def test_with_the_last_one_goes_what_has_not_paid() -> None:
    """A call that nobody waits for and that has sent nothing ends; the next is another one."""
    desk = Desk()
    desk.pays = False
    tasks = [asyncio.create_task(desk.aask()) for _ in range(2)]
    await await_until(lambda: desk.waiting == 2)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    desk.open.set()
    assert await desk.aask() == ("an image", True)
    assert desk.made == 2


async def test_what_was_paid_for_nobody_is_for_the_next_one() -> None:
    """It is handed out once, to the next who asks, whether it has ended by then or not."""
    desk = Desk()
    for has_ended in (True, False):
        desk.open.clear()
        task = asyncio.create_task(desk.aask())
        await await_until(lambda: desk.waiting == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if has_ended:
            desk.open.set()
            await await_until(lambda: desk.calls._kept)
            assert await desk.aask() == ("an image", False)
        else:
            again = asyncio.create_task(desk.aask())
            await await_until(lambda: desk.waiting == 1)
            desk.open.set()
            assert await again == ("an image", False)
    assert desk.made == 2
    assert await desk.aask() == ("an image", True)
    assert desk.made == 3


@pytest.mark.parametrize("keeps", [True, False])
async def test_what_bought_nothing_is_not_kept(keeps: bool) -> None:
    """Nor is anything where an account knows it; and of very many the oldest is forgotten."""
    desk = Desk(keeps=keeps)
    desk.error = RequestTimeoutError("not sent", may_have_been_billed=False)
    task = asyncio.create_task(desk.aask())
    await await_until(lambda: desk.made)
    task.cancel()
    await asyncio.wait([task])
    desk.open.set()
    await await_until(lambda: not desk.calls._under_way)
    assert not desk.calls._kept
    desk.error = None
    for number in range(258):
        desk.open.clear()
        made = desk.made
        task = asyncio.create_task(desk.aask(number))
        await await_until(lambda made=made: desk.made > made)
        task.cancel()
        await asyncio.wait([task])
        desk.open.set()
        await await_until(lambda: not desk.calls._under_way)
    assert list(desk.calls._kept) == (list(range(2, 258)) if keeps else [])


def test_calls_of_two_loops_end_at_the_same_moment() -> None:
    """What a loop does as its call ends keeps no other loop from ending one of its own."""
    first, second = Desk(), Desk()
    ending, go_on = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        ending.set()
        assert go_on.wait(PATIENCE)

    with ThreadPoolExecutor(2) as threads:
        held = threads.submit(asyncio.run, first.aask())
        wait_until(lambda: first.made)
        [call] = first.calls._under_way.values()
        call.outcome.add_done_callback(hold)
        first.open.set()
        assert ending.wait(PATIENCE)
        second.open.set()
        try:
            assert asyncio.run(asyncio.wait_for(second.aask(), PATIENCE)) == ("an image", True)
        finally:
            go_on.set()
        assert held.result() == ("an image", True)


def test_a_loop_that_ends_cuts_its_call_off() -> None:
    """Who waits elsewhere is told whether it may have been paid for."""
    for pays in (True, False):
        desk = Desk()
        desk.pays = pays

        async def leave_it(desk: Desk = desk) -> None:
            leading = asyncio.create_task(desk.aask())
            await await_until(lambda: desk.waiting == 2)
            leading.get_loop()

        with ThreadPoolExecutor(2) as threads:
            leader = threads.submit(asyncio.run, leave_it())
            wait_until(lambda desk=desk: desk.made)
            waiter = threads.submit(desk.ask)
            leader.result()
            error = waiter.exception()
        assert isinstance(error, CutOffError)
        assert error.was_paying is pays


@pytest.mark.parametrize("leader", [Desk.ask, in_a_loop], ids=["thread", "loop"])
def test_a_call_that_was_given_up_is_left_to_who_came_since(leader: Any) -> None:
    """Its error is for its own caller; another one may make the call anew."""
    desk = Desk()
    desk.error = GivenUpError("nothing was sent")
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(leader, desk)
        wait_until(lambda: desk.made)
        waiter = threads.submit(desk.ask)
        wait_until(lambda: desk.waiting == 2)
        desk.open.set()
        assert type(first.exception()) is GivenUpError
        error = waiter.exception()
    assert isinstance(error, CutOffError)
    assert not error.was_paying
    desk.error = None
    assert desk.ask() == ("an image", True)


def test_waiting_has_an_end() -> None:
    """A caller that has waited long enough goes, and the call goes on for the others."""
    desk = Desk()
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(desk.ask)
        wait_until(lambda: desk.made)
        assert desk.ask(seconds=0) is None
        assert asyncio.run(desk.aask(seconds=0)) is None
        assert desk.waiting == 1
        desk.open.set()
        assert first.result() == ("an image", True)


def test_an_interrupt_takes_a_waiter_out() -> None:
    """`abandon` ends the wait of a thread, as an interrupt of its caller does."""
    desk = Desk()
    state = CallState()

    def interrupted() -> None:
        with desk.calls.taking_part("fox", state) as caller:
            caller.wait(PATIENCE)

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(desk.ask)
        wait_until(lambda: desk.made)
        waiter = threads.submit(interrupted)
        wait_until(lambda: desk.waiting == 2)
        state.abandon()
        assert isinstance(waiter.exception(), asyncio.CancelledError)
        assert desk.waiting == 1
        desk.open.set()
        assert first.result() == ("an image", True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_waits_for_no_call_of_its_parent() -> None:
    """The call ends in the parent, and would be waited for in vain in the child."""
    desk = Desk()
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(desk.ask)
        wait_until(lambda: desk.made)
        if (child := os.fork()) == 0:
            desk.open.set()
            os._exit(0 if desk.ask(seconds=PATIENCE) == ("an image", True) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        desk.open.set()
        assert first.result() == ("an image", True)
