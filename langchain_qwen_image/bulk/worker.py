"""One request of a bulk run: call until there is an answer, and end the run where that is no use.

A refusal that bought nothing (429, 503 with `Retry-After`, no connection) slows all requests of the
account down together and is repeated without a limit. What only the operator can fix (key,
permission, quota, address, budget, disk) ends the run.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial

from langchain_core.runnables import RunnableConfig

from langchain_qwen_image.account.pace_state import Turn
from langchain_qwen_image.account.pace_store import TurnLostError
from langchain_qwen_image.account.records import CallRecord
from langchain_qwen_image.bulk.caller import Caller
from langchain_qwen_image.bulk.error_states import (
    DENIALS,
    OPERATOR_ERRORS,
    sent_nothing,
    state_of_error,
)
from langchain_qwen_image.bulk.items import Item
from langchain_qwen_image.bulk.lookup import BulkStatus, PriorState, RetryOptions
from langchain_qwen_image.bulk.money import Money, Purchase
from langchain_qwen_image.bulk.run_pace import RunPace
from langchain_qwen_image.bulk.stopping import RunStoppedError, Stoppable
from langchain_qwen_image.concurrency.threads import in_thread
from langchain_qwen_image.errors import (
    BudgetExceededError,
    DownloadError,
    QwenImageError,
    RateLimitError,
    SaveError,
)
from langchain_qwen_image.pipeline.cancellation import CallState
from langchain_qwen_image.pipeline.order import NO_KEY, CallKey, Order
from langchain_qwen_image.result import ImageGenerationResult
from langchain_qwen_image.schemas import QwenImageInput

_SECOND_ATTEMPT_SECONDS = 1.0


class Worker(Stoppable):
    """Buys images, for the tasks of one event loop.

    Attributes:
        in_flight: Requests at the gateway, and images that are being saved.
        money: What was paid.
    """

    def __init__(
        self, caller: Caller, run: str, retry: RetryOptions, config: RunnableConfig | None
    ) -> None:
        """Take who calls, the run's name, what is paid for again, and LangChain's configuration."""
        super().__init__()
        self.in_flight = 0
        self.money = Money()
        self._caller = caller
        self._run = run
        self._retry = retry
        self._config = config
        self._was_denied = False
        self._buying = 0
        self._turnover = asyncio.Event()

    async def buy(self, item: Item) -> PriorState:
        """Buy an image and save it, or get what another call of its key has bought meanwhile.

        Raises:
            RunStoppedError: It bought nothing, and the run ends.
        """
        purchase = self.money.begin()
        state = None
        try:
            state = await self._buy(item, purchase)
        except RunStoppedError:
            self.money.end(purchase, None)
            raise
        self.money.end(purchase, state)
        return state

    async def resume(self, call: CallRecord, item: Item) -> PriorState | None:
        """Ask for what was sent earlier and the gateway queued; None if it bought nothing.

        Raises:
            RunStoppedError: The run ends first; a resumed run asks again.
        """
        pipeline = self._caller.pipeline
        try:
            with self._counted():
                resume = partial(pipeline.aresume, call, item_id=item.item_id)
                result = await self.unless_stopped(resume)
        except QwenImageError as error:
            now = await in_thread(pipeline.account.get, call.id) if pipeline.account else None
            if now is not None and now.state == "refused":
                return None
            is_unknown = now is not None and now.state == "unknown"
            status: BulkStatus = "unknown" if is_unknown else "unsaved"
            return PriorState(status, reason=str(error), error=error)
        return _reused(await self._bought(result, item.item_id))

    async def replay(self, call: CallRecord, item: Item) -> PriorState:
        """Bring back what was bought earlier, free of charge."""
        found = await self._caller.pipeline.areplay(call, item_id=item.item_id)
        if found.lost is not None:
            reason = f"It was paid for and is lost. {found.lost}"
            return PriorState("lost", found.result, reason)
        return _reused(await self._bought(found.handed_out(), item.item_id))

    async def _buy(self, item: Item, purchase: Purchase) -> PriorState:
        try:
            work = partial(self._call, item, purchase)
            result = await self._caller.as_run(work, item.arguments, self._config)
        except QwenImageError as error:
            state = purchase.call_state
            has_sent = state is not None and state.has_sent
            return state_of_error(error, self._caller.pipeline.sender.price_usd if has_sent else 0)
        bought = await self._bought(result, item.item_id)
        return _reused(bought) if result.replayed else bought

    async def _call(
        self, item: Item, purchase: Purchase, arguments: QwenImageInput
    ) -> ImageGenerationResult:
        order = self._order(item)
        while True:
            turn, turnover = await self.unless_stopped(self._turn), self._turnover
            purchase.call_state, order = CallState(), replace(order, turn=turn)
            try:
                with self._counted(buying=1):
                    result = await self._caller.generate(arguments, purchase.call_state, order)
            except TurnLostError:  # another process was refused meanwhile
                self._one_is_done()
            except BudgetExceededError as error:
                await self._wait_for_budget(error, turnover)
            except QwenImageError as error:
                self._one_is_done()
                if not await self._is_worth_repeating(error, turn):
                    raise
            else:
                self._one_is_done()
                if not result.replayed:
                    self._pace.admitted(turn)
                    self._was_denied = False
                return result

    def _order(self, item: Item) -> Order:
        key = NO_KEY
        if self._caller.pipeline.account is not None:
            key = CallKey(item.key, self._run, **self._retry._asdict())
        return Order(key, item.item_id, max_retries=0, patience=0.0)

    @cached_property
    def _pace(self) -> RunPace:
        return RunPace(self._caller.pipeline.pace)

    async def _turn(self) -> Turn:
        try:
            return await self._pace.turn()
        except RateLimitError as error:
            self.end(error)
        raise RunStoppedError

    async def _wait_for_budget(self, error: BudgetExceededError, turnover: asyncio.Event) -> None:
        """Wait for a request of this run that may give money back; without one, end the run."""
        if not self._buying and not turnover.is_set():
            self.end(error)
        await self.unless_stopped(turnover.wait)

    async def _is_worth_repeating(self, error: QwenImageError, turn: Turn) -> bool:
        """Judge a request without an image: repeat it, give it up, or end the run."""
        if sent_nothing(error):
            return False
        if error.is_retryable and await self._pace.refused(error, turn):
            return True
        if isinstance(error, DENIALS) and not self._was_denied:
            self._was_denied = True  # perhaps this once
            await self._pace.hold(_SECOND_ATTEMPT_SECONDS)
            return True
        if error.is_retryable or isinstance(error, (*DENIALS, *OPERATOR_ERRORS)):
            self.end(error)
            raise RunStoppedError
        self._pace.admitted(turn)
        return False

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
    def _counted(self, buying: int = 0) -> Iterator[None]:
        self.in_flight += 1
        self._buying += buying
        try:
            yield
        finally:
            self.in_flight -= 1
            self._buying -= buying

    def _one_is_done(self) -> None:
        self._turnover.set()
        self._turnover = asyncio.Event()


def _reused(state: PriorState) -> PriorState:
    """Return the state of a request that an earlier call has paid for."""
    return state._replace(status="reused" if state.status == "saved" else state.status, cost_usd=0)
