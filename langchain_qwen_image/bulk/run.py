"""Bulk runs: many requests at once, each paid for once, whatever happens in between.

request ─► its key in the account ─► its turn ─► pipeline ─► outcome
           lookup                    worker

What the account knows to be paid for is not paid for again. Any number of processes may work on
one run: what one of them has sent, the others leave alone. What the gateway refuses because it came
too soon is repeated, at a pace that all requests share.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import wait
from contextlib import aclosing, closing

from anyio.from_thread import start_blocking_portal
from langchain_core.runnables import RunnableConfig

from langchain_qwen_image.account.run_spend import RunSpend
from langchain_qwen_image.bulk.caller import Caller
from langchain_qwen_image.bulk.items import Deferred, KeyOf, Keys, Requests, Source, Unusable
from langchain_qwen_image.bulk.lookup import Lookup, RetryOptions, run_name
from langchain_qwen_image.bulk.outcome import BulkOutcome, outcome_of, unusable
from langchain_qwen_image.bulk.settling import FirstLooks, Settler
from langchain_qwen_image.bulk.stopping import RunStoppedError
from langchain_qwen_image.bulk.worker import Worker
from langchain_qwen_image.concurrency.threads import in_thread
from langchain_qwen_image.defaults import CONCURRENCY
from langchain_qwen_image.errors import ConfigurationError

__all__ = ["BulkOutcome", "BulkRun", "Requests"]


class BulkRun:
    """A bulk run that is iterated over, once, with `async for` or with `for`.

    Outcomes come in the order in which they are complete, and a few at a time are in memory. When
    the iteration ends early, by `break`, `stop()` or an error, no more requests leave, and those
    that have left are waited for: they are paid for.

    Attributes:
        name: The run's name, by which `Account.progress` tells how far it has come.
    """

    def __init__(
        self,
        caller: Caller,
        requests: Requests,
        *,
        run: str | None = None,
        idempotency_key: KeyOf | None = None,
        concurrency: int = CONCURRENCY,
        resume: bool = True,
        retry_unknown: bool = False,
        retry_lost: bool = False,
        config: RunnableConfig | None = None,
    ) -> None:
        """Take what `QwenImageGenerator.generate_many` takes; nothing is sent yet.

        Raises:
            ConfigurationError: `concurrency` is below 1, or there is nothing to resume by.
        """
        if concurrency < 1:
            raise ConfigurationError(f"concurrency must be 1 or more; got {concurrency!r}.")
        self.name = run_name(run, resume=resume)
        self._caller = caller
        self._requests = requests
        self._key_of = idempotency_key
        self._concurrency = concurrency
        pipeline = caller.pipeline
        retry = RetryOptions.of(pipeline, retry_unknown=retry_unknown, retry_lost=retry_lost)
        self._lookup = Lookup(pipeline, self.name, retry) if resume else None
        self._worker = Worker(caller, self.name, retry, config)
        self._settler = Settler(self._lookup, self._worker, retry_lost=retry.retry_lost)

    @property
    def in_flight(self) -> int:
        """Requests that are at the gateway, or whose images are being saved, at this moment."""
        return self._worker.in_flight

    def stop(self) -> None:
        """Send no more; the iteration ends when what was sent is settled. Safe for threads."""
        self._worker.stop()

    def spend(self) -> RunSpend:
        """Return what this run has paid or may have paid so far, without other processes.

        Raises:
            AccountError: The account cannot be read.
        """
        return self._worker.money.total(self._caller.pipeline.account)

    async def __aiter__(self) -> AsyncGenerator[BulkOutcome, None]:
        self._worker.start()
        if (pipeline := self._caller.pipeline).is_due:
            await in_thread(pipeline.make_ready)
        with closing(Keys(self._lookup, self._key_of)) as keys, closing(Deferred()) as deferred:
            source = Source(self._requests, self._caller.checked, keys)
            async with aclosing(self._outcomes(source, deferred)) as outcomes:
                async for outcome in outcomes:
                    yield outcome
        if failure := self._worker.failure or source.failure:
            raise failure

    def __iter__(self) -> Iterator[BulkOutcome]:
        with start_blocking_portal() as portal:
            outcomes = self.__aiter__()
            step = portal.start_task_soon(anext, outcomes, None)
            try:
                while (outcome := step.result()) is not None:
                    yield outcome
                    step = portal.start_task_soon(anext, outcomes, None)
            except BaseException:
                self.stop()  # Ctrl-C may have come while a step goes on: it ends first
                wait([step])
                portal.call(outcomes.aclose)
                raise

    async def _outcomes(
        self, source: Source, deferred: Deferred
    ) -> AsyncGenerator[BulkOutcome, None]:
        done: asyncio.Queue[BulkOutcome | None] = asyncio.Queue(1)
        looked = FirstLooks(self._concurrency)
        workers = [
            asyncio.create_task(self._work(source, deferred, looked, done))
            for _ in range(self._concurrency)
        ]
        running = len(workers)
        try:
            try:
                while running:
                    outcome = await done.get()
                    if outcome is None:
                        running -= 1
                    else:
                        yield outcome
            except GeneratorExit:  # the caller leaves early; what was sent is paid for
                self.stop()
                while running:
                    running -= await done.get() is None
                raise
        except asyncio.CancelledError:
            self.stop()
            for worker in workers:
                worker.cancel()  # a paid call goes on in the background, as anywhere
            raise

    async def _work(
        self,
        source: Source,
        deferred: Deferred,
        looked: FirstLooks,
        done: asyncio.Queue[BulkOutcome | None],
    ) -> None:
        try:
            with looked.counted():
                while (item := await self._worker.unless_stopped(source.take)) is not None:
                    if isinstance(item, Unusable):
                        await done.put(unusable(item))
                        continue
                    state = await self._settler.settle(item)
                    if state.status == "elsewhere":
                        deferred.add(item)  # asked about once more, when all others are settled
                    else:
                        await done.put(outcome_of(item, state))
            await self._worker.unless_stopped(looked.wait)
            while (item := deferred.take()) is not None:
                state = await self._settler.settle_at_last(item, looked)
                await done.put(outcome_of(item, state))
        except RunStoppedError:
            pass
        except Exception as error:  # of the account, say
            self._worker.end(error)
        await done.put(None)
