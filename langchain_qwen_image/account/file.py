"""A budget's money counted in an account."""

import os
from decimal import Decimal
from uuid import uuid4

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.limits import ZERO, Limits, Totals
from langchain_qwen_image.account.store import Commit

__all__ = ["AccountStore"]


class AccountStore:
    """Count in an account, together with its calls.

    Attributes:
        account: The account.
    """

    def __init__(self, location: str | os.PathLike[str]) -> None:
        """Name the account; its file is made at the first reservation."""
        self.account = Account(location)

    def reserve(self, usd: Decimal, images: int, limits: Limits) -> Commit[str]:
        """Set money aside; the commit's result is the token."""
        return self.account.reserve(uuid4().hex, usd, images, (limits,))

    def settle(self, token: str, usd: Decimal, images: int) -> Commit[None]:
        """Replace a reservation by its true cost."""
        return self.account.settle(token, usd, images)

    def release(self, token: str) -> Commit[None]:
        """Give a reservation back."""
        return self.settle(token, ZERO, 0)

    def totals(self) -> Totals:
        """Return what is spent and reserved now."""
        return self.account.totals()
