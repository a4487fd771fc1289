"""Puts requests into a run's queue, as they come: a million of them are not held in memory."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from decimal import Decimal
from itertools import islice
from typing import Literal

from langchain_qwen_image.bulk.caller import Checker
from langchain_qwen_image.bulk.estimate import Estimate
from langchain_qwen_image.bulk.items import Item, Keys
from langchain_qwen_image.bulk.lookup import RetryOptions
from langchain_qwen_image.bulk.request import BulkRequest
from langchain_qwen_image.fleet.database import Database
from langchain_qwen_image.fleet.items import Items
from langchain_qwen_image.fleet.records import Asked, Known

__all__ = ["Enqueuer"]

_ONCE = 1_000
_ANALYZED_AFTER = (10_000, 100_000)
"""Rows, while workers may be there already; and once more at the end."""

_Prospect = Literal[
    "new", "again", "waiting", "reused", "unknown", "lost", "elsewhere", "conflicting"
]
_Request = tuple[int, BulkRequest]


class Enqueuer:
    """Adds requests to one run; what the run has already is queued again only if it failed."""

    def __init__(
        self, database: Database, generator: Checker, run: str, retry: RetryOptions
    ) -> None:
        """Take the open database, what checks requests, the run's name, and what is repeated."""
        self._database = database
        self._generator = generator
        self._name = run
        self._retry = retry
        self._base_url = generator.pipeline.sender.base_url
        self._items = Items(database, self._base_url)

    async def estimate(self, requests: Iterable[BulkRequest]) -> Estimate:
        """Say what enqueuing would do, and what it could cost at most; nothing is written.

        Raises:
            InvalidRequestError: A request cannot be used.
        """
        run = await self._items.run(self._name)
        counts: Counter[_Prospect] = Counter()
        for asked in self._asked(enumerate(requests)):
            known = {}
            if run is not None:
                known = await self._items.known(run.id, [one.item.key for one in asked])
            counts.update(self._prospect(one.item, known.get(one.item.key)) for one in asked)
        to_generate = counts["new"] + counts["again"]
        return Estimate(
            requests=counts.total(),
            reused=counts["reused"],
            unknown=counts["unknown"],
            lost=counts["lost"],
            to_generate=to_generate,
            max_usd=to_generate * Decimal(str(self._generator.pipeline.sender.price_usd)),
            elsewhere=counts["elsewhere"],
            conflicting=counts["conflicting"],
            waiting=counts["waiting"],
        )

    async def enqueue(
        self,
        requests: Iterable[_Request],
        max_usd: Decimal | None,
        tell: Callable[[int], None] = lambda count: None,
    ) -> int:
        """Add requests, each with the line it came from; return how many were queued.

        Args:
            requests: All requests of the run, also those that it has.
            max_usd: What the whole account may have spent when the run goes on; None changes
                nothing.
            tell: Takes how many were read so far.

        Raises:
            InvalidRequestError: A request cannot be used.
        """
        run = await self._items.begin(self._name, max_usd)
        queued = read = 0
        for asked in self._asked(requests):
            known = await self._items.known(run.id, [one.item.key for one in asked])
            new = [one for one in asked if one.item.key not in known]
            again = {
                item.key: await self._replaceable(item, known[item.key])
                for item, _ in asked
                if self._prospect(item, known.get(item.key)) == "again"
            }
            queued += await self._items.add(run.id, new, again)
            read += len(asked)
            tell(read)
            if read in _ANALYZED_AFTER:
                await self._items.analyze()
        if queued:
            await self._items.analyze()
        return queued

    def _asked(self, requests: Iterable[_Request]) -> Iterator[list[Asked]]:
        """Yield the requests with their keys, a number of them at a time."""
        with closing(Keys()) as keys:
            each = (
                Asked(keys.item(line, request, self._generator.checked(request.input)), line)
                for line, request in requests
            )
            while some := list(islice(each, _ONCE)):
                yield some

    def _prospect(self, item: Item, known: Known | None) -> _Prospect:
        """Say what becomes of a request."""
        if known is None:
            return "new"
        if known.conflicts(item):
            return "conflicting"
        match known.status:
            case None | "pending":
                return "waiting"
            case "saved" | "unsaved":
                return "reused"
            case "elsewhere":
                return "elsewhere"
            case "failed":
                return "again"
            case "unknown":
                return "again" if self._retry.retry_unknown else "unknown"
            case "lost":
                return "again" if self._retry.retry_lost else "lost"

    async def _replaceable(self, item: Item, known: Known) -> str | None:
        """Return the call that may be paid for once more, as the person said who enqueues."""
        if known.status == "failed":
            return None
        account = self._database.account
        call = await asyncio.to_thread(account.find_key, self._base_url, self._name, item.key)
        return None if call is None else call.id
