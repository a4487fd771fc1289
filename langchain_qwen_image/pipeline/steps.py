"""What one call does, step by step: reserve, send, book, look, save; in either world."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from langchain_core.rate_limiters import BaseRateLimiter

from langchain_qwen_image.account.belonging import Belonging
from langchain_qwen_image.account.budget import Budget
from langchain_qwen_image.account.ledger import Ledger
from langchain_qwen_image.account.pace import Pace
from langchain_qwen_image.account.paces import Paces
from langchain_qwen_image.account.records import LedgerCall
from langchain_qwen_image.concurrency.process import OncePerProcess
from langchain_qwen_image.concurrency.runtime import ASYNCIO, BLOCKING, Runtime
from langchain_qwen_image.defaults import MAX_IMAGE_BYTES
from langchain_qwen_image.errors import ConfigurationError, DownloadError, QwenImageError
from langchain_qwen_image.pipeline.bulk_item import BulkItem
from langchain_qwen_image.pipeline.cancellation import CallState
from langchain_qwen_image.pipeline.candidates import confirmed
from langchain_qwen_image.pipeline.progress import Progress
from langchain_qwen_image.pipeline.recorder import Recorder
from langchain_qwen_image.pipeline.results import result_of
from langchain_qwen_image.pipeline.saver import ImageSaver
from langchain_qwen_image.pipeline.sender import Sender
from langchain_qwen_image.pipeline.shared_calls import SharedCalls
from langchain_qwen_image.pipeline.turns import Turns
from langchain_qwen_image.pipeline.watch import Watch
from langchain_qwen_image.result import ImageGenerationResult
from langchain_qwen_image.schemas import QwenImageInput
from langchain_qwen_image.wire.answer import QueuedAnswer

logger = logging.getLogger("langchain_qwen_image")


@dataclass(frozen=True, slots=True)
class Steps:
    """What a call passes through; `saves` says that there is a store for its images."""

    sender: Sender
    saver: ImageSaver
    saves: bool = False
    ledger: Ledger | None = None
    budget: Budget | None = None
    rate_limiter: BaseRateLimiter | None = None
    paces: Paces = field(default_factory=Paces, repr=False)
    preflight: OncePerProcess | None = None
    belonging: Belonging | None = None
    max_raw_bytes: int = MAX_IMAGE_BYTES * 4 // 3
    blocking: Runtime = BLOCKING
    asyncio: Runtime = ASYNCIO
    shared: SharedCalls[ImageGenerationResult] = field(default_factory=SharedCalls, repr=False)

    @property
    def is_due(self) -> bool:
        """Whether `make_ready` has something to do: before the first call, and after a change."""
        if self.preflight is not None and self.preflight.is_due:
            return True
        books, account = self.belonging, self.ledger
        return books is not None and account is not None and books.is_due(account)

    def make_ready(self) -> None:
        """Check what would make a call fail, and make the books ready that belong to its folder.

        Raises:
            AccountError: The folder was moved away from its books, or they cannot be used.
            ConfigurationError: A call would fail for certain.
        """
        if self.preflight is not None and self.preflight.is_due:
            self.preflight()
        if self.belonging is not None and self.ledger is not None:
            self.belonging.ready(self.ledger)

    async def _generate(
        self,
        runtime: Runtime,
        arguments: QwenImageInput,
        call_state: CallState,
        item: BulkItem | None,
        *,
        inline: bool,
    ) -> ImageGenerationResult:
        wire = self.sender.prepare(arguments)
        call_id = uuid4().hex if item is None else item.call_id
        max_retries = self.sender.max_retries if item is None else 0
        watch = self._watch(runtime, call_id, call_state.tool_call_id)
        if self.is_due:
            await runtime.beside(self.make_ready)
        await watch.progress.tell("waiting")
        await watch.recorder.reserved(arguments, self.sender.base_url, item)
        try:
            answer = await self.sender.send(
                runtime,
                wire,
                call_state,
                watch,
                max_retries=max_retries,
                turns=self._turns(runtime, item),
            )
            answer, problem = await confirmed(runtime, self.saver, answer)
        except BaseException as error:
            await watch.recorder.failed(error, billed=call_state.may_be_billed(error))
            raise
        result = result_of(self.sender, call_id, arguments, answer)
        await watch.recorder.succeeded(result, answer.billed_images)
        item_id = None if item is None else item.item_id
        return await self._received(runtime, watch, result, problem, item_id, inline=inline)

    async def _resume(
        self, runtime: Runtime, call: LedgerCall, item_id: str | None
    ) -> ImageGenerationResult:
        watch = self._watch(runtime, call.id, None, queued_at=call.updated_at)
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
        await watch.progress.tell("received", cost_usd=result.cost_usd, replayed=False)
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
                if image.path is not None:
                    await watch.progress.tell("saved", image_id=image.id, path=image.path)
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
        result = (
            given.model_copy(deep=True)
            if isinstance(given, ImageGenerationResult)
            else ImageGenerationResult.from_artifact(given)
        )
        recorder = self._recorder(runtime, "")
        for image in result.images:
            image.bind(self.saver)
            if self.saver.wants(image, inline=True):
                await runtime.beside(self.saver.save_or_raise, image, result, item_id=item_id)
                await recorder.saved(image)
        return result

    @property
    def pace(self) -> Pace | None:
        """How fast requests leave; None where a rate limiter says it, or nothing does."""
        if self.rate_limiter is not None:
            return None
        return self.paces.of(self.sender.base_url, self.sender.key_at_hand)

    def _turns(self, runtime: Runtime, item: BulkItem | None) -> Turns | None:
        """Return the turns of a call; a bulk run waits for its own."""
        pace = self.pace if item is None else None
        return None if pace is None else Turns(pace, runtime, self.sender.timeout)

    def _watch(
        self,
        runtime: Runtime,
        call_id: str,
        tool_call_id: str | None,
        *,
        queued_at: datetime | None = None,
    ) -> Watch:
        return Watch(
            self._recorder(runtime, call_id, queued_at), Progress(runtime, call_id, tool_call_id)
        )

    def _recorder(
        self, runtime: Runtime, call_id: str, queued_at: datetime | None = None
    ) -> Recorder:
        return Recorder(
            runtime,
            call_id,
            Decimal(str(self.sender.price_usd)),
            ledger=self.ledger,
            budget=self.budget,
            rate_limiter=self.rate_limiter,
            max_raw_bytes=self.max_raw_bytes,
            queued_at=queued_at,
        )
