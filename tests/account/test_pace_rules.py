"""The rules of the pace, on times of the test's own."""

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_qwen_image.account.pace_rules import HORIZON, admitted, hold, refused, take
from langchain_qwen_image.account.pace_rules import unreachable as not_reached
from langchain_qwen_image.account.pace_state import (
    FORGOTTEN_AFTER,
    LONGEST_HOLD,
    PaceState,
    Uncounted,
)

START = 1000.0
BURST = Uncounted(START, 32)


def slowed(rate: float = 2.0, now: float = START) -> PaceState:
    """Return a state that was slowed down to a measured rate, and waits no more."""
    return PaceState(
        window=7, begun=now, opened=now, low=rate, rate=rate, is_measured=True, next_at=now,
        last_at=now, busy_at=now, seen_at=now,
    )  # fmt: skip


def refuse(state: PaceState, now: float, retry_after: float | None = None) -> PaceState:
    """Return the state after a request of its window was refused, a lone one without a limit."""
    uncounted = Uncounted(now, 1) if state.is_free else Uncounted()
    return refused(state, now, state.window, retry_after, uncounted=uncounted)[0]


@pytest.mark.parametrize("retry_after", [0.5, 7.0, 60.0, 3600.0])
@pytest.mark.parametrize("state", [PaceState(), slowed()], ids=["free", "slowed"])
def test_everybody_waits_as_long_as_the_gateway_asks(state: PaceState, retry_after: float) -> None:
    """After a `Retry-After` of one request no other leaves sooner."""
    state = refuse(state, START, retry_after)
    _, grant = take(state, START, 1)
    assert [*grant.times, grant.ask_at + HORIZON][0] == pytest.approx(START + retry_after)


@pytest.mark.parametrize("age", [1, 5])
def test_a_late_refusal_holds_everybody_too(age: int) -> None:
    """`Retry-After` counts also in the refusal of a request that left before earlier ones."""
    state = replace(slowed(), window=9)
    after, _ = refused(state, START, 9 - age, 7.0, left_at=START - 10)
    assert after.next_at == START + 7.0
    assert (after.window, after.low) == (9, state.low)


def test_pauses_double_where_the_gateway_does_not_say() -> None:
    """Refusals in a row are met with 1, 2, 4, … seconds, at most 60."""
    state, now, pauses = PaceState(), START, []
    for _ in range(8):
        state = refuse(state, now)
        pauses.append(state.next_at - now)
        now = state.next_at
        state, _ = take(state, now, 1)
    assert pauses == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60])


def test_a_success_ends_the_doubling() -> None:
    """After a request that was admitted, the next pause is short again."""
    state, now = PaceState(), START
    for _ in range(3):
        state = refuse(state, now)
        now = state.next_at
    state, _ = take(state, now, 1)
    state = refuse(admitted(state, now, state.window), now)
    assert state.next_at - now < 2


def test_a_burst_of_refusals_counts_once() -> None:
    """Thirty refusals of requests that left together slow down to what was admitted of them."""
    state = PaceState()
    now = START + 1
    for number in range(30):
        uncounted = Uncounted() if number else BURST
        state, _ = refused(state, now, 0, 1.0, left_at=START, uncounted=uncounted)
    assert (state.window, state.in_a_row) == (1, 1)
    assert state.low == pytest.approx(0.7 * 2 / 2)  # two in the second that it took, and a pause


def test_bursts_of_many_processes_count_once() -> None:
    """Refusals in processes that did not know of each other add up to the same."""
    state = PaceState()
    now = START + 1
    for _ in range(10):
        for number in range(3):
            uncounted = Uncounted() if number else Uncounted(START, 4)
            state, _ = refused(state, now, 0, 1.0, left_at=START, uncounted=uncounted)
    assert (state.window, state.in_a_row) == (1, 1)
    assert state.low == pytest.approx(0.7 * 10 / 2)


def test_the_rate_rises_by_a_fiftieth_with_each_request() -> None:
    """Fifty requests double a measured rate."""
    state, now = slowed(20.0), START
    for _ in range(50):
        now = max(now, state.next_at)
        state, _ = take(state, now, 1)
    assert state.rate == pytest.approx(40, rel=0.02)


def test_a_rate_that_was_left_behind_rises_quickly_and_no_quicker_than_can_be_noticed() -> None:
    """A rate of a fiftieth of what is admitted is there soon, and doubles in 1 s at most."""
    state, now = slowed(0.1), START
    while state.rate < 5:
        before, now = state, max(now, state.next_at)
        state, _ = take(state, now, 1)
        assert state.rate <= before.rate * 2 ** (now - before.last_at) * 1.001
    assert now - START < 180


def test_an_outage_does_not_lower_the_rate() -> None:
    """A network that is down makes everybody wait, and go on as fast as before."""
    state, now, pauses = PaceState(), START, []
    for _ in range(4):
        state, _ = not_reached(state, now, state.window)
        pauses.append(state.next_at - now)
        now = state.next_at
    assert pauses == pytest.approx([1, 2, 4, 8])
    assert state.rate == 0


def test_a_quiet_minute_is_forgotten() -> None:
    """Where nobody waited and nothing was refused for a minute, there is no limit any more."""
    state = refuse(slowed(0.01), START, 5.0)
    busy, _ = take(state, START + 5 + FORGOTTEN_AFTER - 1, 1)
    quiet, grant = take(state, START + 5 + FORGOTTEN_AFTER + 1, 100)
    assert not busy.is_free
    assert quiet.is_free
    assert quiet.window > state.window
    assert set(grant.times) == {START + 5 + FORGOTTEN_AFTER + 1}


def test_quiet_minutes_are_not_counted_as_a_low_rate() -> None:
    """A request that is refused after a quiet time is not measured by that time."""
    state = slowed(4.0)
    state, _ = take(state, START + 50, 1)
    for number in range(8):
        state, _ = take(state, START + 50 + number / 4, 1)
    state, _ = refused(state, START + 52, state.window, None)
    assert state.low > 1


def test_turns_are_given_out_as_far_as_the_horizon() -> None:
    """A process gets a few turns ahead, no more, and is told when the next one may be asked for."""
    state, grant = take(slowed(4.0), START, 100)
    assert 4 <= len(grant.times) <= 6
    assert list(grant.times) == sorted(grant.times)
    assert grant.times[-1] <= START + HORIZON < grant.ask_at + HORIZON == state.next_at


@pytest.mark.parametrize("back", [0.5, 3600.0, 10.0**9])
def test_a_clock_that_is_set_back_stops_nobody(back: float) -> None:
    """What was to be waited for is the same after the clock went back, and the rate too."""
    state = refuse(slowed(), START + 10.0**9, 5.0)
    rest = state.next_at - (START + 10.0**9)
    after, grant = take(state, START + 10.0**9 - back, 1)
    assert after.next_at - (START + 10.0**9 - back) == pytest.approx(rest, abs=1e-3)
    assert (after.low, grant.times) == (state.low, ())


def test_nobody_is_held_for_ever() -> None:
    """A gateway that asks to wait for years is asked again after a day."""
    state = refuse(PaceState(), START, 10.0**9)
    assert state.next_at == START + LONGEST_HOLD
    assert hold(state, START, 10.0**9).next_at == START + LONGEST_HOLD


@pytest.mark.parametrize(
    ("before", "progress", "others"), [(None, 5, False), (5, 5, False), (5, 6, True), (9, 6, False)]
)
def test_a_refusal_says_whether_others_were_admitted(
    before: int | None, progress: int, others: bool
) -> None:
    """It is so if something was admitted after the window of the call's attempt before."""
    state = replace(slowed(), progress=progress)
    assert refused(state, START, 3, None, before=before)[1].others_admitted is others


@settings(max_examples=50)
@given(st.lists(st.sampled_from("trau"), max_size=40), st.data())
def test_a_state_survives_json(steps: list[str], data: st.DataObject) -> None:
    """What is written into an account is read back, whatever came before."""
    state, now = PaceState(), START
    for step in steps:
        now += data.draw(st.floats(0, 100))
        if step == "t":
            state, _ = take(state, now, data.draw(st.integers(1, 50)))
        elif step == "a":
            state = admitted(state, now, state.window)
        elif step == "r":
            retry_after = data.draw(st.none() | st.floats(0, 1e9))
            uncounted = Uncounted(now - 1, data.draw(st.integers(1, 50)))
            state, _ = refused(state, now, state.window, retry_after, uncounted=uncounted)
        else:
            state, _ = not_reached(state, now, state.window)
        assert state.next_at <= now + LONGEST_HOLD
    assert PaceState.load(state.dump()) == state


@settings(max_examples=50)
@given(
    st.text()
    | st.dictionaries(
        st.sampled_from(sorted(asdict(PaceState()))),
        st.floats() | st.integers() | st.none() | st.text() | st.booleans(),
    ).map(lambda odd: json.dumps(asdict(PaceState()) | odd)),
)
def test_a_prepared_state_does_no_harm(text: str) -> None:
    """Whatever somebody wrote there: a turn comes within a day, and nothing fails."""
    state = PaceState.load(text)
    after, grant = take(state, START, 3)
    assert after.next_at <= START + LONGEST_HOLD + 1e4
    assert grant.ask_at <= START + LONGEST_HOLD + 1e4
    refused(after, START, after.window, 1.0)
