"""The books of one gateway account: what was asked, paid and saved, what may be spent, how fast.

Names are resolved at first use: importing the tool does not load SQLite.
"""

from typing import TYPE_CHECKING

from langchain_qwen_image._lazy import attach

if TYPE_CHECKING:
    from langchain_qwen_image.account.account import Account
    from langchain_qwen_image.account.budget import Budget
    from langchain_qwen_image.account.keys import NewCall
    from langchain_qwen_image.account.leases import CallTakenError, Lease
    from langchain_qwen_image.account.limits import Limits, Totals
    from langchain_qwen_image.account.memory import BudgetStore
    from langchain_qwen_image.account.pace import Pace
    from langchain_qwen_image.account.progress import Progress
    from langchain_qwen_image.account.records import CallRecord, ImageRecord, State
    from langchain_qwen_image.account.spend import SpendDay, spend_by_day
    from langchain_qwen_image.account.store import Commit

_HOMES = {
    "Account": "account",
    "Budget": "budget",
    "BudgetStore": "memory",
    "CallTakenError": "leases",
    "Commit": "store",
    "Lease": "leases",
    "CallRecord": "records",
    "ImageRecord": "records",
    "Limits": "limits",
    "NewCall": "keys",
    "Pace": "pace",
    "Progress": "progress",
    "SpendDay": "spend",
    "State": "records",
    "Totals": "limits",
    "spend_by_day": "spend",
}

__all__ = [
    "Account",
    "Budget",
    "BudgetStore",
    "CallRecord",
    "CallTakenError",
    "Commit",
    "ImageRecord",
    "Lease",
    "Limits",
    "NewCall",
    "Pace",
    "Progress",
    "SpendDay",
    "State",
    "Totals",
    "spend_by_day",
]

__getattr__, __dir__ = attach(__name__, _HOMES)
