"""A worker of a fleet: settles what is in the queue, until it is told to stop.

What only a person can put right (a used-up budget, a refused key, a full disk, a database that is
away) pauses it: its jobs go back into the queue, and it tries one of them now and then.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from langchain_qwen_image.checks.disk import disk_problem
from langchain_qwen_image.errors import AccountError, BudgetExceededError, ConfigurationError
from langchain_qwen_image.fleet.database import Database, queue_of
from langchain_qwen_image.fleet.desk import Desk
from langchain_qwen_image.fleet.items import Items
from langchain_qwen_image.fleet.last_look import Left, look_once_more
from langchain_qwen_image.fleet.pulse import BEAT_SECONDS, Pulse, Timing
from langchain_qwen_image.fleet.session import Session, WorkerProgress

__all__ = ["FleetWorker"]


class FleetWorker:
    """One worker, for the event loop that runs it.

    Attributes:
        progress: What it did so far, and why it does nothing at the moment.
    """

    def __init__(
        self,
        database: Database,
        base_url: str,
        new_generator: Callable[[], Any],
        *,
        concurrency: int,
        until_empty: bool = False,
        timing: Timing | None = None,
        tell: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        """Take the closed database, the gateway, and what makes a `QwenImageGenerator`.

        Args:
            database: Where the queue is.
            base_url: The gateway whose runs it works on.
            new_generator: Makes what pays and saves, anew after a pause: the key may be another.
            concurrency: Requests at a time.
            until_empty: End when nothing waits and nobody works.
            timing: How often it does what.
            tell: Takes sentences for the person who watches.
        """
        self.progress = WorkerProgress()
        self._database = database
        self._items = Items(database, base_url)
        self._queue = queue_of(base_url)
        self._new_generator = new_generator
        self._concurrency = concurrency
        self._until_empty = until_empty
        self._timing = timing or Timing()
        self._tell = tell
        self._pulse = Pulse(database, base_url, concurrency, self._timing.stalled)
        self._desk: Desk | None = None
        self._session: Session | None = None
        self._stopping = asyncio.Event()
        self._is_probing = False

    @property
    def in_flight(self) -> int:
        """Requests that may be billed."""
        return 0 if self._desk is None else self._desk.in_flight

    def stop(self) -> None:
        """Take no more jobs; the work ends when what was sent is settled."""
        self._stopping.set()
        if self._session is not None:
            self._session.stop()

    async def work(self) -> Left:
        """Work until it is stopped, or until all is settled; return what has no answer yet.

        Raises:
            ConfigurationError: The tables cannot be used.
            AccountError: The database cannot be reached at the start.
        """
        asyncio.get_running_loop().set_exception_handler(_without_lost_jobs)
        wait, is_first = 0.0, True
        while not self._stopping.is_set():
            try:
                async with self._database.opened():
                    wait, is_first = 0.0, False
                    await self._go_on()
                    return await self._leave()
            except AccountError as error:
                if is_first:
                    raise
                self._pause(error)
                wait = self._longer(wait)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), wait)
        return Left()

    async def count_missing(self) -> int:
        """Return how many images are missing in the runs that it had items of."""
        return await self._items.missing(self.progress.runs)

    async def _go_on(self) -> None:
        """Work until it is stopped or done, with pauses.

        Raises:
            AccountError: The database is away.
        """
        wait = 0.0
        while not self._stopping.is_set():
            failure = await self._stretch()
            self._is_probing = failure is not None
            if failure is not None:
                self._pause(failure)
                wait = self._longer(wait)
                await self._rest(wait)
            elif self._session is not None and self._session.is_done:
                return
            else:
                wait = 0.0

    async def _stretch(self) -> Exception | None:
        """Work until something stops it, and return what only a person can put right."""
        self._session = None
        try:
            generator = self._new_generator()
            if self._is_probing:
                _check_disk(generator)
            self._desk = Desk(generator, self._items)
            self._session = Session(
                self._database,
                self._items,
                self._desk,
                self._pulse,
                self.progress,
                queue=self._queue,
                concurrency=self._concurrency,
                is_probing=self._is_probing,
                until_empty=self._until_empty,
                timing=self._timing,
                recovered=self._recover,
            )
            async with self._database.readable_errors():
                await self._session.run()
        except (ConfigurationError, OSError) as error:
            return error
        if isinstance(self._desk.failure, AccountError):
            raise self._desk.failure
        return self._desk.failure

    def _pause(self, failure: Exception) -> None:
        reason = _readable(failure)
        if self.progress.paused is None:
            self._tell(f"Paused: {reason}")
        self.progress.paused = reason

    def _recover(self) -> None:
        if self.progress.paused is not None:
            self._tell("The reason for the pause is gone. The worker continues.")
            self.progress.paused = None

    def _longer(self, wait: float) -> float:
        return min(2 * wait or self._timing.probe, self._timing.longest_probe)

    async def _rest(self, seconds: float) -> None:
        """Wait in a pause, and let others see why."""
        end = time.monotonic() + seconds
        while not self._stopping.is_set() and (left := end - time.monotonic()) > 0:
            async with self._database.readable_errors():
                await self._pulse.beat(0, self.progress.paused)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), min(left, BEAT_SECONDS))

    async def _leave(self) -> Left:
        """Look once more at what is elsewhere, and sign off; return what is left of it."""
        left = Left()
        async with self._database.readable_errors():
            if not self._stopping.is_set():
                desk = self._desk or Desk(self._new_generator(), self._items)
                left = await look_once_more(desk, self._items, None)
            await self._pulse.leave()
        return left


def _check_disk(generator: Any) -> None:
    """Look at the disk before the next image is paid for.

    Raises:
        OSError: It cannot be saved.
    """
    folder = generator.pipeline.saver.store.folder
    problem = None if folder is None else disk_problem(folder)
    if problem is not None:
        raise OSError(problem)


def _readable(error: Exception) -> str:
    if isinstance(error, BudgetExceededError):
        return "The budget is used up. `fleet enqueue` with a higher --max-usd raises it."
    return " ".join(str(error).split()) or type(error).__name__


def _without_lost_jobs(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Leave out jobs whose end could not be written: another worker takes them over."""
    from procrastinate.exceptions import ConnectorException

    if not isinstance(context.get("exception"), ConnectorException):
        loop.default_exception_handler(context)
