"""Which calls have a client that is still to get what they buy, so that who asks again gets it.

A client that gives up asks again without a key. What it gets is what an equal call bought, or is
buying, whose result reached nobody: once, and from whichever server it asks.

A call is entered here before it is paid for, and forgotten when its result was handed over. Until
then one other request may take it. It holds it by renewing that: a server that is killed does not.
"""

from dataclasses import dataclass

from langchain_qwen_image.account.leases import OVER, micros
from langchain_qwen_image.account.store import Commit, Store, Transaction

__all__ = ["HOLD_SECONDS", "MEMORY_SECONDS", "Deliveries", "Wanted"]

MEMORY_SECONDS = 15 * 60.0
"""How long a result is kept for who asks again, since it came or since its client went."""
HOLD_SECONDS = 30.0
"""How long a request holds a call that it took, unless it renews that."""

_FORGOTTEN_SECONDS = 48 * 3600.0  # no call is queued for longer
# What a request may take. A POST that is out, a queued answer and what came lately are paid for;
# before that it may be what another request is about to pay for.
_IS_OUT = f"(state = 'queued' OR state = 'sent' AND NOT {OVER})"
_IS_PAID = f"({_IS_OUT} OR state IN ('answered', 'saved'))"
_FIND = (
    "SELECT deliveries.key FROM deliveries LEFT JOIN calls ON calls.base_url = deliveries.base_url"
    " AND run = '' AND calls.key = deliveries.key AND replaced_by IS NULL"
    " WHERE deliveries.base_url = :base_url AND deliveries.fingerprint = :fingerprint"
    " AND (taken_until IS NULL OR taken_until < :now OR taken_until > :longest)"
    " AND (touched_at >= :since OR updated_at >= :since"
)
# What is paid for comes first: it must not be left over while something else is bought.
_OLDEST = f" ORDER BY CASE WHEN {_IS_PAID} THEN 0 ELSE 1 END, touched_at, deliveries.key"
_DELETE = "DELETE FROM deliveries WHERE "


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request for an image.

    Attributes:
        base_url: The gateway.
        fingerprint: What equal requests have in common.
        key: The idempotency key that it pays under, if it pays.
        request: A name of its own.
    """

    base_url: str
    fingerprint: str
    key: str
    request: str


class Deliveries:
    """The steps of an account about results that are still to be handed over."""

    def __init__(self, store: Store) -> None:
        """Take the account's store."""
        self._store = store

    def take(self, wanted: Wanted, *, pays: bool, again: bool) -> Commit[str | None]:
        """Find the call that a request gets its image by, or enter one of its own.

        Args:
            wanted: The request.
            pays: Whether it may pay: enter a call of its own, or take one that is not paid for.
            again: Whether it wants an image of its own in any case.

        Returns:
            Its commit; the result is the key of the call, or None if the request would have to pay
            and may not.
        """
        return self._store.submit(lambda tx: _take(tx, wanted, pays=pays, again=again))

    def renew(self, key: str, request: str) -> Commit[None]:
        """Hold a call that a request took for some time more."""
        return self._store.submit(lambda tx: _renew(tx, key, request))

    def let_go(self, key: str, request: str) -> Commit[None]:
        """Note that the client of a request has gone: another one may take the call now."""
        return self._store.submit(lambda tx: _let_go(tx, key, request))

    def forget(self, key: str, request: str, *, is_image: bool) -> Commit[None]:
        """Note that a client has what came of a call: nobody else is given it.

        An error does not end the call for another request that took it: that one may pay now.
        """
        return self._store.submit(lambda tx: _forget(tx, key, request, is_image=is_image))


def _take(tx: Transaction, wanted: Wanted, *, pays: bool, again: bool) -> str | None:
    tx.lock("SELECT id FROM account")  # of two that come at once, one sees the other
    now = tx.now()
    if not again:
        found = tx.one(
            f"{_FIND} OR {_IS_OUT}){'' if pays else f' AND {_IS_PAID}'}{_OLDEST}",
            {
                "base_url": wanted.base_url,
                "fingerprint": wanted.fingerprint,
                "now": now,
                "since": now - micros(MEMORY_SECONDS),
                "longest": now + micros(HOLD_SECONDS),  # the clock was set back
            },
        )
        if found is not None:
            tx.execute(
                "UPDATE deliveries SET taken_by = :request, taken_until = :until WHERE key = :key",
                {
                    "request": wanted.request,
                    "until": now + micros(HOLD_SECONDS),
                    "key": found["key"],
                },
            )
            return str(found["key"])
    if not pays:
        return None
    tx.execute(f"{_DELETE}touched_at < :before", {"before": now - micros(_FORGOTTEN_SECONDS)})
    tx.execute(
        "INSERT INTO deliveries (key, base_url, fingerprint, touched_at)"
        " VALUES (:key, :base_url, :fingerprint, :now)",
        {
            "key": wanted.key,
            "base_url": wanted.base_url,
            "fingerprint": wanted.fingerprint,
            "now": now,
        },
    )
    return wanted.key


def _renew(tx: Transaction, key: str, request: str) -> None:
    tx.execute(
        "UPDATE deliveries SET taken_until = :until WHERE key = :key AND taken_by = :request",
        {"until": tx.now() + micros(HOLD_SECONDS), "key": key, "request": request},
    )


def _let_go(tx: Transaction, key: str, request: str) -> None:
    tx.execute(
        "UPDATE deliveries SET touched_at = :now, taken_until ="
        " CASE WHEN taken_by = :request THEN NULL ELSE taken_until END WHERE key = :key",
        {"now": tx.now(), "key": key, "request": request},
    )


def _forget(tx: Transaction, key: str, request: str, *, is_image: bool) -> None:
    others = "" if is_image else " AND (taken_until IS NULL OR taken_by = :request)"
    tx.execute(f"{_DELETE}key = :key{others}", {"key": key, "request": request})
