"""A budget's money counted in a file that processes share."""

import os
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path

from langchain_qwen_image.account.database import Commit, Database
from langchain_qwen_image.account.limits import EXACT, ZERO, Limits, Totals
from langchain_qwen_image.account.store import Transaction
from langchain_qwen_image.concurrency.process import is_running, this_process

__all__ = ["FileStore"]

_OF_CALL = "call:"
# A call is entered in the ledger before it is sent: one that is not there never was.
_RESERVED = f"""
SELECT owner, usd, count(*) AS number, sum(images) AS images,
    CASE WHEN substr(token, 1, {len(_OF_CALL)}) = '{_OF_CALL}'
        AND coalesce(state, 'asked') IN ('asked', 'refused') THEN 1 ELSE 0 END AS never_sent
FROM reservations LEFT JOIN calls ON calls.id = substr(token, {len(_OF_CALL) + 1})
GROUP BY owner, usd, never_sent
"""  # noqa: S608 - of constants

_add = EXACT.add


class FileStore:
    """Count in an SQLite file, for every process of this machine, across restarts.

    What a process reserved and did not settle before it went counts as spent: it may have been.
    Where the file is the ledger's too, that says which of it was never sent, and does not count.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Name the file; it is made at the first reservation."""
        self._database = Database.at(Path(path))
        self.path = self._database.path

    def __reduce__(self) -> tuple[type["FileStore"], tuple[Path]]:
        return (FileStore, (self.path,))

    def reserve(
        self, usd: Decimal, images: int, limits: Limits, call_id: str | None = None
    ) -> Commit[str]:
        """Set money aside; the commit's result is the token."""
        token = uuid.uuid4().hex if call_id is None else f"{_OF_CALL}{call_id}"
        job = partial(_reserve, token=token, usd=usd, images=images, limits=limits)
        return self._database.submit(job)

    def settle(self, token: str, usd: Decimal, images: int) -> Commit[None]:
        """Replace a reservation by its true cost."""
        return self._database.submit(partial(_settle, token=token, usd=usd, images=images))

    def release(self, token: str) -> Commit[None]:
        """Give a reservation back."""
        return self.settle(token, ZERO, 0)

    def totals(self) -> Totals:
        """Return what is spent and reserved now."""
        return self._database.read(_totals, missing=Totals())


def _reserve(tx: Transaction, token: str, usd: Decimal, images: int, limits: Limits) -> str:
    limits.check(_totals(tx), usd, images)
    tx.execute(
        "INSERT INTO reservations (token, day, usd, images, owner)"
        " VALUES (:token, :day, :usd, :images, :owner)",
        {
            "token": token,
            "day": datetime.now(UTC).date().isoformat(),
            "usd": str(usd),
            "images": images,
            "owner": this_process(),
        },
    )
    return token


def _settle(tx: Transaction, token: str, usd: Decimal, images: int) -> None:
    row = tx.lock("SELECT day FROM reservations WHERE token = :token", {"token": token})
    if row is None:
        return
    tx.execute("DELETE FROM reservations WHERE token = :token", {"token": token})
    spent = tx.lock("SELECT usd FROM spent WHERE day = :day", {"day": row["day"]})
    total = usd if spent is None else _add(Decimal(spent["usd"]), usd)
    tx.execute(
        "INSERT INTO spent (day, usd, images) VALUES (:day, :usd, :images) ON CONFLICT (day)"
        " DO UPDATE SET usd = excluded.usd, images = spent.images + excluded.images",
        {"day": row["day"], "usd": str(total), "images": images},
    )


def _totals(tx: Transaction) -> Totals:
    spent_usd = reserved_usd = ZERO
    spent_images = reserved_images = 0
    for row in tx.all("SELECT usd, images FROM spent"):
        spent_usd = _add(spent_usd, Decimal(row["usd"]))
        spent_images += row["images"]
    for row in tx.all(_RESERVED):
        usd = EXACT.multiply(Decimal(row["usd"]), Decimal(row["number"]))
        if is_running(row["owner"]):
            reserved_usd = _add(reserved_usd, usd)
            reserved_images += row["images"]
        elif not row["never_sent"]:
            spent_usd = _add(spent_usd, usd)
            spent_images += row["images"]
    return Totals(spent_usd, reserved_usd, spent_images, reserved_images)
