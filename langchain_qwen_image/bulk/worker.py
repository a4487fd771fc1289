"""One request of a bulk run: call until there is an answer, and end the run where that is no use.

A refusal that bought nothing (429, 503 with `Retry-After`, no connection) slows all requests of the
account down together and is repeated without a limit. What only the operator can fix (key,
permission, quota, address, budget, disk) ends the run.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from typing import TypeVar

from langchain_core.runnables import RunnableConfig

from langchain_qwen_image.account.pace_state import Turn
from langchain_qwen_image.account.records import LedgerCall
from langchain_qwen_image.bulk.caller import Caller
from langchain_qwen_image.bulk.lookup import BulkStatus, PriorState
from langchain_qwen_image.bulk.run_pace import RunPace
from langchain_qwen_image.concurrency.threads import in_thread
from langchain_qwen_image.errors import (
    AuthenticationError,
    BudgetExceededError,
    ConfigurationError,
    ConnectionFailedError,
    DownloadError,
    NotFoundError,
    PermissionDeniedError,
    QwenImageError,
    RateLimitError,
    SaveError,
)
from langchain_qwen_image.pipeline.bulk_item import BulkItem
from langchain_qwen_image.pipeline.order import NO_KEY, CallKey
from langchain_qwen_image.result import ImageGenerationResult
from langchain_qwen_image.schemas import QwenImageInput

_T = TypeVar("_T")
_DENIALS = (AuthenticationError, PermissionDeniedError, NotFoundError)
_OPERATOR_ERRORS = (ConfigurationError, ConnectionFailedError)
_SECOND_ATTEMPT_SECONDS = 1.0


class RunStoppedError(Exception):
    """The run ends, and the request was not sent; a resumed run sends it."""


class Worker:
    """Buys images, for the tasks of one event loop.

    Attributes:
        batch: The run's name.
        in_flight: Requests at the gateway, and images that are being saved.
        failure: What ended the run, if anything did.
    """

    def __init__(self, caller: Caller, batch: str, config: RunnableConfig | None) -> None:
        """Take who calls, the run's name, and LangChain's configuration for each request."""
        self.batch = batch
        self.in_flight = 0
        self.failure: Exception | None = None
        self._caller = caller
        self._config = config
        self._was_denied = False
        self._stopping = False
        self._idle: set[asyncio.Task[object]] = set()
        self._turnover = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Take the running loop for that of the run."""
        self._loop = asyncio.get_running_loop()

    def stop(self) -> None:
        """Send nothing more, and wake up the tasks that wait; safe for threads."""
        self._stopping = True
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: the run is over
                self._loop.call_soon_threadsafe(self._wake)

    def end(self, failure: Exception) -> None:
        """Stop because of a failure; the first one counts."""
        self.failure = self.failure or failure
        self.stop()

    async def unless_stopped(self, waiting: Callable[[], Awaitable[_T]]) -> _T:
        """Wait for something that costs nothing to give up.

        Raises:
            RunStoppedError: The run was stopped first.
        """
        if self._stopping:
            raise RunStoppedError
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker
        self._idle.add(task)
        try:
            return await waiting()
        except asyncio.CancelledError:
            if not self._stopping:
                raise
            task.uncancel()
            raise RunStoppedError from None
        finally:
            self._idle.discard(task)

    async def buy(
        self, arguments: QwenImageInput, item: str, *, pay_again: bool, item_id: str | None = None
    ) -> PriorState:
        """Buy one image and save it.

        Args:
            arguments: What to ask for.
            item: The request's id in the run.
            pay_again: Send it although an earlier call may have been billed.
            item_id: The caller's own id of the request.

        Raises:
            RunStoppedError: It bought nothing, and the run ends.
        """
        key = NO_KEY
        if self._caller.pipeline.account is not None:
            key = CallKey(item, self.batch, retry_unknown=pay_again, retry_lost=pay_again)
        recorded_as = BulkItem(key, item_id)
        try:
            work = partial(self._call, recorded_as)
            result = await self._caller.as_run(work, arguments, self._config)
        except DownloadError as error:  # the ledger has the link, and the next run tries again
            price = self._caller.pipeline.sender.price_usd
            return PriorState("unsaved", reason=str(error), error=error, cost_usd=price)
        except QwenImageError as error:
            return self._failed(error)
        return await self._bought(result, item_id)

    async def resume(self, call: LedgerCall, item_id: str | None) -> PriorState | None:
        """Ask for what an earlier run sent and the gateway queued; None if it bought nothing.

        Args:
            call: Its call, in state `queued`.
            item_id: The caller's own id of the request.

        Raises:
            RunStoppedError: The run ends first; a resumed run asks again.
        """
        pipeline = self._caller.pipeline
        try:
            with self._counted():
                result = await self.unless_stopped(lambda: pipeline.aresume(call, item_id=item_id))
        except QwenImageError as error:
            now = await in_thread(pipeline.account.get, call.id) if pipeline.account else None
            if now is not None and now.state == "refused":
                return None
            status: BulkStatus = "unknown" if now and now.state == "unknown" else "unsaved"
            return PriorState(status, reason=str(error), error=error)
        bought = await self._bought(result, item_id)
        found: BulkStatus = "reused" if bought.status == "saved" else bought.status
        return bought._replace(status=found, cost_usd=0.0)

    async def _call(self, item: BulkItem, arguments: QwenImageInput) -> ImageGenerationResult:
        while True:
            turn = await self.unless_stopped(self._turn)
            try:
                with self._counted():
                    result = await self._caller.generate(arguments, item)
            except BudgetExceededError as error:
                await self._wait_for_budget(error)
            except QwenImageError as error:
                self._one_is_done()
                if not await self._is_worth_repeating(error, turn):
                    raise
            else:
                self._one_is_done()
                self._pace.admitted(turn)
                self._was_denied = False
                return result

    @cached_property
    def _pace(self) -> RunPace:
        return RunPace(self._caller.pipeline.pace)

    async def _turn(self) -> Turn:
        try:
            return await self._pace.turn()
        except RateLimitError as error:
            self.end(error)
        raise RunStoppedError

    async def _wait_for_budget(self, error: BudgetExceededError) -> None:
        """Wait for a request that has reserved some of the budget; without one, end the run."""
        budget = self._caller.pipeline.budget
        if budget is None or not budget.reserved_usd or not self.in_flight:
            self.end(error)
        await self.unless_stopped(self._turnover.wait)

    async def _is_worth_repeating(self, error: QwenImageError, turn: Turn) -> bool:
        """Judge a request without an image: repeat it, give it up, or end the run."""
        if error.is_retryable and await self._pace.refused(error, turn):
            return True
        if isinstance(error, _DENIALS) and not self._was_denied:
            self._was_denied = True  # perhaps this once
            await self._pace.hold(_SECOND_ATTEMPT_SECONDS)
            return True
        if error.is_retryable or isinstance(error, (*_DENIALS, *_OPERATOR_ERRORS)):
            self.end(error)
            raise RunStoppedError
        self._pace.admitted(turn)
        return False

    def _failed(self, error: QwenImageError) -> PriorState:
        if error.may_have_been_billed:
            price = self._caller.pipeline.sender.price_usd
            return PriorState("unknown", reason=str(error), error=error, cost_usd=price)
        return PriorState("failed", reason=str(error), error=error)

    async def _bought(self, result: ImageGenerationResult, item_id: str | None) -> PriorState:
        pipeline = self._caller.pipeline
        saved = PriorState("saved", result, cost_usd=result.cost_usd)
        if not pipeline.saves or all(image.path is not None for image in result.images):
            return saved
        try:  # free of charge, and says whether it was the link or the disk
            return saved._replace(result=await pipeline.afetch(result, item_id=item_id))
        except DownloadError as error:
            return saved._replace(status="unsaved", reason=str(error), error=error)
        except OSError as error:
            self.end(error)
            said = isinstance(error, SaveError)
            reason = str(error) if said else f"It is paid for, and could not be written: {error}"
            return saved._replace(status="unsaved", reason=reason)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    def _one_is_done(self) -> None:
        self._turnover.set()
        self._turnover = asyncio.Event()

    def _wake(self) -> None:
        for task in self._idle:
            task.cancel()
