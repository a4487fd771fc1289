"""Money that a program reserves and settles itself, counted beside that of the calls."""

from collections.abc import Iterable
from decimal import Decimal

from langchain_qwen_image.account.leases import OVER, micros
from langchain_qwen_image.account.limits import EXACT, ZERO, Limits, Totals
from langchain_qwen_image.account.money import images_of, lock_totals, move, usd_of
from langchain_qwen_image.account.records import from_micros
from langchain_qwen_image.account.store import Transaction

__all__ = ["count_spent", "expire", "reserve", "settle"]

_SELECT = "SELECT token, day, usd, images FROM reservations WHERE "


def reserve(
    tx: Transaction,
    token: str,
    usd: Decimal,
    images: int,
    limits: Iterable[Limits],
    lease_seconds: float,
) -> str:
    """Reserve money, and return the token of it.

    Raises:
        BudgetExceededError: It would go over a limit.
    """
    move(tx, "gateway", Totals(), _reserved(usd, images), limits)
    now, length = tx.now(), micros(lease_seconds)
    tx.execute(
        "INSERT INTO reservations (token, day, usd, images, lease_micros, lease_until)"
        " VALUES (:token, :day, :usd, :images, :length, :until)",
        {
            "token": token,
            "day": from_micros(now).date().isoformat(),
            "usd": str(usd),
            "images": images,
            "length": length,
            "until": now + length,
        },
    )
    return token


def settle(tx: Transaction, token: str, usd: Decimal, images: int) -> None:
    """Replace a reservation by its true cost; do nothing for one that is gone."""
    lock_totals(tx, "gateway")  # before any other row
    row = tx.lock(f"{_SELECT} token = :token", {"token": token})
    if row is not None:
        reserved = _reserved(usd_of(row["usd"]), images_of(row["images"]))
        move(tx, "gateway", reserved, Totals(spent_usd=usd, spent_images=images))
        tx.execute("DELETE FROM reservations WHERE token = :token", {"token": token})
        count_spent(tx, row["day"], usd, images)


def expire(tx: Transaction) -> int:
    """Count as spent what was reserved and not settled in time; return how many there were."""
    over = tx.all(f"{_SELECT} {OVER} ORDER BY token", {"now": tx.now()})
    for row in over:
        settle(tx, row["token"], usd_of(row["usd"]), images_of(row["images"]))
    return len(over)


def count_spent(tx: Transaction, day: str, usd: Decimal, images: int) -> None:
    """Count money on a day of its own, beside that of the calls."""
    spent = tx.one("SELECT usd FROM spent WHERE day = :day", {"day": day})
    before = ZERO if spent is None else usd_of(spent["usd"])
    tx.execute(
        "INSERT INTO spent (day, usd, images) VALUES (:day, :usd, :images) ON CONFLICT (day)"
        " DO UPDATE SET usd = excluded.usd, images = spent.images + excluded.images",
        {"day": day, "usd": str(EXACT.add(before, usd)), "images": images},
    )


def _reserved(usd: Decimal, images: int) -> Totals:
    return Totals(reserved_usd=usd, reserved_images=images)
