"""Add up, by day, what an account's or a budget's file says was asked for, paid, saved and lost."""

import os
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial

from langchain_qwen_image.account.money import images_of, usd_of
from langchain_qwen_image.account.reader import AccountReader
from langchain_qwen_image.account.records import to_micros
from langchain_qwen_image.account.store import Row, Transaction
from langchain_qwen_image.account.stores import store_at
from langchain_qwen_image.errors import ConfigurationError

__all__ = ["SpendDay", "spend_by_day"]

# Upstream: a link is valid for 24 hours.
_LINK_LIFE_MICROS = 24 * 3600 * 1_000_000
_CALLS = """
SELECT created_at / 86400000000 AS day, state, cost_usd, count(*) AS number
FROM calls GROUP BY created_at / 86400000000, state, cost_usd
"""
_IMAGES = """
SELECT created_at / 86400000000 AS day, count(*) AS paid, count(path) AS saved,
    count(CASE WHEN path IS NULL
        AND (url = 'data:' OR coalesce(expires_at, updated_at + :life) <= :now) THEN 1 END) AS lost
FROM images JOIN links ON links.image = images.seq JOIN calls ON calls.seq = images.call
GROUP BY created_at / 86400000000
"""


@dataclass(slots=True)
class SpendDay:
    """What was asked, paid and saved on one day, UTC; a call counts on the day it was asked.

    Attributes:
        day: Such as `2026-11-23`.
        asked: Calls entered.
        paid: Images that answers named.
        saved: Images that are on disk.
        lost: Images that were paid for and are not saved, and whose link has expired by this
            machine's clock; `recover` asks their host.
        unknown: Calls without a known answer, queued ones included: they may have been billed.
        usd: US dollars for the images paid.
        usd_unknown: US dollars that the unknown calls may have cost.
    """

    day: str
    asked: int = 0
    paid: int = 0
    saved: int = 0
    lost: int = 0
    unknown: int = 0
    usd: Decimal = field(default=Decimal(0))
    usd_unknown: Decimal = field(default=Decimal(0))


def spend_by_day(
    account: AccountReader | str | os.PathLike[str], *, now: datetime | None = None
) -> list[SpendDay]:
    """Read an account, and return its days in order.

    What a program reserved and settled itself is images and money, and no calls: it is `asked`,
    and `paid` and `usd` where it was settled, else `unknown` and `usd_unknown`.

    Args:
        account: An account, its file, or its `postgresql://` address.
        now: The moment that decides which links have expired; the present by default.

    Raises:
        ConfigurationError: There is none.
        AccountError: It cannot be read.
    """
    moment = to_micros(now or datetime.now(UTC))
    store = account._store if isinstance(account, AccountReader) else store_at(account)
    days = store.read(partial(_days, now=moment), missing=None)
    if days is None:
        raise ConfigurationError(f"There is no account at {store.shown}.")
    return [days[day] for day in sorted(days)]


_EPOCH = date(1970, 1, 1)


class _Days(dict[str, SpendDay]):
    def __missing__(self, day: str) -> SpendDay:
        self[day] = SpendDay(day)
        return self[day]


def _days(tx: Transaction, now: int) -> dict[str, SpendDay] | None:
    days = _Days()
    for row in tx.all(_CALLS):
        _add_calls(days[_day(row)], row["state"], row["number"], usd_of(row["cost_usd"]))
    for row in tx.all(_IMAGES, {"now": now, "life": _LINK_LIFE_MICROS}):
        day = days[_day(row)]
        day.paid, day.saved, day.lost = row["paid"], row["saved"], row["lost"]
    _add_budget_days(tx, days)
    return days


def _day(row: Row) -> str:
    return (_EPOCH + timedelta(days=row["day"])).isoformat()


def _named(day: str) -> str:
    return date.fromisoformat(day).isoformat()  # an error, of anything else


def _add_calls(day: SpendDay, state: str, number: int, cost_usd: Decimal) -> None:
    day.asked += number
    if state in ("answered", "saved"):
        day.usd += number * cost_usd
    elif state in ("sent", "queued", "unknown"):
        day.unknown += number
        day.usd_unknown += number * cost_usd


def _add_budget_days(tx: Transaction, days: _Days) -> None:
    for row in tx.all("SELECT day, usd, images FROM spent"):
        day, images = days[_named(row["day"])], images_of(row["images"])
        day.paid += images
        day.usd += usd_of(row["usd"])
        day.asked += images
    for row in tx.all("SELECT day, usd, images FROM reservations"):
        day, images = days[_named(row["day"])], images_of(row["images"])
        day.asked += images
        day.unknown += images
        day.usd_unknown += usd_of(row["usd"])
