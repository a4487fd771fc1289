"""The one pipeline behind every face: reserve, send, book, fetch, save."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import uuid4

from langchain_core.rate_limiters import BaseRateLimiter

from langchain_qwen_image.account.budget import Budget
from langchain_qwen_image.account.ledger import Ledger
from langchain_qwen_image.concurrency.runtime import ASYNCIO, BLOCKING, Runtime, run_blocking
from langchain_qwen_image.errors import ConfigurationError, QwenImageError
from langchain_qwen_image.pipeline.cancellation import (
    CallState,
    DetachedCalls,
    finish_in_background,
)
from langchain_qwen_image.pipeline.progress import Progress
from langchain_qwen_image.pipeline.recorder import BulkItem, Recorder
from langchain_qwen_image.pipeline.saver import ImageSaver
from langchain_qwen_image.pipeline.sender import Sender
from langchain_qwen_image.rendering.spinner import waiting
from langchain_qwen_image.result import GeneratedImage, ImageGenerationResult
from langchain_qwen_image.schemas import QwenImageInput
from langchain_qwen_image.wire.response import WireAnswer


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What a call passes through; `saves` says that there is a store for its images."""

    sender: Sender
    saver: ImageSaver
    saves: bool = False
    ledger: Ledger | None = None
    budget: Budget | None = None
    rate_limiter: BaseRateLimiter | None = None
    blocking: Runtime = BLOCKING
    asyncio: Runtime = ASYNCIO
    detached: DetachedCalls[ImageGenerationResult] = field(
        default_factory=DetachedCalls, repr=False
    )

    def generate(
        self,
        arguments: QwenImageInput,
        call_state: CallState,
        *,
        item: BulkItem | None = None,
        inline: bool = False,
    ) -> ImageGenerationResult:
        """Generate and save.

        Args:
            arguments: What to generate, checked.
            call_state: A new one; after an error it says whether a POST was out.
            item: Place of the call in a bulk run, which repeats refused calls itself.
            inline: Save also an image that came inside the answer and has no store.

        Raises:
            QwenImageError: No image came.
        """
        steps = self._generate(self.blocking, arguments, call_state, item, inline=inline)
        with waiting():
            return run_blocking(steps)

    async def agenerate(
        self,
        arguments: QwenImageInput,
        call_state: CallState,
        *,
        item: BulkItem | None = None,
        inline: bool = False,
    ) -> ImageGenerationResult:
        """Async twin of `generate`; a repeated tool call gets what a cancelled one bought."""
        tool_call_id = call_state.tool_call_id
        name = None if tool_call_id is None else (tool_call_id, arguments)
        steps = self._generate(self.asyncio, arguments, call_state, item, inline=inline)
        with waiting():
            return await finish_in_background(steps, call_state, self.detached, name)

    def fetch(
        self, result: ImageGenerationResult | Mapping[str, Any], *, item_id: str | None = None
    ) -> ImageGenerationResult:
        """Save the images of an earlier result, or artifact, that are not saved yet.

        Args:
            result: Where the links are.
            item_id: The caller's own id of the request, for file names and sidecars.

        Raises:
            DownloadError: One could not be fetched, or was not safe to fetch.
            ConfigurationError: There is no `save_to`.
            OSError: The disk is full, or the folder cannot be written.
        """
        return run_blocking(self._fetch(self.blocking, result, item_id))

    async def afetch(
        self, result: ImageGenerationResult | Mapping[str, Any], *, item_id: str | None = None
    ) -> ImageGenerationResult:
        """Async twin of `fetch`."""
        return await finish_in_background(self._fetch(self.asyncio, result, item_id), CallState())

    def close(self) -> None:
        """Close connections and ledger; a later call opens them again."""
        self.sender.close()
        self.saver.close()
        if self.ledger is not None:
            self.ledger.close()

    async def aclose(self) -> None:
        """Async twin of `close`, for the running loop's connections."""
        await self.sender.aclose()
        self.close()

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
        watch = _Watch(
            self._recorder(runtime, call_id), Progress(runtime, call_id, call_state.tool_call_id)
        )
        await watch.progress.tell("waiting")
        await watch.recorder.reserved(arguments, self.sender.base_url, item)
        try:
            answer = await self.sender.send(
                runtime, wire, call_state, watch, max_retries=max_retries
            )
        except BaseException as error:
            await watch.recorder.failed(error, billed=call_state.may_be_billed(error))
            raise
        result = self._result(arguments, answer)
        item_id = None if item is None else item.item_id
        await watch.recorder.succeeded(result)
        await watch.progress.tell("received")
        for image in result.images:
            image.bind(self.saver)
            if self.saver.wants(image, inline=inline):
                await runtime.beside(self.saver.save, image, result, item_id=item_id)
                await watch.recorder.saved(image)
                if image.path is not None:
                    await watch.progress.tell("saved", image_id=image.id, path=image.path)
        return result

    async def _fetch(
        self,
        runtime: Runtime,
        given: ImageGenerationResult | Mapping[str, Any],
        item_id: str | None,
    ) -> ImageGenerationResult:
        if not self.saves:
            raise ConfigurationError(
                "There is nowhere to save the image: set save_to=…, or call image.save(path)."
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

    def _result(self, arguments: QwenImageInput, answer: WireAnswer) -> ImageGenerationResult:
        """Put together what the caller gets; the price is that of each image."""
        return ImageGenerationResult(
            images=[
                GeneratedImage.from_link(url, width=answer.width, height=answer.height)
                for url in answer.urls
            ],
            prompt=arguments.prompt,
            parameters=arguments.parameters(),
            request_id=answer.request_id,
            finish_reason=answer.finish_reason,
            cost_usd=round(self.sender.price_usd * len(answer.urls), 6),
            sandbox=self.sender.sandbox,
        )

    def _recorder(self, runtime: Runtime, call_id: str) -> Recorder:
        return Recorder(
            runtime,
            call_id,
            Decimal(str(self.sender.price_usd)),
            ledger=self.ledger,
            budget=self.budget,
            rate_limiter=self.rate_limiter,
        )


@dataclass(slots=True)
class _Watch:
    """Books each attempt of a call, then tells of it."""

    recorder: Recorder
    progress: Progress

    async def before_post(self) -> None:
        await self.recorder.sent()
        await self.progress.tell("sent")

    async def before_wait(self, error: QwenImageError, seconds: float) -> None:
        await self.recorder.refused(error)
        await self.progress.tell(
            "retrying", error=type(error).__name__, wait_seconds=round(seconds, 1)
        )
