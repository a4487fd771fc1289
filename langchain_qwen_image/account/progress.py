"""How far a run has come, and where its money is."""

from dataclasses import dataclass, field
from decimal import Decimal

from langchain_qwen_image.account.leases import OVER
from langchain_qwen_image.account.limits import Totals
from langchain_qwen_image.account.money import (
    Purse,
    add,
    held,
    images_of,
    purse_of,
    read_totals,
    subtract,
    usd_of,
)
from langchain_qwen_image.account.store import Row, Transaction

__all__ = ["Progress", "progress_of", "totals_now"]

# A call whose lease is over is as good as settled, whether or not anyone has come by.
_STATE = f"CASE WHEN state = 'sent' AND {OVER} THEN 'unknown' ELSE state END"
_BY_STATE = f"""
SELECT {_STATE} AS now_state, base_url, cost_usd, cost_images, count(*) AS calls,
    count(CASE WHEN replaced_by IS NULL THEN 1 END) AS standing
FROM calls WHERE run = :run AND run <> '' GROUP BY now_state, base_url, cost_usd, cost_images
"""  # noqa: S608 - of constants
_FROM_OVER = f"FROM calls WHERE state = 'sent' AND {OVER}"
_OVER_CALLS = f"SELECT base_url, cost_usd, cost_images {_FROM_OVER}"
_OVER_RESERVED = f"SELECT usd, images FROM reservations WHERE {OVER}"  # noqa: S608 - of constants


@dataclass(slots=True)
class Progress:
    """The requests of one run by their state, and their money; the sandbox's are not among them.

    Attributes:
        waiting: Entered, and not sent yet.
        under_way: Sent or queued, and not answered yet.
        saved: Paid for and saved.
        unsaved: Paid for and not saved yet.
        refused: Refused; nothing was bought.
        unknown: Sent, without a known answer; they may have been billed, and count as spent.
        spent_usd: US dollars for saved, unsaved and unknown ones, replaced ones included.
        reserved_usd: US dollars reserved for those under way.
    """

    waiting: int = 0
    under_way: int = 0
    saved: int = 0
    unsaved: int = 0
    refused: int = 0
    unknown: int = 0
    spent_usd: Decimal = field(default=Decimal(0))
    reserved_usd: Decimal = field(default=Decimal(0))

    @property
    def requests(self) -> int:
        """All of them."""
        given = self.waiting + self.under_way + self.saved
        return given + self.unsaved + self.refused + self.unknown


_COUNTED_AS = {
    "asked": "waiting",
    "sent": "under_way",
    "queued": "under_way",
    "answered": "unsaved",
}


def progress_of(tx: Transaction, run: str, purse: Purse) -> Progress:
    """Return how far a run has come at the gateways of a purse."""
    progress = Progress()
    for row in tx.all(_BY_STATE, {"run": run, "now": tx.now()}):
        if purse_of(row["base_url"]) == purse:
            _add(progress, row)
    return progress


def totals_now(tx: Transaction, purse: Purse) -> Totals:
    """Return the totals of a purse, in which what is past its time is spent already."""
    totals, now = read_totals(tx, purse), {"now": tx.now()}
    for row in tx.all(_OVER_CALLS, now):
        if purse_of(row["base_url"]) == purse:
            totals = _spent(totals, usd_of(row["cost_usd"]), images_of(row["cost_images"]))
    for row in tx.all(_OVER_RESERVED, now) if purse == "gateway" else ():
        totals = _spent(totals, usd_of(row["usd"]), images_of(row["images"]))
    return totals


def _spent(totals: Totals, usd: Decimal, images: int) -> Totals:
    reserved = Totals(reserved_usd=usd, reserved_images=images)
    return add(subtract(totals, reserved), Totals(spent_usd=usd, spent_images=images))


def _add(progress: Progress, row: Row) -> None:
    state, calls = row["now_state"], row["calls"]
    name = _COUNTED_AS.get(state, state)
    setattr(progress, name, getattr(progress, name) + row["standing"])
    money = held(state, usd_of(row["cost_usd"]) * calls, 0)
    progress.spent_usd += money.spent_usd
    progress.reserved_usd += money.reserved_usd
