"""Where a call's money is: its state says so, and the totals say it for all calls together."""

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Literal

from langchain_qwen_image.account.limits import EXACT, ZERO, Limits, Totals
from langchain_qwen_image.account.store import Row, Transaction
from langchain_qwen_image.defaults import SANDBOX_URL
from langchain_qwen_image.errors import AccountError

__all__ = [
    "Purse",
    "add",
    "held",
    "images_of",
    "lock_totals",
    "move",
    "purse_of",
    "read_totals",
    "subtract",
    "usd_of",
    "write_totals",
]

Purse = Literal["gateway", "sandbox"]
"""All paid gateways together, or the sandbox, which is a gateway of its own."""

_TOTALS = (
    "SELECT spent_usd, reserved_usd, spent_images, reserved_images FROM totals WHERE purse = :purse"
)
_RESERVED = ("sent", "queued")
_SPENT = ("answered", "saved", "unknown")
_LARGEST = Decimal(10) ** 12
_SMALLEST_EXPONENT = -24
_PLAIN = re.compile(r"[0-9]{1,12}(\.[0-9]{1,24})?")

_add, _subtract = EXACT.add, EXACT.subtract


def purse_of(base_url: str) -> Purse:
    """Return the purse that a gateway's calls are paid from."""
    return "sandbox" if base_url == SANDBOX_URL else "gateway"


def held(state: str, usd: Decimal, images: int) -> Totals:
    """Return what a call in that state adds to the totals."""
    if state in _RESERVED:
        return Totals(reserved_usd=usd, reserved_images=images)
    if state in _SPENT:
        return Totals(spent_usd=usd, spent_images=images)
    return Totals()


def move(
    tx: Transaction, purse: Purse, before: Totals, after: Totals, limits: Iterable[Limits] = ()
) -> None:
    """Take money out of the totals, and put it back where it is now.

    Raises:
        BudgetExceededError: What is put back would go over a limit.
        AccountError: The totals are not ones that this package wrote.
    """
    if before == after:
        return
    totals = lock_totals(tx, purse)
    for limit in limits:
        limit.check(totals, _add(after.spent_usd, after.reserved_usd), _images(after))
    write_totals(tx, purse, add(subtract(totals, before), after))


def add(one: Totals, other: Totals) -> Totals:
    """Return the sum."""
    return Totals(
        _add(one.spent_usd, other.spent_usd),
        _add(one.reserved_usd, other.reserved_usd),
        one.spent_images + other.spent_images,
        one.reserved_images + other.reserved_images,
    )


def subtract(one: Totals, other: Totals) -> Totals:
    """Return what is left of the first, never below 0."""
    return Totals(
        max(ZERO, _subtract(one.spent_usd, other.spent_usd)),
        max(ZERO, _subtract(one.reserved_usd, other.reserved_usd)),
        max(0, one.spent_images - other.spent_images),
        max(0, one.reserved_images - other.reserved_images),
    )


def lock_totals(tx: Transaction, purse: Purse) -> Totals:
    """Return the totals, which nobody else changes before the end of the transaction.

    Raises:
        AccountError: They are not ones that this package wrote.
    """
    return _totals_of(tx.lock(_TOTALS, {"purse": purse}))


def read_totals(tx: Transaction, purse: Purse) -> Totals:
    """Return the totals.

    Raises:
        AccountError: They are not ones that this package wrote.
    """
    return _totals_of(tx.one(_TOTALS, {"purse": purse}))


def write_totals(tx: Transaction, purse: Purse, totals: Totals) -> None:
    """Write the totals that were locked."""
    tx.execute(
        "UPDATE totals SET spent_usd = :spent_usd, reserved_usd = :reserved_usd,"
        " spent_images = :spent_images, reserved_images = :reserved_images WHERE purse = :purse",
        {
            "spent_usd": str(totals.spent_usd),
            "reserved_usd": str(totals.reserved_usd),
            "spent_images": totals.spent_images,
            "reserved_images": totals.reserved_images,
            "purse": purse,
        },
    )


def usd_of(value: Any) -> Decimal:
    """Return money as it is stored.

    Raises:
        AccountError: It is no sum that this package wrote.
    """
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return Decimal(value)
    try:
        usd = Decimal(value)
        is_sound = usd.is_finite() and 0 <= usd <= _LARGEST
        if is_sound and int(usd.as_tuple().exponent) >= _SMALLEST_EXPONENT:
            return usd
    except (ArithmeticError, TypeError, ValueError):
        pass
    raise AccountError(f"The account has a sum that this package did not write: {value!r:.40}.")


def images_of(value: Any) -> int:
    """Return a number of images as it is stored.

    Raises:
        AccountError: It is no number that this package wrote.
    """
    if isinstance(value, int) and 0 <= value <= _LARGEST:
        return value
    raise AccountError(f"The account has a number that this package did not write: {value!r:.40}.")


def _totals_of(row: Row | None) -> Totals:
    if row is None:
        raise AccountError("The account has no totals, so it is not one that this package made.")
    return Totals(
        usd_of(row["spent_usd"]),
        usd_of(row["reserved_usd"]),
        images_of(row["spent_images"]),
        images_of(row["reserved_images"]),
    )


def _images(totals: Totals) -> int:
    return totals.spent_images + totals.reserved_images
