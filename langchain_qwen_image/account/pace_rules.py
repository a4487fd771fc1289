"""How fast an account sends: as fast as the gateway admits, found out together by all its calls.

Nothing is held back until the first refusal. From then on requests leave at a rate: 0.7 times what
the gateway admitted since the refusal before, pauses included and idle time left out. The rate
rises slowly with each request until it has doubled, then quickly: the gateway has changed. All
refusals of one burst count as one; those that come later only correct what was measured. While
the gateway asks to wait, everybody waits. After a quiet minute the limit is forgotten.

Pure: what becomes of a state. Each of these is one step of a store, in its transaction.
"""

import math
from dataclasses import replace

from langchain_qwen_image.account.pace_state import (
    LONGEST_HOLD,
    Closed,
    Grant,
    PaceState,
    Refusal,
    Uncounted,
    at_time,
)

HORIZON = 1.0
"""Seconds ahead for which turns are given out. A process that is killed wastes no more of them."""

_DECREASE = 0.7
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0
_IDLE_AFTER = 1.0
_FEW = 4
_RISING = 1.5
_NOTHING = Uncounted()


def take(state: PaceState, now: float, wanted: int) -> tuple[PaceState, Grant]:
    """Give out the next turns, `wanted` at most, as far as the horizon."""
    state = at_time(state, now)
    times: list[float] = []
    while len(times) < wanted and (time := max(now, state.next_at)) <= now + HORIZON:
        times.append(time)
        state = _left(state, time)
    if len(times) < wanted or times[-1] > now:
        state = replace(state, busy_at=now)
    return state, Grant(tuple(times), max(now, state.next_at - HORIZON))


def _left(state: PaceState, time: float) -> PaceState:
    if not state.rate:
        return state
    idle = max(0.0, time - state.next_at - _IDLE_AFTER)
    state = replace(
        state,
        sent=state.sent + 1,
        begun=state.begun + idle,
        opened=state.opened + idle,
        last_at=state.last_at + idle,
    )
    rate = state.grown(time)
    gap = 1 / rate
    if state.in_a_row > 1 and state.sent == 1:
        gap = max(gap, _FIRST_PAUSE)  # the first after a long pause finds out whether it is over
    return replace(state, rate=rate, last_at=time, next_at=time + gap)


def admitted(state: PaceState, now: float, window: int) -> PaceState:
    """Note that the gateway took a request of that window, whatever came of it."""
    state = at_time(state, now)
    row = 0 if window == state.window else state.in_a_row
    return replace(state, admitted_at=now, progress=max(state.progress, window), in_a_row=row)


def refused(
    state: PaceState,
    now: float,
    window: int,
    retry_after: float | None,
    *,
    jitter: float = 0.5,
    left_at: float = -math.inf,
    before: int | None = None,
    uncounted: Uncounted = _NOTHING,
) -> tuple[PaceState, Refusal]:
    """Slow down, for a request of that window bought nothing because it came too soon.

    Args:
        state: The pace so far.
        now: The time.
        window: The window in which the request left.
        retry_after: Seconds that the gateway asked to wait.
        jitter: Random number in 0..1: a pause that nobody asked for varies by a quarter, so that
            processes without a common account spread out.
        left_at: When the request left.
        before: The window of the call's attempt before.
        uncounted: What the process sent without counting it in the state.
    """
    state = at_time(state, now)
    if window == state.window or state.is_free:
        state = _slowed(state, now, retry_after, uncounted, jitter)
    elif window == state.window - 1 and left_at <= state.closed.at:
        state = _corrected(state, uncounted)
    if retry_after is not None:
        state = _held(state, now + retry_after)
    others = before is not None and state.progress > before
    return replace(state, busy_at=now), Refusal(state.next_at, state.admitted_at, others)


def _slowed(
    state: PaceState, now: float, retry_after: float | None, uncounted: Uncounted, jitter: float
) -> PaceState:
    sent = max(1, uncounted.sent + state.sent - state.not_left(now))
    is_progress = sent > state.refused + 1
    row = 1 if is_progress else state.in_a_row + 1
    pause = retry_after
    if pause is None:
        pause = _pause(row, state.low) * (0.75 + 0.5 * jitter)
    begun = state.begun if state.rate else min(uncounted.begun, now) - pause
    rate = state.rate_at(now)
    is_rising = rate > _RISING * state.low  # too quickly for what was sent to say anything
    closed = Closed(
        elapsed=max(now - begun, 0.001),
        at=now,
        sent=sent,
        refused=state.refused + 1,
        row=state.in_a_row,
        low=state.low,
        rate=rate,
        least=rate / 1.5 if is_rising else 0.0,
    )
    low = _slower(closed)
    slowed = replace(
        state,
        window=state.window + 1,
        begun=now,
        opened=now + pause,
        next_at=now if state.sent else state.next_at,
        last_at=now + pause,
        sent=0,
        refused=0,
        in_a_row=row,
        progress=state.window if is_progress else state.progress,
        low=low,
        rate=low,
        is_measured=_is_measure(closed) or (state.is_measured and state.rate > 0),
        closed=closed,
    )
    return _held(slowed, now + pause)


def _is_measure(closed: Closed) -> bool:
    """Say whether a window tells what is admitted; a few requests tell what was asked for."""
    return closed.admitted >= (1 if closed.rate else _FEW)


def _slower(closed: Closed) -> float:
    """Return the rate after a window; where nothing was admitted the pauses do what is needed."""
    if _is_measure(closed):
        measured = max(closed.admitted / closed.elapsed, closed.least)
        if closed.admitted < _FEW:
            measured = max(measured, closed.low)
        return max(1e-6, _DECREASE * min(measured, closed.rate or math.inf))
    if closed.low:
        return closed.low
    return _DECREASE * max(1, closed.admitted) / max(closed.elapsed, _FIRST_PAUSE)


def _corrected(state: PaceState, uncounted: Uncounted) -> PaceState:
    """Take a refusal of the window before into account, which was closed without it."""
    old = state.closed
    closed = replace(old, sent=old.sent + uncounted.sent, refused=old.refused + 1)
    low = _slower(closed)
    row = 1 if closed.admitted > 0 else old.row + 1
    is_measured = _is_measure(closed) or (state.is_measured and old.rate > 0)
    rate = max(low, state.rate) if state.sent else low
    state = replace(state, closed=closed, low=low, rate=rate, is_measured=is_measured)
    if row > state.in_a_row:
        return _held(replace(state, in_a_row=row), old.at + _pause(row, low))
    return state


def unreachable(state: PaceState, now: float, window: int) -> tuple[PaceState, Refusal]:
    """Wait, for a request of that window could not be sent; says nothing about the rate."""
    state = at_time(state, now)
    if window == state.window or state.is_free:
        row = state.in_a_row + 1
        state = replace(
            state, window=state.window + 1, begun=now, opened=now, sent=0, refused=0, in_a_row=row
        )
    state = _held(state, now + _pause(state.in_a_row, state.low))
    return replace(state, busy_at=now), Refusal(state.next_at, state.admitted_at, False)


def hold(state: PaceState, now: float, seconds: float) -> PaceState:
    """Let no request leave for so many seconds."""
    return _held(at_time(state, now), now + seconds)


def _held(state: PaceState, until: float) -> PaceState:
    return replace(state, next_at=min(max(state.next_at, until), state.seen_at + LONGEST_HOLD))


def _pause(row: int, rate: float) -> float:
    """Return the seconds to wait where nobody says: a request or two, then doubling."""
    if row <= 1 and rate:
        return min(_LONGEST_PAUSE, max(1 / rate, min(_FIRST_PAUSE, 2 / rate)))
    return min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (min(max(row, 1), 10) - 1))
