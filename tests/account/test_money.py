"""Where a call's money is, after each step, in any order, and past each lease."""

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from account_steps import LEASE, LINK, PRICE, STEPS, call_of, entry, walk
from accounts import Clock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from waiting import PATIENCE

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.leases import Lease
from langchain_qwen_image.account.limits import Limits, Totals
from langchain_qwen_image.account.money import add, held
from langchain_qwen_image.account.store import Commit, Transaction
from langchain_qwen_image.defaults import SANDBOX_URL
from langchain_qwen_image.errors import (
    AccountError,
    BudgetExceededError,
    ConfigurationError,
)

NOTHING = Totals()
RESERVED = Totals(reserved_usd=PRICE, reserved_images=1)
SPENT = Totals(spent_usd=PRICE, spent_images=1)


@pytest.mark.parametrize(
    ("steps", "money"),
    [
        pytest.param("asked", NOTHING, id="asked"),
        pytest.param("asked sent", RESERVED, id="sent"),
        pytest.param("asked sent waiting", NOTHING, id="waiting"),
        pytest.param("asked sent waiting sent", RESERVED, id="second-attempt"),
        pytest.param("asked sent queued queued", RESERVED, id="queued"),
        pytest.param("asked sent answered answered", SPENT, id="answered-twice"),
        pytest.param("asked sent answered saved answered", SPENT, id="answered-after-saved"),
        pytest.param("asked sent answered not_saved", SPENT, id="not-saved"),
        pytest.param("asked sent refused refused", NOTHING, id="refused"),
        pytest.param("asked sent refused sent", RESERVED, id="refused-and-sent"),
        pytest.param("asked sent unknown unknown", SPENT, id="unknown"),
        pytest.param("asked sent unknown answered", SPENT, id="late-answer-is-not-booked-twice"),
        pytest.param("asked sent unknown refused", NOTHING, id="late-refusal"),
        pytest.param("asked sent unknown waiting", NOTHING, id="late-429"),
        pytest.param("asked sent unknown queued", RESERVED, id="late-queued"),
        pytest.param("asked sent queued unknown answered saved", SPENT, id="all"),
    ],
)
def test_money_goes_with_the_state(account: Account, steps: str, money: Totals) -> None:
    """After each way, money is reserved, spent or free, as the last state says, and once."""
    walk(account, steps)
    assert account.totals() == money
    assert (account.spent_usd, account.reserved_usd, account.images) == money[:3]
    assert account.totals(sandbox=True) == NOTHING


def test_an_answer_says_what_it_cost(account: Account) -> None:
    """The price of the answer takes the place of what was reserved, images included."""
    walk(account, "asked sent")
    images = [("a", LINK, None), ("b", LINK, None)]
    account.answered("c1", request_id=None, cost_usd=PRICE * 3, images=images, billed_images=3)
    account.answered("c1", request_id=None, cost_usd=PRICE * 9, images=images).result(PATIENCE)
    assert account.totals() == Totals(spent_usd=PRICE * 3, spent_images=3)


def test_the_sandbox_has_a_purse_of_its_own(accounts: Callable[..., Account]) -> None:
    """Its images count against a limit of images only among themselves."""
    account = accounts(max_images=1)
    for call_id in ("c1", "c2"):
        account.asked(entry(call_id, base_url=SANDBOX_URL, cost_usd=Decimal(0))).result(PATIENCE)
    walk(account, "sent answered")
    assert account.totals(sandbox=True) == SPENT
    assert account.totals() == NOTHING
    with pytest.raises(BudgetExceededError):
        walk(account, "sent", "c2")
    walk(account, "asked sent", "paid")


@pytest.mark.parametrize(
    "limits", [{"max_usd": "0.09"}, {"max_images": 2}, {"max_usd": 1, "max_images": 2}]
)
def test_a_limit_holds_and_what_is_refused_leaves_nothing(
    accounts: Callable[..., Account], limits: dict[str, Any]
) -> None:
    """The call that would go over it is not sent, reserves nothing, and may be sent later."""
    account, other = accounts(**limits), accounts()
    walk(other, "asked sent", "c1")
    walk(other, "asked sent unknown", "c2")
    account.asked(entry("c3", key="k")).result(PATIENCE)
    before = account.totals()
    with pytest.raises(BudgetExceededError, match="Nothing was sent"):
        account.check_budget("https://gateway.example", PRICE)
    with pytest.raises(BudgetExceededError, match="Nothing was sent"):
        account.sent("c3", lease_seconds=LEASE).result(PATIENCE)
    assert (account.totals(), call_of(account, "c3").state) == (before, "asked")
    assert 0 in (account.remaining_usd, account.remaining_images)
    walk(other, "refused", "c1")
    account.check_budget("https://gateway.example", PRICE)
    account.sent("c3", lease_seconds=LEASE).result(PATIENCE)
    assert account.totals() == Totals(PRICE, PRICE, 1, 1)


def test_the_limits_of_a_budget_hold_beside_the_accounts(accounts: Callable[..., Account]) -> None:
    """The narrower of two limits decides."""
    account = accounts(max_images=5)
    walk(account, "asked")
    none = Limits(max_usd=None, max_images=0)
    for wide, narrow in ((none, account.limits), (account.limits, none)):
        with pytest.raises(BudgetExceededError):
            account.sent("c1", lease_seconds=LEASE, limits=(wide, narrow)).result(PATIENCE)
    with pytest.raises(BudgetExceededError):
        account.check_budget("https://gateway.example", PRICE, [none])
    assert account.totals() == NOTHING


@pytest.mark.parametrize("limits", [{"max_usd": -1}, {"max_usd": "x"}, {"max_images": 1.5}])
def test_a_limit_is_a_number(accounts: Callable[..., Account], limits: dict[str, Any]) -> None:
    """What is none is refused where it is written."""
    with pytest.raises(ConfigurationError, match="max_"):
        accounts(**limits)


def test_checking_a_budget_reserves_and_makes_nothing(account: Account) -> None:
    """An account that does not exist yet has all of its limit, and still does not exist."""
    account.check_budget("https://gateway.example", PRICE, [Limits(PRICE, 1)])
    assert (account.id, list(account.calls())) == (None, [])


@pytest.mark.parametrize(
    ("seconds", "is_over"),
    [
        pytest.param(0, False, id="at-once"),
        pytest.param(LEASE - 1, False, id="just-before"),
        pytest.param(LEASE, True, id="at-its-end"),
        pytest.param(1e6, True, id="long-after"),
        pytest.param(-0.5, True, id="clock-set-back-a-little"),
        pytest.param(-1e6, True, id="clock-set-back"),
    ],
)
def test_a_lease_ends(account: Account, clock: Clock, seconds: float, is_over: bool) -> None:
    """Past its end, or where it would last longer than it is long, a call is unknown and spent."""
    walk(account, "asked sent")
    clock.move(seconds)
    assert account.totals() == (SPENT if is_over else RESERVED)
    assert account.expire().result(PATIENCE) == is_over
    assert account.totals() == (SPENT if is_over else RESERVED)
    call = call_of(account)
    assert call.state == ("unknown" if is_over else "sent")
    assert call.error == ("RequestTimeoutError" if is_over else None)
    assert account.expire().result(PATIENCE) == 0


def test_only_what_is_sent_expires(account: Account, clock: Clock) -> None:
    """A queued call is asked for a day long, and nothing else waits for an answer."""
    for number, steps in enumerate(["", "sent queued", "sent answered", "sent refused"]):
        walk(account, f"asked {steps}", f"c{number}")
    walk(account, "asked sent", "sent")
    before = [call.state for call in account.calls()][:4]
    clock.move(1e6)
    assert account.expire().result(PATIENCE) == 1
    assert [call.state for call in account.calls()] == [*before, "unknown"]


def test_a_second_attempt_has_its_own_lease(account: Account, clock: Clock) -> None:
    """Its time begins when it is sent, and its length is its own."""
    walk(account, "asked sent waiting")
    clock.move(LEASE * 2)
    account.sent("c1", lease_seconds=10).result(PATIENCE)
    clock.move(9)
    assert account.expire().result(PATIENCE) == 0
    call = call_of(account)
    assert call.lease_seconds == 10
    assert call.lease_until is not None
    assert (call.lease_until - call.updated_at).total_seconds() == 10
    clock.move(1)
    assert account.expire().result(PATIENCE) == 1


@pytest.mark.parametrize("step", ["waiting", "refused", "queued", "answered", "unknown"])
def test_what_comes_after_the_lease_is_booked_once(
    account: Account, clock: Clock, step: str
) -> None:
    """A late answer, refusal or 429 moves the money from where the expiry has put it."""
    walk(account, "asked sent")
    clock.move(LEASE)
    account.expire().result(PATIENCE)
    walk(account, step)
    walk(account, step)
    moved = {"answered": SPENT, "unknown": SPENT, "queued": RESERVED}
    assert account.totals() == moved.get(step, NOTHING)


def test_a_lease_is_told_by_both_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever of this machine's clocks has gone further decides how much is left."""
    now = {"monotonic": 50.0, "time": 1000.0}
    monkeypatch.setattr(time, "monotonic", lambda: now["monotonic"])
    monkeypatch.setattr(time, "time", lambda: now["time"])
    lease = Lease(300, 1, now["monotonic"], now["time"])
    assert lease.rest() == 300
    now["monotonic"] += 10
    assert lease.rest() == 290
    now["time"] += 400  # the machine slept
    assert lease.rest() == -100
    now["time"] -= 9999
    assert lease.rest() == 290


def held_by_states(account: Account) -> Totals:
    """Add up, call by call, what the states say, and what programs reserved and settled."""

    def of_programs(tx: Transaction) -> Totals:
        reserved = [(Decimal(row["usd"]), row["images"]) for row in tx.all(_RESERVATIONS)]
        spent = [(Decimal(row["usd"]), row["images"]) for row in tx.all(_SPENT)]
        usd = [sum((one[0] for one in some), Decimal(0)) for some in (spent, reserved)]
        return Totals(*usd, *(sum(one[1] for one in some) for some in (spent, reserved)))

    totals = account._store.read(of_programs, missing=NOTHING)
    for call in account.calls():
        totals = add(totals, held(call.state, call.cost_usd, call.cost_images))
    return totals


_RESERVATIONS = "SELECT usd, images FROM reservations"
_SPENT = "SELECT usd, images FROM spent"
NAMES = st.sampled_from(["a", "b", "c"])
OPERATIONS = st.one_of(
    st.tuples(st.just("ask"), NAMES, st.sampled_from([None, "k", "l"])),
    st.tuples(st.just("replace"), NAMES, NAMES),
    st.tuples(st.just("send"), NAMES, st.sampled_from([1, 30])),
    st.tuples(st.sampled_from(sorted(set(STEPS) - {"asked", "sent"})), NAMES, st.none()),
    st.tuples(st.just("expire"), st.none(), st.none()),
    st.tuples(st.just("move"), st.none(), st.sampled_from([-5, 1, 29])),
    st.tuples(st.just("reserve"), NAMES, st.sampled_from([1, 2])),
    st.tuples(st.just("settle"), NAMES, st.sampled_from([0, 1])),
)


def take(account: Account, clock: Clock, operation: tuple[str, Any, Any]) -> None:
    """Take one step of any caller, which may be refused."""
    name, who, what = operation
    commit: Commit[Any]
    if name == "move":
        clock.move(what)
        return
    if name == "ask":
        commit = account.asked(entry(who, key=what))
    elif name == "replace":
        earlier = account.get(what)
        key = None if earlier is None else earlier.key
        commit = account.asked(entry(who, key=key), replacing=what)
    elif name == "send":
        commit = account.sent(who, lease_seconds=what, limits=[Limits(None, LIMIT)])
    elif name == "expire":
        commit = account.expire()
    elif name == "reserve":
        commit = account.reserve(who, PRICE * what, what, [Limits(None, LIMIT)])
    elif name == "settle":
        commit = account.settle(who, PRICE * what, what)
    else:
        commit = STEPS[name](account, who)
    failure = commit.exception(30)
    assert failure is None or isinstance(failure, (AccountError, BudgetExceededError))


LIMIT = 3


@pytest.mark.slow
@settings(
    max_examples=settings.default.max_examples // 5,  # each makes a database
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(operations=st.lists(OPERATIONS, max_size=25))
def test_the_books_are_equal_after_any_steps(
    new_location: Callable[[], str], clock: Clock, operations: list[tuple[str, Any, Any]]
) -> None:
    """Whatever callers do in whatever order, the totals are what the states say."""
    account = Account(new_location())
    most = LIMIT
    for operation in operations:
        take(account, clock, operation)
        totals = account.totals()
        states = held_by_states(account)
        assert totals.spent_usd + totals.reserved_usd == states.spent_usd + states.reserved_usd
        assert totals.spent_images + totals.reserved_images <= most
        most = max(LIMIT, totals.spent_images + totals.reserved_images)
        if operation[0] == "expire":  # nothing is past its time any more
            assert totals == states
    calls = list(account.calls())
    standing = [call.key for call in calls if call.key and call.replaced_by is None]
    assert len(standing) == len(set(standing))
    for call in calls:
        assert bool(call.images) == (call.state in ("answered", "saved"))
        assert call.state in ("asked", "refused") or call.attempts > 0
    account.close()
