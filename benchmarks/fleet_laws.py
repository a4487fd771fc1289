"""A fleet whose workers are killed again and again, and the laws that hold whatever comes between.

At most one POST of an item is admitted. What the account counts as spent is what the gateway
admitted and what was killed before it arrived there, to the cent.
"""

import asyncio
import json
import random
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks.fleet_gateway import COUNTS, LOST, PAID
from langchain_qwen_image import Account, QwenImageGenerator
from langchain_qwen_image.bulk.lookup import RetryOptions
from langchain_qwen_image.bulk.request import BulkRequest
from langchain_qwen_image.fleet.database import Database
from langchain_qwen_image.fleet.enqueue import Enqueuer

ROOT = Path(__file__).parents[1]
RUN = "fleet"
PRICE = Decimal("0.045")
MIXED = (76, 5, 4, 4, 3, 4, 4)
"""How often the gateway answers well, late, 429, 500, and drops the connection."""

SELDOM = (86, 6, 0.4, 2, 1.6, 2, 2)
"""For many images: each 429 slows down all workers."""

Popen = Callable[..., "subprocess.Popen[str]"]


@dataclass(frozen=True)
class Scale:
    """How much is done.

    Attributes:
        workers: Workers at a time.
        items: Images for each of them.
        concurrency: Requests of each at a time.
        kills: How often each worker is killed.
        posts: Bounds of the POSTs between two kills.
        timeout: Seconds a request may take.
    """

    workers: int
    items: int
    concurrency: int
    kills: int
    posts: tuple[int, int]
    timeout: float = 6.0

    @property
    def total(self) -> int:
        """All items."""
        return self.workers * self.items


@dataclass
class Fleet:
    """Workers, as processes, against one gateway and one database.

    Attributes:
        url: Address of the database.
        base_url: Address of the gateway.
        folder: Where they save.
        scale: How much is done.
        popen: What starts a process.
    """

    url: str
    base_url: str
    folder: Path
    scale: Scale
    popen: Popen = subprocess.Popen
    processes: list["subprocess.Popen[str]"] = field(default_factory=list)

    def enqueue(self) -> int:
        """Put all items into the queue."""
        account = Account(self.url)
        generator = self._generator(account)

        async def enqueued() -> int:
            async with Database(account).opened() as database:
                enqueuer = Enqueuer(database, generator, RUN, RetryOptions())
                rows = (
                    (number, BulkRequest(f"image {number}", f"S{number}"))
                    for number in range(self.scale.total)
                )
                return await enqueuer.enqueue(rows, None)

        return asyncio.run(enqueued())

    def start(self, *, until_empty: bool = True) -> "subprocess.Popen[str]":
        """Start a worker."""
        given = {
            "until_empty": until_empty,
            "url": self.url,
            "base_url": self.base_url,
            "folder": str(self.folder),
            "timeout": self.scale.timeout,
            "concurrency": self.scale.concurrency,
        }
        process = self.popen(
            [sys.executable, "-m", "benchmarks.fleet_worker", json.dumps(given)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def work_through_kills(self, seed: int = 7) -> int:
        """Work until all is settled, kill workers meanwhile; return how many were killed."""
        chance, kills = random.Random(seed), 0
        workers = [self.start() for _ in range(self.scale.workers)]
        for number in range(self.scale.kills * self.scale.workers):
            target = self.posts + chance.randint(*self.scale.posts)
            wait_for(lambda target=target: self.posts >= target)
            time.sleep(chance.random() * 0.1)
            slot = number % len(workers)
            if workers[slot].poll() is not None:
                continue
            workers[slot].kill()
            workers[slot].communicate()
            kills += 1
            workers[slot] = self.start()
        for worker in workers:
            _, complained = worker.communicate(timeout=600)
            if worker.returncode != 0:
                raise AssertionError(f"a worker ended with {worker.returncode}: {complained}")
        return kills

    def finish(self) -> None:
        """Work once more, when what killed workers had sent has no time left."""
        account = Account(self.url)
        wait_for(lambda: not account.progress(RUN).under_way)
        worker = self.start()
        said, complained = worker.communicate(timeout=600)
        if said.strip() != "0":
            raise AssertionError(f"{said.strip()} are elsewhere: {complained}")

    def workers_there(self) -> int:
        """Return how many workers have said that they live."""
        account = Account(self.url)
        base_url = self._generator(account).pipeline.sender.base_url

        async def counted() -> int:
            async with Database(account).opened() as database:
                sql = "SELECT count(*) AS workers FROM workers WHERE base_url = %(base_url)s"
                [row] = await database.all(sql, base_url=base_url)
                return int(row["workers"])

        return asyncio.run(counted())

    @property
    def moods(self) -> dict[str, list[str]]:
        """What the gateway answered, by prompt."""
        found: dict[str, list[str]] = self._counts()["moods"]
        return found

    @property
    def admitted_at(self) -> list[float]:
        """When it admitted what, in seconds."""
        found: list[float] = self._counts()["admitted"]
        return found

    @property
    def posts(self) -> int:
        """How many POSTs it got."""
        return sum(map(len, self.moods.values()))

    def _generator(self, account: Account) -> QwenImageGenerator:
        return QwenImageGenerator(
            api_key="test-key-0123456789abcdef",
            base_url=self.base_url,
            account=account,
            size="512*512",
        )

    def _counts(self) -> Any:
        with urllib.request.urlopen(self.base_url + COUNTS) as answer:
            return json.load(answer)


@contextmanager
def gateway(popen: Popen = subprocess.Popen, **given: Any) -> Iterator[str]:
    """Run the gateway in a process of its own, and give its address."""
    process = popen(
        [sys.executable, "-m", "benchmarks.fleet_gateway", json.dumps(given)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


def wait_for(condition: Callable[[], object]) -> None:
    """Wait for what must come."""
    end = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


@dataclass(frozen=True)
class Found:
    """What account and gateway say at the end."""

    states: Counter[str]
    paid: int
    failures: int
    never_admitted: int
    kills: int

    def __str__(self) -> str:
        states = ", ".join(f"{count:,} {state}" for state, count in sorted(self.states.items()))
        return (
            f"{states}; {self.paid:,} paid, {self.never_admitted} killed before the gateway had "
            f"them, {self.failures} answers lost, {self.kills} kills"
        )


def check_laws(fleet: Fleet, kills: int, cut: int = 0) -> Found:
    """Check that each item was admitted once at most, and that the account is the bill.

    Args:
        fleet: Whose run is over.
        kills: How many workers were killed.
        cut: Calls whose connection to the database was cut at most: where nobody could say
            whether a call was written as sent, nothing was sent.

    Raises:
        AssertionError: A law does not hold.
    """
    account, moods = Account(fleet.url), fleet.moods
    calls = list(account.calls())
    admitted = {prompt: [mood for mood in said if mood != "429"] for prompt, said in moods.items()}
    twice = {prompt: said for prompt, said in admitted.items() if len(said) > 1}
    assert not twice, f"admitted more than once: {twice}"
    assert len(calls) == fleet.scale.total, "each item has one call, and no item is lost"
    states = Counter(call.state for call in calls)
    assert set(states) <= {"saved", "answered", "unknown"}, states

    spent = {call.prompt for call in calls}
    reached = {prompt for prompt, said in admitted.items() if said}
    paid = sum(said[0] in PAID for said in admitted.values() if said)
    free = sum(said[0] in LOST - PAID for said in admitted.values() if said)
    lost = sum(said[0] in LOST for said in admitted.values() if said)
    never = len(spent - reached)
    assert states.total() == paid + free + never
    unsent = kills * fleet.scale.concurrency + cut
    assert never <= unsent
    assert states["unknown"] <= unsent + lost
    totals = account.totals()
    assert totals.spent_usd == PRICE * states.total(), totals
    assert (totals.reserved_usd, totals.reserved_images) == (0, 0)

    sidecars = [json.loads(file.read_bytes()) for file in fleet.folder.glob("*.json")]
    images = {
        sidecar["prompt"] for sidecar in sidecars if (fleet.folder / sidecar["file"]).exists()
    }
    assert images == {call.prompt for call in calls if call.state == "saved"}
    account.close()
    return Found(states, paid, lost, never, kills)


def away(refuse: Callable[[bool], None], seconds: float) -> threading.Timer:
    """Take the database away now, and bring it back after so many seconds."""
    refuse(True)
    timer = threading.Timer(seconds, refuse, [False])
    timer.start()
    return timer
