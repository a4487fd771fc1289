"""A stretch of a worker's work: it takes jobs of the queue, until something ends it."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from langchain_qwen_image.bulk.stopping import RunStoppedError
from langchain_qwen_image.errors import QwenImageError
from langchain_qwen_image.fleet.database import TASK, Database
from langchain_qwen_image.fleet.desk import Desk
from langchain_qwen_image.fleet.items import Items
from langchain_qwen_image.fleet.job_retry import LaterError, put_back
from langchain_qwen_image.fleet.pulse import BEAT_SECONDS, Pulse, Timing

__all__ = ["Session", "WorkerProgress"]


@dataclass
class WorkerProgress:
    """What a worker did, over all its sessions.

    Attributes:
        counts: How many items came to what.
        runs: Numbers of the runs that it had items of.
        paused: Why it does nothing; None while it works.
    """

    counts: Counter[str] = field(default_factory=Counter)
    runs: set[int] = field(default_factory=set)
    paused: str | None = None


class Session:
    """Takes jobs, one desk settles them; it ends for good, or for a pause.

    Attributes:
        is_done: Whether it ended because all was settled.
    """

    def __init__(
        self,
        database: Database,
        items: Items,
        desk: Desk,
        pulse: Pulse,
        progress: WorkerProgress,
        *,
        queue: str,
        concurrency: int,
        is_probing: bool,
        until_empty: bool,
        timing: Timing,
        recovered: Callable[[], None],
    ) -> None:
        """Take the open database, and what the worker does it with.

        Args:
            database: Where the queue is.
            items: The items of its jobs.
            desk: What settles them.
            pulse: What says that the worker lives.
            progress: What is counted.
            queue: Name of the queue.
            concurrency: Requests at a time.
            is_probing: Begin with one at a time, and end when an image is saved.
            until_empty: End when nothing waits and nobody works.
            timing: How often what is done.
            recovered: Called when the reason of a pause is gone.
        """
        self.is_done = False
        self._database = database
        self._items = items
        self._desk = desk
        self._pulse = pulse
        self._progress = progress
        self._queue = queue
        self._concurrency = 1 if is_probing else concurrency
        self._is_probing = is_probing
        self._until_empty = until_empty
        self._timing = timing
        self._recovered = recovered
        self._tasks: set[asyncio.Task[Any]] = set()
        self._jobs: Any = None  # procrastinate's worker, whose methods have no types

    def stop(self) -> None:
        """Take no more jobs, and send nothing more."""
        self._desk.stop()
        self._end()

    async def run(self) -> None:
        """Take jobs, until it is stopped.

        Raises:
            ConnectorException: The database is away.
        """
        from procrastinate.worker import Worker as JobWorker

        app = self._database.app
        app.tasks.pop(TASK, None)
        app.task(name=TASK, retry=put_back())(self._settle)
        self._jobs = JobWorker(
            app=app,
            queues=[self._queue],
            concurrency=self._concurrency,
            install_signal_handlers=False,
            delete_jobs="always",
            fetch_job_polling_interval=self._timing.look,
            update_heartbeat_interval=self._timing.heartbeat,
            stalled_worker_timeout=self._timing.stalled,
        )
        jobs = asyncio.create_task(self._jobs.run())
        beside = asyncio.create_task(self._beside())
        try:
            await asyncio.shield(jobs)
        except asyncio.CancelledError:
            self.stop()
            for task in self._tasks:
                task.cancel()  # a paid call goes on in the background, as anywhere
            await asyncio.wait([jobs])
            raise
        finally:
            beside.cancel()
            await asyncio.wait([beside])

    def _end(self) -> None:
        if self._jobs is not None:
            self._jobs.stop()

    async def _settle(self, item: int) -> None:
        """Settle one item: the task of the queue."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        stored = await self._items.read(item)
        if stored is None or stored.is_over:
            return
        self._progress.runs.add(stored.run)
        try:
            outcome = await self._desk.settle(stored)
        except RunStoppedError:
            self._end()
            raise LaterError(0) from None
        except QwenImageError as error:  # of the account or a setting: it is no item's own
            self._desk.fail(error)
            self._end()
            raise LaterError(0) from None
        await self._items.note(item, outcome)
        self._progress.counts[outcome.status] += 1
        if self._desk.failure is not None:  # of the disk: what is paid for is fetched later
            self._end()
        elif outcome.status == "saved" and self._is_probing:
            self._recovered()
            self._end()
        if outcome.again_after is not None:
            raise LaterError(outcome.again_after)

    async def _beside(self) -> None:
        """Say that the worker lives, take over what the dead had, and see whether all is done."""
        from procrastinate.exceptions import ConnectorException

        beat_at = 0.0
        while True:
            with suppress(ConnectorException):
                if time.monotonic() >= beat_at:
                    await self._pulse.beat(self._desk.in_flight, self._progress.paused)
                    await self._pulse.take_over()
                    beat_at = time.monotonic() + min(self._timing.heartbeat, BEAT_SECONDS)
                    if not self._is_probing:  # it was the database, which is there again
                        self._recovered()
                if self._until_empty and await self._items.are_all_settled():
                    self.is_done = True
                    self._end()
            await asyncio.sleep(min(self._timing.heartbeat, 1.0))
