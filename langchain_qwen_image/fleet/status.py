"""How far a run of a fleet has come: its items, its money, and the workers that are there."""

import asyncio
from dataclasses import dataclass, field
from decimal import Decimal

from langchain_qwen_image.account.money import purse_of
from langchain_qwen_image.fleet.database import Database, Row
from langchain_qwen_image.fleet.records import Run

__all__ = ["Failure", "FleetWorkerStatus", "RunStatus", "read_status"]

_RATE_SECONDS = 60
_GONE_SECONDS = 30
_REASONS = 5
_BY_STATUS = """
SELECT coalesce(status, 'waiting') AS status, count(*) AS items,
    count(CASE WHEN status = 'saved'
        AND settled_at > clock_timestamp() - make_interval(secs => %(seconds)s) THEN 1 END)
    AS lately,
    extract(epoch FROM clock_timestamp() - min(settled_at))::float AS since
FROM items WHERE run = %(run)s GROUP BY 1
"""
_REASONS_OF = """
SELECT status, reason, count(*) AS items FROM items
WHERE run = %(run)s AND status IN ('failed', 'unknown', 'lost', 'unsaved')
GROUP BY status, reason ORDER BY items DESC, reason LIMIT %(most)s
"""
_WORKERS = """
SELECT host, pid, concurrency, in_flight, paused,
    extract(epoch FROM clock_timestamp() - seen_at)::float AS seen,
    extract(epoch FROM clock_timestamp() - paused_at)::float AS paused_for
FROM workers WHERE base_url = %(base_url)s
    AND seen_at > clock_timestamp() - make_interval(secs => %(seconds)s)
ORDER BY host, pid
"""


@dataclass(frozen=True, slots=True)
class Failure:
    """Items without an image, for one reason.

    Attributes:
        status: `failed`, `unknown`, `lost` or `unsaved`.
        reason: Why, in a sentence.
        items: How many.
    """

    status: str
    reason: str
    items: int


@dataclass(frozen=True, slots=True)
class FleetWorkerStatus:
    """A worker that was seen lately.

    Attributes:
        host: Its machine.
        pid: Its process there.
        concurrency: Requests at a time.
        in_flight: Requests at the gateway when it was seen.
        seen_seconds: How long ago that was.
        paused: Why it does nothing; None while it works.
        paused_seconds: For how long.
    """

    host: str
    pid: int
    concurrency: int
    in_flight: int
    seen_seconds: float
    paused: str | None = None
    paused_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class RunStatus:
    """How far a run has come.

    Attributes:
        run: Its name.
        asked: Items that were enqueued, all together.
        waiting: Not sent yet.
        in_progress: Sent by a worker, and not answered yet.
        elsewhere: Sent by a worker that was killed or is away, and not answered yet.
        saved: Images that are saved.
        unsaved: Paid for and not fetched yet; a worker tries again.
        unknown: Sent, without a known answer; they may have been billed.
        lost: Paid for, and they cannot be fetched any more.
        failed: Nothing was bought.
        failures: The most frequent reasons.
        images_per_second: Saved in the last minute, per second.
        seconds_left: At that pace; None where there is none, or nothing is left.
        spent_usd: US dollars for saved, unsaved and unknown ones.
        reserved_usd: US dollars reserved for those in progress.
        max_usd: What the account may have spent at most; None without a limit.
        workers: Those that were seen in the last half minute.
    """

    run: str
    asked: int
    waiting: int
    in_progress: int
    elsewhere: int
    saved: int
    unsaved: int
    unknown: int
    lost: int
    failed: int
    failures: list[Failure]
    images_per_second: float
    seconds_left: float | None
    spent_usd: Decimal
    reserved_usd: Decimal
    max_usd: Decimal | None
    workers: list[FleetWorkerStatus] = field(default_factory=list)

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to be done."""
        return not (self.waiting or self.in_progress or self.elsewhere or self.unsaved)

    @property
    def missing(self) -> int:
        """How many images are not saved."""
        return self.asked - self.saved

    @property
    def is_paused(self) -> bool:
        """Whether no worker works, and each says why."""
        return bool(self.workers) and all(one.paused for one in self.workers)


async def read_status(database: Database, base_url: str, run: Run) -> RunStatus:
    """Read how far a run has come, from the items, the account and the workers."""
    counted = await database.all(_BY_STATUS, run=run.id, seconds=_RATE_SECONDS)
    counts = {row["status"]: row["items"] for row in counted}
    reasons = await database.all(_REASONS_OF, run=run.id, most=_REASONS)
    workers = await database.all(_WORKERS, base_url=base_url, seconds=_GONE_SECONDS)
    is_sandbox = purse_of(base_url) == "sandbox"
    money = await asyncio.to_thread(database.account.progress, run.name, sandbox=is_sandbox)
    rate = _rate(counted)
    elsewhere, waiting = counts.get("elsewhere", 0), counts.get("waiting", 0)
    in_progress = min(waiting, max(0, money.under_way - elsewhere))
    return RunStatus(
        run=run.name,
        asked=sum(counts.values()),
        waiting=waiting - in_progress,
        in_progress=in_progress,
        elsewhere=elsewhere,
        saved=counts.get("saved", 0),
        unsaved=counts.get("unsaved", 0),
        unknown=counts.get("unknown", 0),
        lost=counts.get("lost", 0),
        failed=counts.get("failed", 0),
        failures=[Failure(row["status"], row["reason"] or "", row["items"]) for row in reasons],
        images_per_second=round(rate, 3),
        seconds_left=round(waiting / rate) if rate and waiting else None,
        spent_usd=money.spent_usd,
        reserved_usd=money.reserved_usd,
        max_usd=run.max_usd,
        workers=[_worker(row) for row in workers],
    )


def _rate(counted: list[Row]) -> float:
    """Return the images a second of the last minute, or since the run's first one."""
    since = max((row["since"] or 0.0 for row in counted), default=0.0)
    lately: int = sum(row["lately"] for row in counted)
    return lately / max(min(since, _RATE_SECONDS), 1.0)


def _worker(row: Row) -> FleetWorkerStatus:
    paused_for = row["paused_for"]
    return FleetWorkerStatus(
        host=row["host"],
        pid=row["pid"],
        concurrency=row["concurrency"],
        in_flight=row["in_flight"],
        seen_seconds=round(row["seen"], 1),
        paused=row["paused"],
        paused_seconds=None if paused_for is None else round(paused_for, 1),
    )
