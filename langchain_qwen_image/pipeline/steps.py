"""What one call does, step by step: reserve, send, book, look, save; in either world."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from langchain_core.rate_limiters import BaseRateLimiter

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.belonging import Belonging
from langchain_qwen_image.account.budget import Budget
from langchain_qwen_image.account.leases import CallTakenError
from langchain_qwen_image.account.pace import Pace
from langchain_qwen_image.account.pace_store import TurnLostError
from langchain_qwen_image.account.paces import Paces
from langchain_qwen_image.account.records import CallRecord
from langchain_qwen_image.concurrency.process import OncePerProcess
from langchain_qwen_image.concurrency.runtime import ASYNCIO, BLOCKING, Runtime
from langchain_qwen_image.defaults import MAX_IMAGE_BYTES
from langchain_qwen_image.errors import ConfigurationError, DownloadError, QwenImageError
from langchain_qwen_image.pipeline.books import Books
from langchain_qwen_image.pipeline.cancellation import CallState
from langchain_qwen_image.pipeline.candidates import confirmed
from langchain_qwen_image.pipeline.order import Order
from langchain_qwen_image.pipeline.progress import Progress, saved_details
from langchain_qwen_image.pipeline.recorder import Recorder
from langchain_qwen_image.pipeline.results import given_result, result_of
from langchain_qwen_image.pipeline.saver import ImageSaver
from langchain_qwen_image.pipeline.sender import Sender
from langchain_qwen_image.pipeline.shared_calls import SharedCalls
from langchain_qwen_image.pipeline.turns import Turns
from langchain_qwen_image.pipeline.watch import Watch
from langchain_qwen_image.result import ImageGenerationResult
from langchain_qwen_image.schemas import QwenImageInput
from langchain_qwen_image.transport.pool import CONNECT_SECONDS
from langchain_qwen_image.wire.answer import QueuedAnswer
from langchain_qwen_image.wire.request import WireRequest

_SPARE_SECONDS = 10.0

logger = logging.getLogger("langchain_qwen_image")


@dataclass(frozen=True, slots=True)
class Steps:
    """What a call passes through; `saves` says that there is a store for its images."""

    sender: Sender
    saver: ImageSaver
    saves: bool = False
    account: Account | None = None
    budget: Budget | None = None
    rate_limiter: BaseRateLimiter | None = None
    paces: Paces = field(default_factory=Paces, repr=False)
    preflight: OncePerProcess | None = None
    belonging: Belonging | None = None
    max_raw_bytes: int = MAX_IMAGE_BYTES * 4 // 3
    progress_seconds: float | None = None
    blocking: Runtime = BLOCKING
    asyncio: Runtime = ASYNCIO
    shared: SharedCalls[ImageGenerationResult] = field(default_factory=SharedCalls, repr=False)

    @property
    def is_due(self) -> bool:
        """Whether `make_ready` has something to do: before the first call, and after a change."""
        if self.preflight is not None and self.preflight.is_due:
            return True
        books, account = self.belonging, self.account
        return books is not None and account is not None and books.is_due(account)

    def make_ready(self) -> None:
        """Check what would make a call fail, and make the books ready that belong to its folder.

        Raises:
            AccountError: The folder was moved away from its books, or they cannot be used.
            ConfigurationError: A call would fail for certain.
        """
        if self.preflight is not None and self.preflight.is_due:
            self.preflight()
        if self.belonging is not None and self.account is not None:
            self.belonging.ready(self.account)

    async def _send(
        self,
        runtime: Runtime,
        books: Books,
        wire: WireRequest,
        arguments: QwenImageInput,
        call_state: CallState,
        order: Order,
        call_id: str,
        attempts: int,
    ) -> ImageGenerationResult:
        """Send a call that has bought nothing so far, and save what it buys.

        Raises:
            CallTakenError: Another caller has sent it meanwhile; nothing was sent by this one.
            TurnLostError: The turn of the order is lost; nothing was sent.
        """
        call_state.call_id = call_id
        watch = Watch(
            Recorder(books, call_id, attempts=attempts),
            Progress(runtime, call_id, call_state, self.progress_seconds),
        )
        await watch.progress.tell("waiting")
        if order.key.key is not None:
            await books.check_budget(self.sender.base_url)
        retries = self.sender.max_retries if order.max_retries is None else order.max_retries
        try:
            answer = await self.sender.send(
                runtime,
                wire,
                call_state,
                watch,
                max_retries=retries,
                turns=self._turns(runtime, order),
            )
            answer, problem = await confirmed(runtime, self.saver, answer)
        except (CallTakenError, TurnLostError):
            raise
        except BaseException as error:
            await watch.failed(runtime, error, billed=call_state.may_be_billed(error))
            raise
        result = result_of(self.sender, call_id, arguments, answer)
        await watch.recorder.succeeded(result, answer.billed_images)
        return await self._received(
            runtime, watch, result, problem, order.item_id, inline=order.inline
        )

    async def _resume(
        self,
        runtime: Runtime,
        call: CallRecord,
        item_id: str | None,
        *,
        is_paid: bool = False,
    ) -> ImageGenerationResult:
        """Go on asking for a queued call; `is_paid`: its cost was told of the call that sent it."""
        books = self._books(runtime)
        watch = Watch(
            Recorder(books, call.id, attempts=call.attempts, queued_at=call.updated_at),
            Progress(runtime, call.id, None),
        )
        queued = QueuedAnswer(call.request_id, call.polling_path or "", "QUEUED")
        try:
            answer = await self.sender.wait(runtime, queued, watch)
            answer, problem = await confirmed(runtime, self.saver, answer)
        except ConfigurationError:
            raise  # such as a missing key: nothing was asked, and the call stays queued
        except QwenImageError as error:
            await watch.recorder.failed(error, billed=error.may_have_been_billed)
            raise
        # Not checked again: what was sent may be billed, also a size that is not documented.
        arguments = QwenImageInput.model_construct(prompt=call.prompt, **call.parameters)
        result = result_of(self.sender, call.id, arguments, answer)
        await watch.recorder.succeeded(result, answer.billed_images)
        if is_paid:
            result = result.as_replayed()
        return await self._received(runtime, watch, result, problem, item_id, inline=True)

    async def _received(
        self,
        runtime: Runtime,
        watch: Watch,
        result: ImageGenerationResult,
        problem: DownloadError | None,
        item_id: str | None,
        *,
        inline: bool,
    ) -> ImageGenerationResult:
        """Save what is bought and booked."""
        await watch.progress.tell("received", cost_usd=result.cost_usd, replayed=result.replayed)
        for warning in result.warnings:
            logger.warning("call %s: %s", result.call_id, warning)
        for image in result.images:
            image.bind(self.saver)
            if problem is not None:
                image.download_error = str(problem)
                await watch.recorder.saved(image)
            elif self.saver.wants(image, inline=inline):
                await runtime.beside(self.saver.save, image, result, item_id=item_id)
                await watch.recorder.saved(image)
                if image.told_path is not None:
                    await watch.progress.tell("saved", **saved_details(image))
        if problem is not None:
            raise problem
        return result

    async def _fetch(
        self,
        runtime: Runtime,
        given: ImageGenerationResult | Mapping[str, Any],
        item_id: str | None,
    ) -> ImageGenerationResult:
        if not self.saves:
            raise ConfigurationError(
                "There is no place to save the image: set save_to=…, or call image.save(path)."
            )
        if self.belonging is not None and self.account is not None:
            await runtime.beside(self.belonging.ready_if_possible, self.account)
        result = given_result(given)
        recorder = Recorder(self._books(runtime), result.call_id or "")
        for image in result.images:
            image.bind(self.saver)
            if self.saver.wants(image, inline=True):
                await runtime.beside(self.saver.save_or_raise, image, result, item_id=item_id)
                if await runtime.beside(self._is_known, image.id):
                    await recorder.saved(image)
        return await runtime.beside(self.saver.published, result)

    @property
    def pace(self) -> Pace | None:
        """How fast requests leave; None where a rate limiter says it, or nothing does."""
        if self.rate_limiter is not None:
            return None
        return self.paces.of(self.sender.base_url, self.sender.key_at_hand)

    def _turns(self, runtime: Runtime, order: Order) -> Turns | None:
        """Return the turns of a call; a bulk run waits for its own."""
        pace = self.pace
        if pace is None:
            return None
        return Turns(pace, runtime, self.sender.timeout, given=order.turn)

    def _is_known(self, image_id: str) -> bool:
        """Say whether an image is in the account; another tool's is not."""
        return self.account is not None and self.account.find_image(image_id) is not None

    def _books(self, runtime: Runtime) -> Books:
        budget = self.budget
        is_apart = budget is not None and budget.account is None
        return Books(
            runtime,
            account=self.account,
            budget=budget if is_apart else None,
            limits=() if budget is None or is_apart else (budget.limits,),
            rate_limiter=self.rate_limiter,
            price=Decimal(str(self.sender.price_usd)),
            lease_seconds=CONNECT_SECONDS + self.sender.timeout + _SPARE_SECONDS,
            max_raw_bytes=self.max_raw_bytes,
        )
