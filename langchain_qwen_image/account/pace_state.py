"""The pace of one gateway: a few numbers that all calls of an account share.

Pure, as JSON in the account, or in memory. Times are seconds of the store's clock.
"""

import json
import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, NamedTuple, TypeVar

LONGEST_HOLD = 86400.0
"""Seconds for which a gateway can ask to wait; more is taken for this."""
FORGOTTEN_AFTER = 60.0
"""Seconds without a refusal and without anybody who waits, after which there is no limit."""

_PER_REQUEST = 0.02
_PER_SECOND = 0.005
_ACCELERATION = 5.0
_DOUBLED_IN = 1.0
_FASTEST = 10_000.0


class Uncounted(NamedTuple):
    """What one process sent lately while there was no limit, and nobody counted together."""

    begun: float = math.inf
    sent: int = 0


class Turn(NamedTuple):
    """A request may leave now.

    Attributes:
        window: Between which slow-downs it leaves.
        left_at: When it leaves, by the pace's clock.
    """

    window: int
    left_at: float


class Wait(NamedTuple):
    """There is no turn yet; one that is unknown may turn out to be there at any time."""

    seconds: float
    is_unknown: bool = False


class Grant(NamedTuple):
    """When requests may leave; `ask_at` is when the next one may be asked for."""

    times: tuple[float, ...]
    ask_at: float


class Refusal(NamedTuple):
    """What a refusal means: no request leaves before `until`.

    Attributes:
        until: When the next request may leave.
        admitted_at: When the gateway last admitted one, as far as it is known.
        others_admitted: Whether the gateway admitted others since the call's attempt before.
    """

    until: float
    admitted_at: float
    others_admitted: bool


@dataclass(frozen=True, slots=True)
class Closed:
    """The window before: refusals of what left before `at` may still come.

    Attributes:
        elapsed: Seconds that it took, pauses included and idle time left out.
        at: When it ended.
        sent: Requests that had left by then.
        refused: Those that were refused.
        row: Windows before it, in a row, in which nothing was admitted.
        low: Requests a second at its beginning; 0 for no limit.
        rate: Requests a second at its end; 0 for no limit.
        least: Requests a second that the gateway can be expected to admit, whatever was counted.
    """

    elapsed: float = 1.0
    at: float = 0.0
    sent: int = 0
    refused: int = 0
    row: int = 0
    low: float = 0.0
    rate: float = 0.0
    least: float = 0.0

    @property
    def admitted(self) -> int:
        """Requests that were not refused."""
        return self.sent - self.refused


@dataclass(frozen=True, slots=True)
class PaceState:
    """The pace of one gateway.

    Attributes:
        window: Number of the time between two slow-downs.
        begun: When the window began; idle time moves it on.
        opened: When its first request could leave; idle time moves it on.
        sent: Requests that left in it.
        refused: Those that were refused.
        low: Requests a second at its beginning; 0 for no limit.
        rate: Requests a second now.
        last_at: When the last request left, or may.
        is_measured: Whether the rate comes from requests that were admitted.
        next_at: When the next request may leave.
        in_a_row: Windows, up to this one, in which nothing was admitted.
        progress: Last window in which a request was admitted, or was not refused.
        admitted_at: When the gateway last admitted a request, as far as it was told.
        busy_at: When a request last had to wait, or was refused.
        seen_at: The latest time seen: a clock before it was set back.
        closed: The window before.
    """

    window: int = 0
    begun: float = 0.0
    opened: float = 0.0
    sent: int = 0
    refused: int = 0
    low: float = 0.0
    rate: float = 0.0
    last_at: float = 0.0
    is_measured: bool = False
    next_at: float = 0.0
    in_a_row: int = 0
    progress: int = -1
    admitted_at: float = 0.0
    busy_at: float = 0.0
    seen_at: float = 0.0
    closed: Closed = Closed()

    @property
    def is_free(self) -> bool:
        """Whether nothing has to be counted or waited for."""
        return not self.rate and not self.in_a_row

    def grown(self, time: float) -> float:
        """Return the rate of a request that leaves then, in requests a second."""
        growth = self.growth(time)
        if self.is_measured and growth <= 1:
            target = self.low * (1 + growth)
        elif self.is_measured:
            target = 2 * self.low * _exp(_ACCELERATION * (growth - 1))
        else:
            target = self.low * _exp(2 * _ACCELERATION * growth)
        doubled = self.rate * _exp((time - self.last_at) / _DOUBLED_IN * math.log(2))
        return max(self.rate, min(_FASTEST, target, doubled))

    def growth(self, time: float) -> float:
        """Return by how much the rate may have risen; above 1 what was measured is out of date."""
        return _PER_REQUEST * self.sent + _PER_SECOND * max(0.0, time - self.opened)

    def rate_at(self, now: float) -> float:
        """Return the rate of now, where turns are given out up to `next_at`, at a rising rate."""
        ahead = max(0.0, self.next_at - now)
        return max(self.low, self.rate * _exp(-ahead / _DOUBLED_IN * math.log(2)))

    def not_left(self, now: float) -> int:
        """Return how many turns are given out for later than now."""
        ahead = max(0.0, self.next_at - now)
        return min(self.sent, int(ahead * (self.rate_at(now) + self.rate) / 2))

    def dump(self) -> str:
        """Return the state as JSON."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @staticmethod
    def load(text: str) -> "PaceState":
        """Read what `dump` wrote; anything else, such as what others prepared, is no limit."""
        try:
            found = json.loads(text)
            closed = _checked(Closed, found.pop("closed"))
            return replace(_checked(PaceState, found), closed=closed)
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError, OverflowError):
            return PaceState()


def _exp(power: float) -> float:
    return math.exp(min(50.0, power))


_T = TypeVar("_T", PaceState, Closed)


def _checked(kind: type[_T], found: dict[str, Any]) -> _T:
    kinds = {one.name: type(one.default) for one in fields(kind)}
    for name, value in found.items():
        is_number = isinstance(value, (int, float)) and isinstance(value, kinds[name] | int)
        if not is_number or not -1 <= value < 1e15:
            raise ValueError(name)
    return kind(**found)


def at_time(state: PaceState, now: float) -> PaceState:
    """Return the state as it is now: moved back with a clock, or forgotten after a quiet time."""
    back = state.seen_at - now
    if back > 0:
        state = replace(
            state,
            begun=state.begun - back,
            opened=state.opened - back,
            last_at=state.last_at - back,
            next_at=state.next_at - back,
            admitted_at=state.admitted_at - back,
            busy_at=state.busy_at - back,
            closed=replace(state.closed, at=state.closed.at - back),
        )
    if state.next_at - now > LONGEST_HOLD:
        state = replace(state, next_at=now + LONGEST_HOLD)
    if now - max(state.busy_at, state.next_at) > FORGOTTEN_AFTER and not state.is_free:
        state = PaceState(window=state.window + 1, admitted_at=state.admitted_at)
    return replace(state, seen_at=now)
