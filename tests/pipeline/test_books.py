"""The books that all calls of some settings share."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from langchain_qwen_image import Account, Budget
from langchain_qwen_image.account.limits import Limits
from langchain_qwen_image.concurrency.runtime import Asyncio
from langchain_qwen_image.errors import BudgetExceededError
from langchain_qwen_image.pipeline.books import Books

PRICE = Decimal("0.045")
LITTLE = Limits(Decimal("0.01"), None)


class Counted(Asyncio):
    """Counts what goes to a thread."""

    def __init__(self) -> None:
        """Start at none."""
        super().__init__()
        self.besides = 0

    async def beside(self, work: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Count it, and do it here."""
        self.besides += 1
        return work(*args, **kwargs)


def books(
    runtime: Counted,
    account: Account | None = None,
    budget: Budget | None = None,
    limits: tuple[Limits, ...] = (),
) -> Books:
    """Return books of calls that cost 0.045 USD."""
    return Books(runtime, account, budget, limits, None, PRICE, 30.0, 1000)


async def test_a_budget_that_there_is_not_costs_no_thread(tmp_path: Path) -> None:
    """Where nothing is limited, no call goes through a thread to ask what is left."""
    runtime = Counted()
    unlimited = Limits(None, None)
    await books(runtime).check_budget("https://gateway")
    account = Account(tmp_path / "books.db")
    await books(runtime, account, limits=(unlimited,)).check_budget("https://gateway")
    assert runtime.besides == 0


@pytest.mark.parametrize("where", ["account", "limits", "memory"])
async def test_every_limit_is_looked_at(tmp_path: Path, where: str) -> None:
    """A call that the account, a budget of it, or one in memory does not allow is refused."""
    runtime = Counted()
    path = tmp_path / "books.db"
    limited = {
        "account": books(runtime, Account(path, max_usd="0.01")),
        "limits": books(runtime, Account(path), limits=(LITTLE,)),
        "memory": books(runtime, budget=Budget(max_usd="0.01")),
    }
    with pytest.raises(BudgetExceededError):
        await limited[where].check_budget("https://gateway")
