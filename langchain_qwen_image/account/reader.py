"""Read an account: its calls, its images, its money, how far its runs have come."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from decimal import Decimal
from functools import cached_property, partial
from pathlib import Path

from langchain_qwen_image.account import queries, raw_answers
from langchain_qwen_image.account.limits import Limits, Totals
from langchain_qwen_image.account.money import purse_of, read_totals
from langchain_qwen_image.account.progress import Progress, progress_of, totals_now
from langchain_qwen_image.account.records import CallRecord, ImageRecord, State, storable_path
from langchain_qwen_image.account.store import Store, Transaction
from langchain_qwen_image.environment import on_event_loop

__all__ = ["AccountReader", "read_id"]


class AccountReader:
    """What an account says; reading makes no file and no table.

    Attributes:
        limits: What may be spent at most by all who use this object.
    """

    def __init__(self, store: Callable[[], Store], limits: Limits) -> None:
        """Take what finds the store, at first use, and the limits."""
        self._find_store = store
        self.limits = limits

    @cached_property
    def _store(self) -> Store:
        return self._find_store()

    @property
    def store(self) -> Store:
        """What runs the account's steps."""
        return self._store

    @property
    def path(self) -> Path | None:
        """The file; None if the account is in PostgreSQL."""
        return self._store.path

    @property
    def location(self) -> str:
        """The path or the address, without a password; before the first use on a loop as given."""
        find = self._find_store
        if on_event_loop() and isinstance(find, partial) and "_store" not in vars(self):
            return str(find.args[0])
        return self._store.shown

    @property
    def id(self) -> str | None:
        """Name of the account; None before the first step."""
        return self._store.read(read_id, missing=None)

    def get(self, call_id: str) -> CallRecord | None:
        """Return a call, or None if the account has none of that id."""
        return next(iter(self._select(queries.BY_ID, id=call_id)), None)

    def find_key(self, base_url: str, run: str, key: str) -> CallRecord | None:
        """Return the call that stands for a key at a gateway, or None."""
        return next(iter(self._select(queries.BY_KEY, base_url=base_url, run=run, key=key)), None)

    def find_image(self, image_id_or_path: str | os.PathLike[str]) -> ImageRecord | None:
        """Return an image by its id or by the path that it is saved at."""
        job = partial(queries.find_image, name=storable_path(image_id_or_path))
        return self._store.read(job, missing=None)

    def calls(
        self, *, states: Collection[State] | None = None, run: str | None = None
    ) -> Iterator[CallRecord]:
        """Yield the calls in the order asked, a page in memory at a time.

        What is asked after the reading began is not yielded.

        Args:
            states: Only calls that stand there.
            run: Only calls of that bulk run, replaced ones included; empty for calls of none.
        """
        last, end = 0, self._store.read(queries.newest, missing=0)
        while last < end:
            page = partial(queries.page, after=last, until=end, run=run, states=states)
            last, calls = self._store.read(page, missing=queries.Page(end, []))
            yield from calls

    def read_raw_answer(self, call_id: str) -> bytes | None:
        """Return the answer that `raw_answer` saved, or None if there is none."""
        return self._store.read(partial(raw_answers.read, call_id=call_id), missing=None)

    def progress(self, run: str, *, sandbox: bool = False) -> Progress:
        """Return how far a bulk run has come, at the paid gateways or in the sandbox."""
        job = partial(progress_of, run=run, purse="sandbox" if sandbox else "gateway")
        return self._store.read(job, missing=Progress())

    def totals(self, *, sandbox: bool = False) -> Totals:
        """Return what is spent and reserved now, at the paid gateways or in the sandbox."""
        job = partial(totals_now, purse="sandbox" if sandbox else "gateway")
        return self._store.read(job, missing=Totals())

    def check_budget(self, base_url: str, usd: Decimal, limits: Iterable[Limits] = ()) -> None:
        """See whether a call may be paid for now; nothing is reserved.

        Args:
            base_url: Where it would be sent.
            usd: What it would cost at most, in US dollars.
            limits: Limits beside those of the account.

        Raises:
            BudgetExceededError: It would go over a limit.
        """
        every = [limit for limit in (self.limits, *limits) if limit.is_set]
        if every:
            job = partial(read_totals, purse=purse_of(base_url))
            given = self._store.read(job, missing=Totals())
            for limit in every:
                limit.check(given, usd, 1)

    @property
    def spent_usd(self) -> Decimal:
        """US dollars spent at the paid gateways; what may have been billed is among them."""
        return self.totals().spent_usd

    @property
    def reserved_usd(self) -> Decimal:
        """US dollars reserved for calls in progress."""
        return self.totals().reserved_usd

    @property
    def remaining_usd(self) -> Decimal | None:
        """US dollars neither spent nor reserved; None without a limit in US dollars."""
        return self.limits.remaining_usd(self.totals())

    @property
    def images(self) -> int:
        """Images paid for; what may have been billed is among them."""
        return self.totals().spent_images

    @property
    def remaining_images(self) -> int | None:
        """Images neither spent nor reserved; None without a limit in images."""
        return self.limits.remaining_images(self.totals())

    def _select(self, sql: str, **values: str) -> list[CallRecord]:
        return self._store.read(partial(queries.select_calls, sql=sql, values=values), missing=[])


def read_id(tx: Transaction) -> str | None:
    """Return the account's id."""
    row = tx.one("SELECT id FROM account")
    return None if row is None else str(row["id"])
