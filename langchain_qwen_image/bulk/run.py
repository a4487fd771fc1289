"""Bulk runs: many requests at once, each paid for once, whatever happens in between.

request ─► paid for already? ─► its turn ─► pipeline ─► outcome
           lookup              worker

What was paid for is not paid for again. What came too soon is repeated, at a pace for all.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator
from concurrent.futures import wait
from contextlib import aclosing, asynccontextmanager, closing, suppress
from dataclasses import dataclass
from itertools import count

from anyio.from_thread import start_blocking_portal
from langchain_core.runnables import RunnableConfig

from langchain_qwen_image.account.ledger import Ledger
from langchain_qwen_image.bulk.caller import Caller
from langchain_qwen_image.bulk.lookup import BulkStatus, Lookup, RetryOptions, batch_name
from langchain_qwen_image.bulk.request import BulkRequest
from langchain_qwen_image.bulk.request_ids import RequestIds
from langchain_qwen_image.bulk.worker import RunStoppedError, Worker
from langchain_qwen_image.concurrency.threads import in_thread
from langchain_qwen_image.defaults import CONCURRENCY
from langchain_qwen_image.errors import AccountError, ConfigurationError, QwenImageError
from langchain_qwen_image.integration.inputs import GeneratorInput
from langchain_qwen_image.result import ImageGenerationResult
from langchain_qwen_image.schemas import QwenImageInput

_Given = GeneratorInput | BulkRequest
Requests = Iterable[_Given] | AsyncIterable[_Given]
"""What a run is made of; both kinds may be unbounded."""


@dataclass(frozen=True, slots=True)
class BulkOutcome:
    """What became of one request of a bulk run.

    Attributes:
        number: Its place among the requests, from 0.
        status: `saved`: bought and saved just now. `reused`: an earlier run bought it, and it
            exists. `unsaved`: paid for and not saved yet; a resumed run fetches it free of charge.
            `unknown`: its answer never came; it may have been billed. `lost`: paid for, and it
            cannot be fetched any more. `failed`: nothing was bought.
        request: The arguments, checked; None where they could not be used.
        result: What was bought, where that is known.
        error: What the gateway or the disk said, where this run met it.
        reason: Why there is no image, in a sentence.
        cost_usd: What this run paid for it, or may have where it is `unknown`, in US dollars.
        id: The caller's own id of the request, where it came with one.
    """

    number: int
    status: BulkStatus
    request: QwenImageInput | None
    result: ImageGenerationResult | None = None
    error: QwenImageError | None = None
    reason: str | None = None
    cost_usd: float = 0.0
    id: str | None = None

    @property
    def is_there(self) -> bool:
        """Whether the image exists."""
        return self.status in ("saved", "reused")


class BulkRun:
    """A bulk run that is iterated over, once, with `async for` or with `for`.

    Outcomes come in the order in which they are complete, and a few at a time are in memory. When
    the iteration ends early, by `break`, `stop()` or an error, no more requests leave, and those
    that have left are waited for: they are paid for.
    """

    def __init__(
        self,
        caller: Caller,
        requests: Requests,
        *,
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
        self._caller = caller
        self._requests = requests
        self._concurrency = concurrency
        pipeline = caller.pipeline
        batch = batch_name(pipeline, resume=resume)
        self._lookup = Lookup(pipeline, batch) if resume else None
        self._retry = RetryOptions.of(pipeline, retry_unknown=retry_unknown, retry_lost=retry_lost)
        self._worker = Worker(caller, batch, config)

    @property
    def in_flight(self) -> int:
        """Requests that are at the gateway, or whose images are being saved, at this moment."""
        return self._worker.in_flight

    def stop(self) -> None:
        """Send no more; the iteration ends when what was sent is settled. Safe for threads."""
        self._worker.stop()

    async def __aiter__(self) -> AsyncGenerator[BulkOutcome, None]:
        self._worker.start()
        source = _Source(self._requests)
        async with self._claimed():
            with closing(RequestIds()) as ids:
                async with aclosing(self._outcomes(source, ids)) as outcomes:
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

    @asynccontextmanager
    async def _claimed(self) -> AsyncIterator[None]:
        account = (pipeline := self._caller.pipeline).account
        if account is None or account.path is None:
            yield
            return
        if pipeline.is_due:
            await in_thread(pipeline.make_ready)
        await (ledger := Ledger(account.path)).claim(self._worker.batch)
        try:
            yield
        finally:
            with suppress(AccountError):  # a full disk; it is void when this process ends
                await ledger.release(self._worker.batch)

    async def _outcomes(
        self, source: "_Source", ids: RequestIds
    ) -> AsyncGenerator[BulkOutcome, None]:
        done: asyncio.Queue[BulkOutcome | None] = asyncio.Queue(1)
        workers = [
            asyncio.create_task(self._work(source, ids, done)) for _ in range(self._concurrency)
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
        self, source: "_Source", ids: RequestIds, done: asyncio.Queue[BulkOutcome | None]
    ) -> None:
        try:
            while (taken := await self._worker.unless_stopped(source.take)) is not None:
                await done.put(await self._settle(*taken, ids))
        except RunStoppedError:
            pass
        except Exception as error:  # of the ledger, say
            self._worker.end(error)
        await done.put(None)

    async def _settle(self, number: int, request: BulkRequest, ids: RequestIds) -> BulkOutcome:
        try:
            arguments = self._caller.checked(request.input)
        except QwenImageError as error:
            reason = str(error)
            return BulkOutcome(number, "failed", None, error=error, reason=reason, id=request.id)
        item = ids.next_id(arguments)
        prior = None
        if self._lookup is not None:
            prior = await in_thread(self._lookup.look_up, item, self._worker.end, request.id)
        if prior is not None and prior.queued is not None:
            prior = await self._worker.resume(prior.queued, request.id)
        if prior is None or self._retry.wants(prior):
            prior = await self._worker.buy(
                arguments, item, pay_again=prior is not None, item_id=request.id
            )
        return BulkOutcome(
            number,
            prior.status,
            arguments,
            prior.result,
            prior.error,
            prior.reason,
            prior.cost_usd,
            request.id,
        )


class _Source:
    """Numbers the requests, whichever kind of iterable they come from.

    A failure of the iterable is its end, and remembered: what it gave before is settled all the
    same.
    """

    def __init__(self, requests: Requests) -> None:
        self.failure: Exception | None = None
        self._ahead = aiter(
            requests if isinstance(requests, AsyncIterable) else _one_by_one(requests)
        )
        self._taking = asyncio.Lock()
        self._numbers = count()

    async def take(self) -> tuple[int, BulkRequest] | None:
        """Return the next request with its number, or None at the end."""
        async with self._taking:
            try:
                return next(self._numbers), BulkRequest.of(await anext(self._ahead))
            except StopAsyncIteration:
                return None
            except Exception as error:
                self.failure = error
                return None


async def _one_by_one(requests: Iterable[_Given]) -> AsyncIterator[_Given]:
    for request in requests:
        yield request
