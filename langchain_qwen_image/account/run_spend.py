"""Add up what one run paid, or may have paid, by the account: not by what it lived to report."""

from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial

from langchain_qwen_image.account.money import usd_of
from langchain_qwen_image.account.queries import newest
from langchain_qwen_image.account.reader import AccountReader
from langchain_qwen_image.account.store import Transaction

__all__ = ["RunSpend", "newest_call", "spend_after"]

# By number and not by time: a clock may be set back in a run.
_CALLS = """
SELECT state, cost_usd, count(*) AS calls FROM calls
WHERE run = :run AND seq > :call GROUP BY state, cost_usd
"""
_IMAGES = """
SELECT count(*) AS images FROM images JOIN calls ON calls.seq = images.call
WHERE run = :run AND calls.seq > :call
"""


@dataclass(slots=True)
class RunSpend:
    """The money of one run.

    Attributes:
        images: Images that answers named.
        usd: US dollars for them.
        saved: Calls whose images are saved.
        unknown: Calls sent without a known answer: they may have been billed.
        usd_unknown: US dollars that these may have cost.
    """

    images: int = 0
    usd: Decimal = field(default=Decimal(0))
    saved: int = 0
    unknown: int = 0
    usd_unknown: Decimal = field(default=Decimal(0))


def newest_call(account: AccountReader) -> int:
    """Return the number of the call that an account has last; 0 if there is none.

    Raises:
        AccountError: It cannot be read.
    """
    return account._store.read(newest, missing=0)


def spend_after(account: AccountReader, call: int, batch: str | None) -> RunSpend:
    """Return the money of the calls that were asked after the call of that number.

    Args:
        account: The account.
        call: The number, of `newest_call`.
        batch: The bulk run that they belong to; None for calls that belong to none.

    Raises:
        AccountError: The account cannot be read.
    """
    return account._store.read(partial(_spend, call=call, batch=batch), missing=RunSpend())


def _spend(tx: Transaction, call: int, batch: str | None) -> RunSpend:
    values = {"run": batch or "", "call": call}
    images = tx.one(_IMAGES, values)
    spend = RunSpend(images=images["images"] if images else 0)
    for row in tx.all(_CALLS, values):
        usd = row["calls"] * usd_of(row["cost_usd"])
        if row["state"] in ("answered", "saved"):
            spend.usd += usd
        elif row["state"] in ("sent", "queued", "unknown"):
            spend.unknown += row["calls"]
            spend.usd_unknown += usd
        if row["state"] == "saved":
            spend.saved += row["calls"]
    return spend
