"""The account: every call is entered, paid for and settled in it, one step after the other.

Each step is on the disk before its commit is done: wait for it with `.result()` in a thread, or
with `await` in a task.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from langchain_qwen_image.account import asking, raw_answers, reservations, transitions
from langchain_qwen_image.account.keys import NewCall
from langchain_qwen_image.account.leases import Lease
from langchain_qwen_image.account.limits import Limits, limits_of
from langchain_qwen_image.account.reader import AccountReader, read_id
from langchain_qwen_image.account.records import (
    CallRecord,
    storable,
    storable_link,
    storable_path,
    to_micros,
)
from langchain_qwen_image.account.store import Commit, Store, Transaction
from langchain_qwen_image.account.stores import store_finder

__all__ = ["Account"]

_HOUR = 3600.0


class Account(AccountReader):
    """The books of one gateway account: what was asked, paid and saved, and what may be spent.

    Any number of threads, tasks and processes may use one. Nothing is opened before the first use,
    and closing is never required. Steps may be repeated. A step that cannot follow the last one
    fails its commit with `AccountError`, a file that is no account of ours with
    `ConfigurationError`.
    """

    def __init__(
        self,
        location: str | os.PathLike[str],
        *,
        max_usd: float | str | Decimal | None = None,
        max_images: int | None = None,
    ) -> None:
        """Name the account; its file and folder, or its tables, are made at the first step.

        Args:
            location: A path, or a `postgresql://` address.
            max_usd: What may be spent at most, US dollars; a float is taken as it prints.
            max_images: How many images may be paid for at most.

        Raises:
            ConfigurationError: A limit is negative or no number.
        """
        super().__init__(store_finder(location), limits_of(max_usd, max_images))

    def __repr__(self) -> str:
        return f"Account({self.location!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restore, (self._store, self.limits))

    def limited(self, *, max_usd: Decimal | None = None) -> "Account":
        """Return the same account with another limit, for the calls that get it."""
        return _restore(self._store, limits_of(max_usd, None))

    def prepare(self) -> Commit[str]:
        """Make the file or the tables if there are none; the commit's result is the id."""
        return self._store.submit(lambda tx: str(read_id(tx)))

    def asked(self, call: NewCall, *, replacing: str | None = None) -> Commit[CallRecord]:
        """Enter a call; the commit's result is the call that stands for its key now.

        Args:
            call: The call. If its key has one already, that one is returned, in whatever state
                it is, and nothing is entered.
            replacing: Id of a call that it takes the place of, if that one still stands for the
                key, and was answered, is saved or unknown: its money stays spent.

        Returns:
            Its commit, which fails with `IdempotencyError` if the key was used for another
            request.
        """
        return self._store.submit(lambda tx: asking.ask(tx, call, replacing))

    def sent(
        self,
        call_id: str,
        *,
        lease_seconds: float,
        limits: Iterable[Limits] = (),
        before: Callable[[Transaction], None] | None = None,
    ) -> Commit[Lease]:
        """Take the key and the money of a call; wait for the commit before its POST leaves.

        From then on, room for the answer is held on the disk.

        Args:
            call_id: A call that was asked or refused.
            lease_seconds: The longest that connecting and answering can take.
            limits: Limits beside those of the account.
            before: Runs first in the transaction; what it raises undoes it, and fails the commit.

        Returns:
            Its commit, which fails with `CallTakenError` if another caller has sent it or stands
            in its place, and with `BudgetExceededError`.
        """
        lease, every = Lease(lease_seconds), (self.limits, *limits)

        def job(tx: Transaction) -> Lease:
            if before is not None:
                before(tx)
            attempt = transitions.send(tx, call_id, lease_seconds, every)
            return replace(lease, attempt=attempt)

        return self._store.submit(job)

    def waiting(self, call_id: str, error: str, *, attempt: int | None = None) -> Commit[None]:
        """Note that an attempt provably bought nothing and is to be repeated; its money is free.

        Args:
            call_id: The call.
            error: Class name of the error.
            attempt: Of the lease; if another attempt has left since, nothing changes.
        """
        return self._store.submit(
            lambda tx: transitions.wait(tx, call_id, storable(error), attempt)
        )

    def queued(self, call_id: str, *, polling_path: str, request_id: str | None) -> Commit[None]:
        """Note that the image is still being made, and the path at the gateway to ask for it."""
        path = storable(polling_path)
        return self._store.submit(lambda tx: transitions.queue(tx, call_id, path, request_id))

    def raw_answer(self, call_id: str, *, body: bytes, content_type: str | None) -> Commit[None]:
        """Save the answer to a paid call in which no image was found; it is as secret as a link.

        It is erased when all images of the call are saved, when the call turns out to have bought
        nothing, and when one that was asked in its place is paid for.
        """
        return self._store.submit(lambda tx: raw_answers.save(tx, call_id, body, content_type))

    def answered(
        self,
        call_id: str,
        *,
        request_id: str | None,
        cost_usd: Decimal,
        images: Sequence[tuple[str, str, datetime | None]],
        billed_images: int | None = None,
    ) -> Commit[None]:
        """Note what was bought: each image's id, link, and when the link expires.

        `billed_images` are the images that `cost_usd` is for, by default those named.
        """
        rows = [
            (image_id, storable_link(url), None if expires_at is None else to_micros(expires_at))
            for image_id, url, expires_at in images
        ]
        billed = len(rows) if billed_images is None else billed_images

        def job(tx: Transaction) -> None:
            transitions.answer(tx, call_id, rows, request_id, cost_usd, billed)
            raw_answers.erase_settled(tx, call_id)

        return self._store.submit(job)

    def saved(
        self, image_id: str, *, path: str | os.PathLike[str], sha256: str, size_bytes: int
    ) -> Commit[None]:
        """Note that an image is on disk; its link loses its query in the same transaction."""
        place = storable_path(path)

        def job(tx: Transaction) -> None:
            call_id = transitions.save(tx, image_id, place, sha256, size_bytes)
            raw_answers.erase_settled(tx, call_id)

        return self._store.submit(job)

    def not_saved(self, image_id: str, error: str) -> Commit[None]:
        """Note why an image could not be fetched or written; its link stays for recovery."""
        return self._store.submit(lambda tx: transitions.lose(tx, image_id, storable(error)))

    def refused(
        self,
        call_id: str,
        *,
        error: str,
        message: str,
        request_id: str | None = None,
        attempt: int | None = None,
    ) -> Commit[None]:
        """Note that a call bought nothing; `error` is the class name, `attempt` of its lease."""
        text = storable(message)

        def job(tx: Transaction) -> None:
            transitions.fail(tx, call_id, "refused", error, text, request_id, attempt)
            raw_answers.erase_settled(tx, call_id)

        return self._store.submit(job)

    def unknown(
        self,
        call_id: str,
        *,
        error: str,
        message: str,
        request_id: str | None = None,
        attempt: int | None = None,
    ) -> Commit[None]:
        """Note that a call may have been billed and has no answer: it counts as spent."""
        text = storable(message)
        return self._store.submit(
            lambda tx: transitions.fail(tx, call_id, "unknown", error, text, request_id, attempt)
        )

    def reserve(
        self, token: str, usd: Decimal, images: int, limits: Iterable[Limits] = ()
    ) -> Commit[str]:
        """Set money of the gateways aside, for an hour; the commit's result is the token."""
        every = (self.limits, *limits)
        return self._store.submit(
            lambda tx: reservations.reserve(tx, token, usd, images, every, _HOUR)
        )

    def settle(self, token: str, usd: Decimal, images: int) -> Commit[None]:
        """Replace what was set aside by its true cost; do nothing if it is settled."""
        return self._store.submit(lambda tx: reservations.settle(tx, token, usd, images))

    def expire(self) -> Commit[int]:
        """Settle as unknown and spent what was sent and has no answer in its time."""
        return self._store.submit(lambda tx: transitions.expire(tx) + reservations.expire(tx))

    def close(self) -> None:
        """Write what is pending and close the connections; the next use opens them again."""
        self._store.close()


def _restore(store: Store, limits: Limits) -> Account:
    account = Account.__new__(Account)
    AccountReader.__init__(account, lambda: store, limits)
    return account
