"""Where a budget's money is counted: what such a store does, and the one in this process."""

import threading
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


class MemoryStore:
    """Count in this process; a forked child counts on separately."""

    def __init__(self) -> None:
        """Start with nothing spent."""
        self._lock = threading.RLock()  # a finaliser may release inside a step
        self._totals = Totals()
        self._open: dict[str, tuple[Decimal, int]] = {}
        self._numbers = count(1)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "A budget in memory cannot be pickled: the copy would be a second budget. "
            "Budget.file(path, ...) is shared by processes."
        )

    def reserve(self, usd: Decimal, images: int, limits: Limits) -> str:
        """Set money aside."""
        with self._lock:
            given = self._totals
            limits.check(given, usd, images)
            token = str(next(self._numbers))
            self._open[token] = (usd, images)
            self._totals = Totals(given[0], _add(given[1], usd), given[2], given[3] + images)
        return token

    def settle(self, token: str, usd: Decimal, images: int) -> None:
        """Replace a reservation by its true cost."""
        with self._lock:
            reserved = self._open.pop(token, None)
            if reserved is None:
                return
            given = self._totals
            self._totals = Totals(
                _add(given[0], usd),
                _subtract(given[1], reserved[0]),
                given[2] + images,
                given[3] - reserved[1],
            )

    def release(self, token: str) -> None:
        """Give a reservation back."""
        self.settle(token, ZERO, 0)

    def totals(self) -> Totals:
        """Return what is spent and reserved now."""
        return self._totals
