"""Hold spending under a limit: reserve before a POST, settle or release after it."""

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

from langchain_qwen_image.account.memory import BudgetStore, Limits, MemoryStore, Totals
from langchain_qwen_image.errors import ConfigurationError

__all__ = ["Budget", "BudgetStore", "Limits", "Totals"]

T = TypeVar("T")
_LARGEST = Decimal(10) ** 9


class Budget:
    """A limit in US dollars, in images, or both, shared by everything it is given to.

    Any number of tools, generators, threads and tasks may hold one budget; together they never
    get past it. A copy of a budget is the budget itself: a copied tool gets no second budget.

    Examples:
        >>> budget = Budget(max_usd=0.10)
        >>> token = budget.reserve(Decimal("0.045"))
        >>> budget.settle(token, Decimal("0.045"))
        >>> budget.spent_usd, budget.remaining_usd
        (Decimal('0.045'), Decimal('0.055'))
    """

    def __init__(
        self,
        *,
        max_usd: float | str | Decimal | None = None,
        max_images: int | None = None,
        store: BudgetStore | None = None,
    ) -> None:
        """Set the limits.

        Args:
            max_usd: US dollars, 0 or more; a float is taken as it prints.
            max_images: Images, 0 or more.
            store: Where to count; in this process by default.

        Raises:
            ConfigurationError: There is no limit, or one that is negative or no number.
        """
        if max_usd is None and max_images is None:
            raise ConfigurationError("A budget needs a limit: give max_usd, max_images, or both.")
        self._limits = Limits(_limit_usd(max_usd), _limit_images(max_images))
        self._store: BudgetStore = MemoryStore() if store is None else store

    @classmethod
    def file(
        cls,
        path: str | os.PathLike[str],
        *,
        max_usd: float | str | Decimal | None = None,
        max_images: int | None = None,
    ) -> "Budget":
        """Make a budget that keeps its count in a file, for all processes of one machine.

        The file holds what was spent; the limits are those given here. What a killed process had
        reserved counts as spent.

        Args:
            path: The SQLite file, made at the first reservation; a ledger's file will do.
            max_usd: US dollars, 0 or more; a float is taken as it prints.
            max_images: Images, 0 or more.

        Raises:
            ConfigurationError: There is no limit, or one that is negative or no number.
        """
        from langchain_qwen_image.account.file import FileStore

        return cls(max_usd=max_usd, max_images=max_images, store=FileStore(path))

    def reserve(self, usd: Decimal, images: int = 1, *, call_id: str | None = None) -> str:
        """Set money aside before a POST, and return the token to settle or release it by.

        Args:
            usd: What the images will cost together at most, US dollars, 0 or more.
            images: How many images, 0 or more.
            call_id: The call that it is for, where its ledger is in the budget's own file.

        Raises:
            BudgetExceededError: It would go over a limit; nothing is set aside.
            ValueError: An amount is negative or not finite.
        """
        _check_amount(usd, images)
        answer = self._store.reserve(usd, images, self._limits, call_id)
        if not isinstance(answer, Future):
            return answer
        with self._given_back_if_interrupted(answer):
            return answer.result()

    async def areserve(self, usd: Decimal, images: int = 1, *, call_id: str | None = None) -> str:
        """Do what `reserve` does, without blocking the event loop."""
        _check_amount(usd, images)
        answer = self._store.reserve(usd, images, self._limits, call_id)
        if not isinstance(answer, Future):
            return answer
        with self._given_back_if_interrupted(answer):
            return await asyncio.wrap_future(answer)

    def settle(self, token: str, usd: Decimal, images: int = 1) -> None:
        """Turn a reservation into what was truly spent; a second time does nothing.

        Args:
            token: What `reserve` returned.
            usd: The true cost, US dollars, 0 or more; it may differ from the reservation.
            images: Images paid for, 0 or more.

        Raises:
            ValueError: An amount is negative or not finite.
        """
        _check_amount(usd, images)
        _wait(self._store.settle(token, usd, images))

    async def asettle(self, token: str, usd: Decimal, images: int = 1) -> None:
        """Do what `settle` does, without blocking the event loop."""
        _check_amount(usd, images)
        await _awaited(self._store.settle(token, usd, images))

    def release(self, token: str) -> None:
        """Give a reservation back: nothing was bought. A second time does nothing."""
        _wait(self._store.release(token))

    async def arelease(self, token: str) -> None:
        """Do what `release` does, without blocking the event loop."""
        await _awaited(self._store.release(token))

    def is_in(self, path: Path) -> bool:
        """Say whether this budget counts in that file."""
        return getattr(self._store, "path", None) == path

    @property
    def max_usd(self) -> Decimal | None:
        """Limit in US dollars, if there is one."""
        return self._limits.max_usd

    @property
    def max_images(self) -> int | None:
        """Limit in images, if there is one."""
        return self._limits.max_images

    @property
    def spent_usd(self) -> Decimal:
        """US dollars settled."""
        return self._store.totals().spent_usd

    @property
    def reserved_usd(self) -> Decimal:
        """US dollars set aside for calls in progress."""
        return self._store.totals().reserved_usd

    @property
    def remaining_usd(self) -> Decimal | None:
        """US dollars neither spent nor reserved; None without a limit in US dollars."""
        return self._limits.remaining_usd(self._store.totals())

    @property
    def images(self) -> int:
        """Images settled."""
        return self._store.totals().spent_images

    @property
    def remaining_images(self) -> int | None:
        """Images neither spent nor reserved; None without a limit in images."""
        return self._limits.remaining_images(self._store.totals())

    def __repr__(self) -> str:
        return f"<Budget: {self._limits.describe(self._store.totals())} left>"

    def __copy__(self) -> "Budget":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "Budget":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restore, (self._limits, self._store))

    @contextmanager
    def _given_back_if_interrupted(self, answer: Future[str]) -> Iterator[None]:
        """Release a reservation that is made after its caller has gone: nobody has its token."""
        try:
            yield
        except BaseException:
            answer.add_done_callback(self._give_back)
            raise

    def _give_back(self, answer: Future[str]) -> None:
        if not answer.cancelled() and answer.exception() is None:
            self._store.release(answer.result())


def _restore(limits: Limits, store: BudgetStore) -> Budget:
    return Budget(max_usd=limits.max_usd, max_images=limits.max_images, store=store)


def _wait(answer: Future[T] | None) -> None:
    if answer is not None:
        answer.result()


async def _awaited(answer: Future[T] | None) -> None:
    if answer is not None:
        await asyncio.wrap_future(answer)


def _check_amount(usd: Decimal, images: int) -> None:
    if not (usd.is_finite() and usd >= 0 and images >= 0):
        raise ValueError(f"An amount must be finite and 0 or more, not {usd} for {images} images.")


def _limit_usd(value: float | str | Decimal | None) -> Decimal | None:
    if value is None:
        return None
    try:
        limit = Decimal(str(value))
    except InvalidOperation:
        raise ConfigurationError(f"max_usd must be a number, not {value!r}.") from None
    # Within these bounds every sum and difference is exact.
    is_money = limit.is_finite() and 0 <= limit <= _LARGEST
    if not is_money or int(limit.as_tuple().exponent) < -18:
        raise ConfigurationError(
            f"max_usd must be 0 to {_LARGEST:f} with at most 18 decimals, not {value!r}."
        )
    return limit


def _limit_images(value: int | None) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or value < 0:
        raise ConfigurationError(f"max_images must be a whole number, 0 or more, not {value!r}.")
    return value
