"""Hold spending under a limit: reserve before a POST, settle or release after it."""

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from langchain_qwen_image.account.limits import limits_of
from langchain_qwen_image.account.memory import BudgetStore, Limits, MemoryStore, Totals
from langchain_qwen_image.environment import on_event_loop
from langchain_qwen_image.errors import ConfigurationError

if TYPE_CHECKING:
    from langchain_qwen_image.account.account import Account

__all__ = ["Budget", "BudgetStore", "Limits", "Totals"]

T = TypeVar("T")


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
        self.limits = limits_of(max_usd, max_images)
        self._store: BudgetStore = MemoryStore() if store is None else store

    @classmethod
    def file(
        cls,
        path: str | os.PathLike[str],
        *,
        max_usd: float | str | Decimal | None = None,
        max_images: int | None = None,
    ) -> "Budget":
        """Make a budget of an account: all its calls count, of every process that uses it.

        The account says what was spent; the limits are those given here. Calls that get this
        budget are entered in the account. What `reserve` set aside and nobody settled within an
        hour counts as spent.

        Args:
            path: The account's file, made at the first reservation, or its address.
            max_usd: US dollars, 0 or more; a float is taken as it prints.
            max_images: Images, 0 or more.

        Raises:
            ConfigurationError: There is no limit, or one that is negative or no number.
        """
        from langchain_qwen_image.account.file import AccountStore

        return cls(max_usd=max_usd, max_images=max_images, store=AccountStore(path))

    def reserve(self, usd: Decimal, images: int = 1) -> str:
        """Set money aside before a POST, and return the token to settle or release it by.

        Args:
            usd: What the images will cost together at most, US dollars, 0 or more.
            images: How many images, 0 or more.

        Raises:
            BudgetExceededError: It would go over a limit; nothing is set aside.
            ValueError: An amount is negative or not finite.
        """
        _check_amount(usd, images)
        answer = self._store.reserve(usd, images, self.limits)
        if not isinstance(answer, Future):
            return answer
        with self._given_back_if_interrupted(answer):
            return answer.result()

    async def areserve(self, usd: Decimal, images: int = 1) -> str:
        """Do what `reserve` does, without blocking the event loop."""
        _check_amount(usd, images)
        answer = self._store.reserve(usd, images, self.limits)
        if not isinstance(answer, Future):
            return answer
        with self._given_back_if_interrupted(answer):
            return await asyncio.wrap_future(answer)

    def check(self, usd: Decimal, images: int = 1) -> None:
        """See whether an amount could be set aside now; nothing is.

        Raises:
            BudgetExceededError: It would go over a limit.
        """
        self.limits.check(self._store.totals(), usd, images)

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

    @property
    def account(self) -> "Account | None":
        """The account whose money it limits; None for a count of its own."""
        account: Account | None = getattr(self._store, "account", None)
        return account

    @property
    def max_usd(self) -> Decimal | None:
        """Limit in US dollars, if there is one."""
        return self.limits.max_usd

    @property
    def max_images(self) -> int | None:
        """Limit in images, if there is one."""
        return self.limits.max_images

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
        return self.limits.remaining_usd(self._store.totals())

    @property
    def images(self) -> int:
        """Images settled."""
        return self._store.totals().spent_images

    @property
    def remaining_images(self) -> int | None:
        """Images neither spent nor reserved; None without a limit in images."""
        return self.limits.remaining_images(self._store.totals())

    def __repr__(self) -> str:
        if self.account is not None and on_event_loop():  # what is left is in its file
            return f"<Budget of {self.account.location}>"
        return f"<Budget: {self.limits.describe(self._store.totals())} left>"

    def __copy__(self) -> "Budget":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "Budget":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restore, (self.limits, self._store))

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
