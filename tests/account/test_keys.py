"""One key, one payment: which call has a key, and who may send it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from account_steps import GATEWAY, LEASE, PRICE, call_of, entry, walk
from accounts import Clock
from hypothesis import given
from hypothesis import strategies as st
from waiting import PATIENCE

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.keys import check_key, fingerprint
from langchain_qwen_image.account.leases import CallTakenError
from langchain_qwen_image.account.limits import Totals
from langchain_qwen_image.defaults import SANDBOX_URL
from langchain_qwen_image.errors import (
    AccountError,
    IdempotencyError,
    InvalidRequestError,
    RateLimitError,
)

STATES = {
    "asked": "",
    "sent": "sent",
    "queued": "sent queued",
    "answered": "sent answered",
    "saved": "sent answered saved",
    "refused": "sent refused",
    "unknown": "sent unknown",
}
every_state = pytest.mark.parametrize("state", STATES)


def in_state(account: Account, state: str) -> None:
    """Bring call c1, of the key `k`, into a state."""
    account.asked(entry(key="k")).result(PATIENCE)
    walk(account, STATES[state])


@every_state
def test_a_key_has_one_call(account: Account, state: str) -> None:
    """Asking again enters nothing, and returns the call of the key as it stands."""
    in_state(account, state)
    for call_id in ("c1", "c2"):
        found = account.asked(entry(call_id, key="k")).result(PATIENCE)
        assert found == call_of(account)
        assert (found.id, found.state) == ("c1", state)
    assert len(list(account.calls())) == 1
    assert account.find_key(GATEWAY, "", "k") == call_of(account)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"base_url": "https://other.example"}, id="gateway"),
        pytest.param({"base_url": SANDBOX_URL}, id="sandbox"),
        pytest.param({"run": "bulk"}, id="run"),
        pytest.param({"key": "K"}, id="case"),
        pytest.param({"key": "k "}, id="space"),
    ],
)
def test_a_key_is_valid_for_one_gateway_and_run(account: Account, other: dict[str, Any]) -> None:
    """The same key elsewhere is another key, and another payment."""
    in_state(account, "saved")
    found = account.asked(entry("c2", **({"key": "k"} | other))).result(PATIENCE)
    assert (found.id, found.state) == ("c2", "asked")


@every_state
@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"prompt": "a blue fox"}, id="prompt"),
        pytest.param({"parameters": {"size": "512*512"}}, id="parameters"),
        pytest.param({"model": "another"}, id="model"),
        pytest.param({"operation": "edit"}, id="operation"),
        pytest.param({"inputs": ("ab",)}, id="inputs"),
    ],
)
def test_a_key_stands_for_one_request(account: Account, state: str, other: dict[str, Any]) -> None:
    """The key with anything else asked is an error, whatever became of the first; nothing moves."""
    in_state(account, state)
    before = call_of(account)
    for replacing in (None, "c1"):
        with pytest.raises(IdempotencyError, match=r"'k' was used .* Nothing was sent"):
            account.asked(entry("c2", key="k", **other), replacing=replacing).result(PATIENCE)
    assert (call_of(account), account.get("c2")) == (before, None)


def test_the_price_is_no_part_of_the_request(account: Account) -> None:
    """A price that changed meanwhile does not make it another request."""
    in_state(account, "saved")
    assert account.asked(entry("c2", key="k", cost_usd=Decimal(1))).result(PATIENCE).id == "c1"


@every_state
def test_a_call_is_replaced_once(account: Account, state: str) -> None:
    """Only a call that was paid for, or may have been, is replaced, and its money stays spent."""
    in_state(account, state)
    before = account.totals()
    may = state in ("answered", "saved", "unknown")
    for call_id in ("c2", "c3", "c2"):  # compare and swap: of two who saw c1, one takes its place
        found = account.asked(entry(call_id, key="k"), replacing="c1").result(PATIENCE)
        assert found.id == ("c2" if may else "c1")
    assert call_of(account).replaced_by == ("c2" if may else None)
    assert account.totals() == before
    if may:
        walk(account, "sent answered", "c2")
        assert account.images == 2


def test_replacing_what_is_not_there_enters_the_call(account: Account) -> None:
    """Of a key without a call there is nothing to replace."""
    assert account.asked(entry("c2", key="k"), replacing="c1").result(PATIENCE).id == "c2"


@pytest.mark.parametrize("state", sorted(set(STATES) - {"asked", "refused"}))
def test_what_is_sent_cannot_be_sent_again(account: Account, state: str) -> None:
    """A call has one POST under way at most, and who comes too late is told how it stands."""
    in_state(account, state)
    before = account.totals()
    with pytest.raises(CallTakenError, match="nothing was sent") as caught:
        account.sent("c1", lease_seconds=LEASE).result(PATIENCE)
    assert (caught.value.call, account.totals()) == (call_of(account), before)


@pytest.mark.parametrize("state", ["asked", "refused"])
def test_who_comes_first_sends(account: Account, state: str) -> None:
    """Of many that want to send one call, one may, and money is taken once."""
    in_state(account, state)
    commits = [account.sent("c1", lease_seconds=LEASE) for _ in range(20)]
    with ThreadPoolExecutor(8) as pool:
        others = [pool.submit(account.sent, "c1", lease_seconds=LEASE) for _ in range(20)]
    failures = [commit.exception(30) for commit in commits]
    failures += [other.result().exception(30) for other in others]
    assert sorted(type(one).__name__ for one in failures if one) == ["CallTakenError"] * 39
    assert account.totals() == Totals(reserved_usd=PRICE, reserved_images=1)


def test_a_replaced_call_does_not_send(account: Account) -> None:
    """It says which call has the key now, and the late answer of its first POST is booked."""
    in_state(account, "unknown")
    account.asked(entry("c2", key="k"), replacing="c1").result(PATIENCE)
    walk(account, "waiting")
    with pytest.raises(CallTakenError) as caught:
        account.sent("c1", lease_seconds=LEASE).result(PATIENCE)
    assert caught.value.call == call_of(account, "c2")
    assert account.totals() == Totals()


def test_an_answer_to_a_replaced_call_is_booked(account: Account) -> None:
    """What was paid for is known, also where another call stands for the key by now."""
    in_state(account, "unknown")
    account.asked(entry("c2", key="k"), replacing="c1").result(PATIENCE)
    walk(account, "answered saved")
    assert call_of(account).images[0].path == "a.png"
    assert (account.images, account.totals().reserved_images) == (1, 0)


def test_an_id_is_no_key(account: Account) -> None:
    """A second call of an id is the first one without a key, and an error under another key."""
    in_state(account, "sent")
    with pytest.raises(AccountError, match="in the account already"):
        account.asked(entry("c1", key="other")).result(PATIENCE)
    walk(account, "asked asked", "c2")
    assert account.find_key(GATEWAY, "", "other") is None


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("", id="empty"),
        pytest.param("k" * 256, id="long"),
        pytest.param("a\0b", id="nul"),
        pytest.param("a\ud800b", id="surrogate"),
        pytest.param(17, id="number"),
        pytest.param(None, id="none"),
    ],
)
def test_what_cannot_be_a_key_is_refused(key: Any) -> None:
    """A key is 1 to 255 characters of Unicode; anything else is an error that says so."""
    with pytest.raises(InvalidRequestError, match=r"idempotency key .* Nothing was sent"):
        check_key(key)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_any_text_is_a_key(key: str) -> None:
    """Each of up to 255 characters is taken as it is."""
    assert check_key(key[:255]) == key[:255]


def test_the_fingerprint_of_a_request_is_fixed() -> None:
    """It is that of accounts which exist: another one would take equal requests for others."""
    parameters = {"watermark": True, "size": "512*512"}
    assert fingerprint("generate", "qwen-image", "红 \ud800", parameters) == (
        "1f9822b79c0038b73138490dea5982009f3e1b6d9064647b1fc29df8f8a9f8a3"
    )
    assert fingerprint("generate", "qwen-image", "红 \ud800", dict(sorted(parameters.items()))) == (
        fingerprint("generate", "qwen-image", "红 \\ud800", parameters)
    )


def test_a_late_repeat_of_a_step_leaves_anothers_attempt_alone(account: Account) -> None:
    """What was booked and is booked once more, after somebody else has sent, changes nothing."""
    in_state(account, "asked")
    first = account.sent("c1", lease_seconds=LEASE).result(PATIENCE)
    account.waiting("c1", "RateLimitError", attempt=first.attempt).result(PATIENCE)
    second = account.sent("c1", lease_seconds=LEASE).result(PATIENCE)
    assert (first.attempt, second.attempt) == (1, 2)
    account.waiting("c1", "RateLimitError", attempt=first.attempt).result(PATIENCE)
    account.refused("c1", error="E", message="m", attempt=first.attempt).result(PATIENCE)
    account.unknown("c1", error="E", message="m", attempt=first.attempt).result(PATIENCE)
    assert call_of(account).state == "sent"
    assert account.totals() == Totals(reserved_usd=PRICE, reserved_images=1)
    account.waiting("c1", "RateLimitError", attempt=second.attempt).result(PATIENCE)
    assert (call_of(account).state, account.totals()) == ("asked", Totals())


def test_what_runs_before_a_call_is_sent_can_stop_it(account: Account) -> None:
    """An exception of the step before undoes all of it, and comes out as it is."""
    in_state(account, "asked")

    def not_yet(_: object) -> None:
        raise RateLimitError("not yet")

    with pytest.raises(RateLimitError, match="not yet"):
        account.sent("c1", lease_seconds=LEASE, before=not_yet).result(PATIENCE)
    assert (call_of(account).state, account.totals()) == ("asked", Totals())


def test_progress_counts_the_current_calls_of_a_run(
    accounts: Callable[..., Account], clock: Clock
) -> None:
    """Each state of a run's requests is counted once, its money as a whole; the sandbox apart."""
    account = accounts()
    for number, steps in enumerate(STATES.values()):
        account.asked(entry(f"c{number}", key=f"k{number}", run="bulk")).result(PATIENCE)
        walk(account, steps, f"c{number}")
    free = {"run": "bulk", "base_url": SANDBOX_URL, "cost_usd": Decimal(0)}
    account.asked(entry("free", key="k1", **free)).result(PATIENCE)
    account.asked(entry("other", key="k1", run="other")).result(PATIENCE)
    account.asked(entry("again", key="k6", run="bulk"), replacing="c6").result(PATIENCE)
    progress = account.progress("bulk")
    assert (progress.waiting, progress.under_way, progress.saved) == (2, 2, 1)
    assert (progress.unsaved, progress.refused, progress.unknown) == (1, 1, 0)
    assert (progress.spent_usd, progress.reserved_usd) == (PRICE * 3, PRICE * 2)
    assert progress.requests == 7
    assert account.progress("bulk", sandbox=True).requests == 1
    assert account.progress("nobody").requests == account.progress("").requests == 0
    clock.move(LEASE)
    later = account.progress("bulk")
    assert (later.under_way, later.unknown, later.reserved_usd) == (1, 1, PRICE)
