"""A fleet in the test's own process: a database, a gateway, and as many workers as a test wants."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from langchain_qwen_image import Account, QwenImageGenerator
from langchain_qwen_image.bulk.estimate import Estimate
from langchain_qwen_image.bulk.lookup import RetryOptions
from langchain_qwen_image.bulk.request import BulkRequest
from langchain_qwen_image.fleet.database import Database
from langchain_qwen_image.fleet.enqueue import Enqueuer
from langchain_qwen_image.fleet.items import Items
from langchain_qwen_image.fleet.pulse import Timing
from langchain_qwen_image.fleet.status import RunStatus, read_status
from langchain_qwen_image.fleet.worker import FleetWorker

RUN = "spring"
PRICE = Decimal("0.045")
QUICK = Timing(heartbeat=0.2, stalled=2.0, look=0.2, probe=0.1, longest_probe=0.2)


@dataclass
class Fleet:
    """What a test does with a run.

    Attributes:
        url: Address of the database.
        base_url: Address of the gateway.
        folder: Where workers save.
    """

    url: str
    base_url: str
    folder: Path

    @property
    def account(self) -> Account:
        """What pays."""
        return Account(self.url)

    def generator(self, **settings: Any) -> QwenImageGenerator:
        """Return a generator that buys here."""
        return QwenImageGenerator(
            api_key="test-key-0123456789abcdef",
            base_url=self.base_url,
            account=self.account,
            size="512*512",
            **settings,
        )

    async def enqueue(
        self,
        requests: Iterable[BulkRequest],
        max_usd: Decimal | None = None,
        retry: RetryOptions | None = None,
    ) -> int:
        """Queue requests; return how many are new."""
        async with Database(self.account).opened() as database:
            enqueuer = Enqueuer(database, self.generator(), RUN, retry or RetryOptions())
            return await enqueuer.enqueue(enumerate(requests, 1), max_usd)

    async def estimate(
        self, requests: Iterable[BulkRequest], retry: RetryOptions | None = None
    ) -> Estimate:
        """Say what that would do."""
        async with Database(self.account).opened() as database:
            enqueuer = Enqueuer(database, self.generator(), RUN, retry or RetryOptions())
            return await enqueuer.estimate(requests)

    def worker(self, *, until_empty: bool = True, url: str | None = None) -> FleetWorker:
        """Return a worker, which a test runs with `work()`."""
        account = self.account if url is None else Account(url)
        return FleetWorker(
            Database(account),
            self.base_url,
            lambda: self.generator(save_to=self.folder),
            concurrency=4,
            until_empty=until_empty,
            timing=QUICK,
        )

    async def status(self) -> RunStatus:
        """Read how far the run has come."""
        async with Database(self.account).opened() as database:
            run = await Items(database, self.base_url).run(RUN)
            assert run is not None
            return await read_status(database, self.base_url, run)


def named(count: int, first: int = 0) -> list[BulkRequest]:
    """Return so many requests, each with an id."""
    return [BulkRequest(f"image {n}", f"S{n}") for n in range(first, first + count)]


async def until(condition: Any) -> None:
    """Wait until a condition holds, which may be asynchronous."""
    async with asyncio.timeout(120):
        while not await condition():  # noqa: ASYNC110 - the condition is in a database
            await asyncio.sleep(0.05)
