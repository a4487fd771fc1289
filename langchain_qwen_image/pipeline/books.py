"""The account and the budget that the calls of some settings share, in one of the two worlds."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from langchain_core.rate_limiters import BaseRateLimiter

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.budget import Budget
from langchain_qwen_image.account.keys import NewCall
from langchain_qwen_image.account.limits import Limits
from langchain_qwen_image.account.records import CallRecord
from langchain_qwen_image.account.store import Commit, NotTakenError
from langchain_qwen_image.concurrency.runtime import Runtime
from langchain_qwen_image.errors import AccountError, ConfigurationError

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Books:
    """What is told of each call before and after its POST.

    Attributes:
        runtime: The world that the calls are made in.
        account: Where each call is entered, if anywhere.
        budget: Holds the price while a call is out, where that is counted outside of the account.
        limits: What the account is to allow at most, beside its own limits.
        rate_limiter: Is waited for before each POST.
        price: Price of one image, in US dollars.
        lease_seconds: The longest that connecting and answering can take.
        max_raw_bytes: Most bytes that are kept of an answer without an image.
    """

    runtime: Runtime
    account: Account | None
    budget: Budget | None
    limits: Iterable[Limits]
    rate_limiter: BaseRateLimiter | None
    price: Decimal
    lease_seconds: float
    max_raw_bytes: int

    async def entered(
        self, account: Account, call: NewCall, *, replacing: str | None = None
    ) -> CallRecord:
        """Enter a call in the account, and return the one that stands for its key.

        Raises:
            IdempotencyError: The key was used for another request.
            AccountError: The account cannot be written.
        """
        return await self.committed(lambda: account.asked(call, replacing=replacing))

    async def check_budget(self, base_url: str) -> None:
        """See whether a call may be paid for now; nothing is set aside.

        Raises:
            BudgetExceededError: It may not.
        """
        if self._has_limits:
            await self.runtime.beside(self._check_budget, base_url)

    async def reserve(self) -> str | None:
        """Set the price aside, and return the token of it; None where there is no budget.

        Raises:
            BudgetExceededError: The budget does not allow it.
            ConfigurationError: It cannot be written.
        """
        budget = self.budget
        if budget is None:
            return None
        try:
            return await self.runtime.either(budget.reserve, budget.areserve, self.price)
        except AccountError as error:
            problem = str(error)
        raise ConfigurationError(f"The budget cannot be written, so nothing was sent: {problem}")

    async def committed(self, step: Callable[[], Commit[_T]]) -> _T:
        """Wait until a step is on the disk; nothing may be sent before.

        Raises:
            AccountError: It cannot be.
        """
        try:
            return await self.runtime.either(lambda: step().result(), step)
        except NotTakenError as error:
            problem = str(error)
        raise AccountError(f"The books cannot be written, so nothing was sent: {problem}")

    @property
    def _has_limits(self) -> bool:
        own = () if self.account is None else (self.account.limits,)
        return self.budget is not None or any(limit.is_set for limit in (*own, *self.limits))

    def _check_budget(self, base_url: str) -> None:
        if self.budget is not None:
            self.budget.check(self.price)
        if self.account is not None:
            self.account.check_budget(base_url, self.price, self.limits)
