"""What a worker does beside its work: say that it lives, and take over what the dead had."""

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

from langchain_qwen_image.fleet.database import Database, queue_of

__all__ = ["BEAT_SECONDS", "Pulse", "Timing"]

BEAT_SECONDS = 3.0
"""Between two signs of life in a worker's row at most, for those who watch."""

_FORGOTTEN_DAYS = 1


@dataclass(frozen=True, slots=True)
class Timing:
    """How often a worker does what, in seconds.

    Attributes:
        heartbeat: Between two signs of life.
        stalled: Without one, after which others take a worker's jobs over.
        look: Between two looks for new jobs, where no notice of one came.
        probe: After a pause, until it is tried whether its reason is gone; then twice as long.
        longest_probe: What that grows to.
    """

    heartbeat: float = 10.0
    stalled: float = 30.0
    look: float = 5.0
    probe: float = 5.0
    longest_probe: float = 60.0


class Pulse:
    """The row of one worker, and the jobs of those that have none any more."""

    def __init__(
        self, database: Database, base_url: str, concurrency: int, stalled_seconds: float
    ) -> None:
        """Take the database, the gateway, and what the row says."""
        self._database = database
        self._base_url = base_url
        self._concurrency = concurrency
        self._stalled_seconds = stalled_seconds
        self._id = uuid4().hex

    async def beat(self, in_flight: int, paused: str | None) -> None:
        """Say that the worker lives, what it does, and why it does nothing."""
        sql = (
            "INSERT INTO workers (id, base_url, host, pid, concurrency, in_flight, paused,"
            " paused_at) VALUES (%(id)s, %(base_url)s, %(host)s, %(pid)s, %(concurrency)s,"
            " %(in_flight)s, %(paused)s::text,"
            " CASE WHEN %(paused)s::text IS NOT NULL THEN clock_timestamp() END)"
            " ON CONFLICT (id) DO UPDATE SET in_flight = excluded.in_flight,"
            " paused = excluded.paused, seen_at = clock_timestamp(), paused_at ="
            " CASE WHEN excluded.paused IS NOT NULL"
            " THEN coalesce(workers.paused_at, clock_timestamp()) END"
        )
        await self._database.run(
            sql,
            id=self._id,
            base_url=self._base_url,
            host=socket.gethostname(),
            pid=os.getpid(),
            concurrency=self._concurrency,
            in_flight=in_flight,
            paused=paused,
        )

    async def leave(self) -> None:
        """Remove the row, and those of workers that were never seen again."""
        sql = (
            "DELETE FROM workers WHERE id = %(id)s"
            " OR seen_at < clock_timestamp() - make_interval(days => %(days)s)"
        )
        await self._database.run(sql, id=self._id, days=_FORGOTTEN_DAYS)

    async def take_over(self) -> None:
        """Queue the jobs of dead workers again; the account says how each of them stands."""
        from procrastinate.exceptions import ConnectorException

        manager = self._database.app.job_manager
        stalled = await manager.get_stalled_jobs(
            queue=queue_of(self._base_url), seconds_since_heartbeat=self._stalled_seconds
        )
        for job in stalled:
            with suppress(ConnectorException):  # another worker was quicker
                await manager.retry_job(job)
