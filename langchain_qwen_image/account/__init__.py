"""The books of one gateway account: what was asked, paid and saved, what may be spent, how fast.

Names are resolved at first use: importing the tool does not load SQLite.
"""

from typing import TYPE_CHECKING

from langchain_qwen_image._lazy import attach

if TYPE_CHECKING:
    from langchain_qwen_image.account.budget import Budget
    from langchain_qwen_image.account.database import Commit
    from langchain_qwen_image.account.ledger import Ledger
    from langchain_qwen_image.account.limits import Limits, Totals
    from langchain_qwen_image.account.memory import BudgetStore
    from langchain_qwen_image.account.records import LedgerCall, LedgerImage, State
    from langchain_qwen_image.account.spend import SpendDay, spend_by_day
    from langchain_qwen_image.account.transitions import AlreadyAskedError

_HOMES = {
    "AlreadyAskedError": "transitions",
    "Budget": "budget",
    "BudgetStore": "memory",
    "Commit": "database",
    "Ledger": "ledger",
    "LedgerCall": "records",
    "LedgerImage": "records",
    "Limits": "limits",
    "SpendDay": "spend",
    "State": "records",
    "Totals": "limits",
    "spend_by_day": "spend",
}

__all__ = [
    "AlreadyAskedError",
    "Budget",
    "BudgetStore",
    "Commit",
    "Ledger",
    "LedgerCall",
    "LedgerImage",
    "Limits",
    "SpendDay",
    "State",
    "Totals",
    "spend_by_day",
]

__getattr__, __dir__ = attach(__name__, _HOMES)
