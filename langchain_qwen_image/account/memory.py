"""Where a budget's money is counted: what such a store does, and the one in this process."""

from concurrent.futures import Future
from decimal import Decimal
from itertools import count
from typing import NoReturn, Protocol

from langchain_qwen_image.account.limits import EXACT, ZERO, Limits, Totals

__all__ = ["BudgetStore", "Limits", "MemoryStore", "Totals"]

_add = EXACT.add
_subtract = EXACT.subtract


class BudgetStore(Protocol):
    """What counts a budget's money; one shared by many machines would be another of these.

    Each of the three steps is atomic for everything that shares the store. It returns at once, or
    returns a `concurrent.futures.Future` when it waits for a disk or a network.
    """

    def reserve(self, usd: Decimal, images: int, limits: Limits) -> str | Future[str]:
        """Set money aside if `limits.check` passes, and return a token for it.

        Raises:
            BudgetExceededError: From `limits.check`; the future may fail with it instead.
        """
        ...

    def settle(self, token: str, usd: Decimal, images: int) -> Future[None] | None:
        """Replace a reservation by its true cost; do nothing for one that is gone."""
        ...

    def release(self, token: str) -> Future[None] | None:
        """Give a reservation back; do nothing for one that is gone."""
        ...

    def totals(self) -> Totals:
        """Return what is spent and reserved now."""
        ...


class _State:
    """What is counted at one moment; a change makes the next one."""

    __slots__ = ("_next", "reserved", "totals")

    def __init__(self, totals: Totals, reserved: dict[str, tuple[Decimal, int]]) -> None:
        self.totals = totals
        self.reserved = reserved
        self._next: dict[None, _State] = {}

    def follow(self) -> "_State | None":
        """Return the state that came after this one."""
        return self._next.get(None)

    def change(self, to: "_State") -> bool:
        """Make a state the one after this one, and say whether no other one was quicker."""
        return self._next.setdefault(None, to) is to  # one step of C


class MemoryStore:
    """Count in this process; a forked child counts on separately.

    There is no lock: a signal handler, a finaliser or a fork may come between any two steps of a
    change, which counts as a whole or not at all.
    """

    def __init__(self) -> None:
        """Start with nothing spent."""
        self._state = _State(Totals(), {})
        self._numbers = count(1)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "A budget in memory cannot be pickled: the copy would be a second budget. "
            "Budget.file(path, ...) is shared by processes."
        )

    def reserve(self, usd: Decimal, images: int, limits: Limits) -> str:
        """Set money aside."""
        token = str(next(self._numbers))
        while True:
            state = self._latest()
            given = state.totals
            limits.check(given, usd, images)
            totals = Totals(given[0], _add(given[1], usd), given[2], given[3] + images)
            if state.change(_State(totals, state.reserved | {token: (usd, images)})):
                return token

    def settle(self, token: str, usd: Decimal, images: int) -> None:
        """Replace a reservation by its true cost."""
        while True:
            state = self._latest()
            if token not in state.reserved:
                return
            given, others = state.totals, dict(state.reserved)
            reserved = others.pop(token)
            totals = Totals(
                _add(given[0], usd),
                _subtract(given[1], reserved[0]),
                given[2] + images,
                given[3] - reserved[1],
            )
            if state.change(_State(totals, others)):
                return

    def release(self, token: str) -> None:
        """Give a reservation back."""
        self.settle(token, ZERO, 0)

    def totals(self) -> Totals:
        """Return what is spent and reserved now."""
        return self._latest().totals

    def _latest(self) -> _State:
        state = self._state
        while (following := state.follow()) is not None:
            state = following
        self._state = state
        return state
