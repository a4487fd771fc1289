"""A pace in an account: shared by everything that opens it, in each store."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from time import monotonic

import pytest
from accounts import Clock

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.pace import Pace
from langchain_qwen_image.account.pace_state import PaceState, Turn
from langchain_qwen_image.account.pace_store import TurnLostError
from langchain_qwen_image.account.pace_table import TablePaceStore
from langchain_qwen_image.concurrency.runtime import ASYNCIO, BLOCKING, Blocking, run_blocking

URL = "https://gateway.example"
Accounts = Callable[..., Account]


def pace_of(account: Account, base_url: str = URL) -> Pace:
    """Return a pace as another process would make it."""
    return Pace(TablePaceStore(account.store, base_url))


def turn_of(pace: Pace) -> Turn:
    """Wait for a turn."""
    return run_blocking(pace.turn(BLOCKING, longest=60))


def test_a_refusal_of_one_process_holds_another(accounts: Accounts) -> None:
    """Who has its turn when another is refused loses it where its money is taken, and waits."""
    first, second = pace_of(accounts()), pace_of(accounts())
    early = turn_of(second)
    run_blocking(first.refused(BLOCKING, turn_of(first), 0.5))
    begun = monotonic()
    with pytest.raises(TurnLostError):
        accounts().store.submit(lambda tx: second.check(early, tx)).result()
    late = turn_of(second)
    assert monotonic() - begun >= 0.3
    accounts().store.submit(lambda tx: second.check(late, tx)).result()


def test_what_was_sent_is_measured_by_the_clock_of_the_store(accounts: Accounts) -> None:
    """The first refusal of a process, whose clock is another one, slows down for a second."""
    pace = pace_of(accounts())
    run_blocking(pace.refused(BLOCKING, turn_of(pace), None))
    store = TablePaceStore(accounts().store, URL)
    seen = store.step(lambda state, now: (state, None)).result()[1]
    assert seen.state.low > 0.3
    assert seen.state.next_at - seen.now < 2


async def test_a_pace_is_shared_by_tasks(accounts: Accounts) -> None:
    """The same through an event loop."""
    first, second = pace_of(accounts()), pace_of(accounts())
    await first.refused(ASYNCIO, await first.turn(ASYNCIO, longest=1), 0.3)
    early = await second.turn(ASYNCIO, longest=1)
    with pytest.raises(TurnLostError):
        await accounts().store.submit(lambda tx: second.check(early, tx))
    begun = monotonic()
    second.admitted(await second.turn(ASYNCIO, longest=9))
    assert monotonic() - begun >= 0.1


def test_gateways_have_paces_of_their_own(accounts: Accounts) -> None:
    """A refusal of one gateway holds nobody at another."""
    first, other = pace_of(accounts()), pace_of(accounts(), "https://other.example")
    run_blocking(first.refused(BLOCKING, turn_of(first), 3000.0))
    turn = turn_of(other)
    accounts().store.submit(lambda tx: other.check(turn, tx)).result()


def test_nothing_is_written_where_nothing_is_refused(accounts: Accounts) -> None:
    """Turns without a limit leave no row, and cost no transaction."""
    account = accounts()
    account.prepare().result()
    pace = pace_of(account)
    for _ in range(100):
        pace.admitted(turn_of(pace))
    rows = account.store.read(lambda tx: tx.all("SELECT * FROM pace"), missing=[])
    assert len(rows) == 0


def test_no_step_is_lost(accounts: Accounts) -> None:
    """Eight threads that change the state at the same time: each change is in it."""

    def count(_: int) -> None:
        store = TablePaceStore(accounts().store, URL)
        store.step(lambda state, now: (replace(state, sent=state.sent + 1), None)).result()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(count, range(100)))
    state = accounts().store.read(TablePaceStore(accounts().store, URL).look, missing=None)
    assert state is not None
    assert state.state.sent == 100


def test_what_a_test_sleeps_in_no_time_passes_in_the_store_too(accounts: Accounts) -> None:
    """Where a sleep returns at once, a turn comes after as many slept seconds as anywhere."""
    slept: list[float] = []
    pace, world = pace_of(accounts()), Blocking(slept.append)
    run_blocking(pace.refused(world, turn_of(pace), 30.0))
    turn = run_blocking(pace.turn(world, longest=60))
    accounts().store.submit(partial(pace.check, turn)).result()
    assert 29 <= sum(slept) <= 40


@pytest.mark.parametrize("hours", [-10_000, -1, 1])
def test_a_clock_that_is_set_stops_nobody(accounts: Accounts, clock: Clock, hours: int) -> None:
    """After the clock was set, a turn comes after what was to be waited for, at most."""
    pace = pace_of(accounts())
    run_blocking(pace.refused(BLOCKING, turn_of(pace), 0.2))
    clock.move(3600 * hours)
    other = pace_of(accounts())
    store = TablePaceStore(accounts().store, URL)
    seen = store.step(lambda state, now: (state, None)).result()[1]
    assert seen.state.low > 0
    turn = turn_of(other)
    try:
        accounts().store.submit(lambda tx: other.check(turn, tx)).result()
    except TurnLostError:
        assert other._held_for() <= 0.2


@pytest.mark.parametrize("state", ["", "{}", "[]", '{"rate": 1e-300}', "NaN", "x"])
def test_a_state_that_somebody_prepared_is_no_limit(accounts: Accounts, state: str) -> None:
    """A row that this package did not write holds nobody."""
    account = accounts()
    sql = "INSERT INTO pace (base_url, state) VALUES (:base_url, :state)"
    account.store.submit(lambda tx: tx.execute(sql, {"base_url": URL, "state": state})).result()
    pace = pace_of(account)
    turn = turn_of(pace)
    account.store.submit(lambda tx: pace.check(turn, tx)).result()
    seen = account.store.read(TablePaceStore(account.store, URL).look, missing=None)
    assert seen is not None
    assert seen.state == PaceState()
