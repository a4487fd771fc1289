"""Where a budget's money is counted: in this process, or in a file that processes share."""

import os
import sqlite3
import threading
import uuid
from concurrent.futures import Future
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from itertools import count
from pathlib import Path
from typing import NoReturn, Protocol

from langchain_qwen_image._limits import EXACT, ZERO, Limits, Totals
from langchain_qwen_image._process import is_running, this_process
from langchain_qwen_image._sqlite import Commit, Database

__all__ = ["BudgetHome", "FileHome", "Limits", "MemoryHome", "Totals"]

_OF_CALL = "call:"
# A call is entered in the ledger before it is sent: one that is not there never was.
_RESERVED = f"""
SELECT owner, usd, count(*) AS number, sum(images) AS images,
    substr(token, 1, {len(_OF_CALL)}) = '{_OF_CALL}'
        AND coalesce(state, 'asked') IN ('asked', 'refused') AS never_sent
FROM reservations LEFT JOIN calls ON calls.id = substr(token, {len(_OF_CALL) + 1})
GROUP BY owner, usd, never_sent
"""  # noqa: S608 - of constants

_add = EXACT.add
_subtract = EXACT.subtract


class BudgetHome(Protocol):
    """What counts a budget's money; one shared by many machines would be another of these.

    Each of the three steps is atomic among all who share the home. It returns at once, or
    returns a `concurrent.futures.Future` when it waits for a disk or a network.
    """

    def reserve(
        self, usd: Decimal, images: int, limits: Limits, call_id: str | None
    ) -> str | Future[str]:
        """Set money aside if `limits.check` passes, and return a token for it.

        `call_id` names the call that it is for, where the ledger has it in the home's own file.

        Raises:
            BudgetExceededError: From `limits.check`; the future may fail with it instead.
        """
        ...

    def settle(self, token: str, usd: Decimal, images: int) -> Future[None] | None:
        """Replace a reservation by its true cost; do nothing for one that is gone."""
        ...

    def release(self, token: str) -> Future[None] | None:
        """Give a reservation back; do nothing for one that is gone."""
        ...

    def totals(self) -> Totals:
        """Return what is spent and reserved now."""
        ...


class MemoryHome:
    """Count in this process; a forked child counts on by itself."""

    def __init__(self) -> None:
        """Start with nothing spent."""
        self._lock = threading.RLock()  # a finaliser may release inside a step
        self._totals = Totals()
        self._open: dict[str, tuple[Decimal, int]] = {}
        self._numbers = count(1)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "A budget in memory cannot be pickled: the copy would be a second purse. "
            "Budget.file(path, ...) is shared by processes."
        )

    def reserve(self, usd: Decimal, images: int, limits: Limits, call_id: str | None = None) -> str:
        """Set money aside."""
        with self._lock:
            given = self._totals
            limits.check(given, usd, images)
            token = str(next(self._numbers))
            self._open[token] = (usd, images)
            self._totals = Totals(given[0], _add(given[1], usd), given[2], given[3] + images)
        return token

    def settle(self, token: str, usd: Decimal, images: int) -> None:
        """Replace a reservation by its true cost."""
        with self._lock:
            reserved = self._open.pop(token, None)
            if reserved is None:
                return
            given = self._totals
            self._totals = Totals(
                _add(given[0], usd),
                _subtract(given[1], reserved[0]),
                given[2] + images,
                given[3] - reserved[1],
            )

    def release(self, token: str) -> None:
        """Give a reservation back."""
        self.settle(token, ZERO, 0)

    def totals(self) -> Totals:
        """Return what is spent and reserved now."""
        return self._totals


class FileHome:
    """Count in an SQLite file, for every process of this machine, across restarts.

    What a process reserved and did not settle before it went counts as spent: it may have been.
    Where the file is the ledger's too, that says which of it was never sent, and does not count.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Name the file; it is made at the first reservation."""
        self._database = Database.at(Path(path))
        self.path = self._database.path

    def __reduce__(self) -> tuple[type["FileHome"], tuple[Path]]:
        return (FileHome, (self.path,))

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


def _reserve(
    connection: sqlite3.Connection, token: str, usd: Decimal, images: int, limits: Limits
) -> str:
    limits.check(_totals(connection), usd, images)
    connection.execute(
        "INSERT INTO reservations (token, day, usd, images, owner) VALUES (?, ?, ?, ?, ?)",
        (token, datetime.now(UTC).date().isoformat(), str(usd), images, this_process()),
    )
    return token


def _settle(connection: sqlite3.Connection, token: str, usd: Decimal, images: int) -> None:
    row = connection.execute(
        "DELETE FROM reservations WHERE token = ? RETURNING day", (token,)
    ).fetchone()
    if row is None:
        return
    spent = connection.execute("SELECT usd FROM spent WHERE day = ?", (row["day"],)).fetchone()
    total = usd if spent is None else _add(Decimal(spent["usd"]), usd)
    connection.execute(
        "INSERT INTO spent (day, usd, images) VALUES (:day, :usd, :images) ON CONFLICT (day)"
        " DO UPDATE SET usd = excluded.usd, images = images + excluded.images",
        {"day": row["day"], "usd": str(total), "images": images},
    )


def _totals(connection: sqlite3.Connection) -> Totals:
    spent_usd = reserved_usd = ZERO
    spent_images = reserved_images = 0
    for row in connection.execute("SELECT usd, images FROM spent"):
        spent_usd = _add(spent_usd, Decimal(row["usd"]))
        spent_images += row["images"]
    for row in connection.execute(_RESERVED):
        usd = EXACT.multiply(Decimal(row["usd"]), Decimal(row["number"]))
        if is_running(row["owner"]):
            reserved_usd = _add(reserved_usd, usd)
            reserved_images += row["images"]
        elif not row["never_sent"]:
            spent_usd = _add(spent_usd, usd)
            spent_images += row["images"]
    return Totals(spent_usd, reserved_usd, spent_images, reserved_images)
