"""The one pipeline behind both faces: books, POST, books, fetch, keep."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import uuid4

from langchain_core.rate_limiters import BaseRateLimiter

from langchain_qwen_image.account.budget import Budget
from langchain_qwen_image.account.ledger import Ledger
from langchain_qwen_image.client import QwenImageClient
from langchain_qwen_image.concurrency.script import Do, Script, drive
from langchain_qwen_image.concurrency.threads import in_thread
from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.pipeline.cancellation import (
    CallState,
    DetachedCalls,
    finish_in_background,
)
from langchain_qwen_image.pipeline.progress import Progress
from langchain_qwen_image.pipeline.recorder import BulkItem, Recorder
from langchain_qwen_image.pipeline.saver import ImageSaver
from langchain_qwen_image.rendering.spinner import waiting
from langchain_qwen_image.result import GeneratedImage, ImageGenerationResult
from langchain_qwen_image.schemas import QwenImageInput


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What a call passes through; `keeps` says that there is a store for its images."""

    client: QwenImageClient
    saver: ImageSaver
    saves: bool
    ledger: Ledger | None
    budget: Budget | None
    rate_limiter: BaseRateLimiter | None
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
        """Generate and keep.

        Args:
            arguments: What to generate, checked.
            call_state: A new one; after an error it says whether a POST was out.
            item: Place of the call in a bulk run, which repeats refused calls itself.
            inline: Keep also an image that came inside the answer and has no store.

        Raises:
            QwenImageError: No image came.
        """
        script = self._script(arguments, call_state, item, inline=inline)
        with waiting():
            return drive(script)

    async def agenerate(
        self,
        arguments: QwenImageInput,
        call_state: CallState,
        *,
        item: BulkItem | None = None,
        inline: bool = False,
    ) -> ImageGenerationResult:
        """Async twin of `generate`; a repeated tool call gets what a cancelled one bought."""
        name = None if call_state.tool_call_id is None else (call_state.tool_call_id, arguments)
        script = self._script(arguments, call_state, item, inline=inline)
        with waiting():
            return await finish_in_background(script, call_state, self.detached, name)

    def fetch(self, result: ImageGenerationResult | Mapping[str, Any]) -> ImageGenerationResult:
        """Keep the images of an earlier result, or artifact, that are not saved yet.

        Raises:
            DownloadError: One could not be fetched, or was not safe to fetch.
            ConfigurationError: There is no `save_to`.
            OSError: The disk is full, or the folder cannot be written.
        """
        return drive(self._fetch_script(result))

    async def afetch(
        self, result: ImageGenerationResult | Mapping[str, Any]
    ) -> ImageGenerationResult:
        """Async twin of `fetch`."""
        return await finish_in_background(self._fetch_script(result), CallState())

    def close(self) -> None:
        """Close connections and ledger; a later call opens them again."""
        self.client.close()
        self.saver.close()
        if self.ledger is not None:
            self.ledger.close()

    async def aclose(self) -> None:
        """Async twin of `close`, for the running loop's connections."""
        await self.client.aclose()
        self.close()

    def _script(
        self,
        arguments: QwenImageInput,
        call_state: CallState,
        item: BulkItem | None,
        *,
        inline: bool,
    ) -> Script[ImageGenerationResult]:
        wire = self.client.prepare(arguments)
        call_id = uuid4().hex if item is None else item.call_id
        max_retries = self.client.max_retries if item is None else 0
        recorder = self._open_recorder(call_id)
        progress = Progress(call_id, call_state.tool_call_id, recorder)
        yield progress.tell("waiting")
        yield from recorder.open(arguments, self.client.base_url, item)
        try:
            answer = yield from self.client.exchange(wire, call_state, progress, max_retries)
        except BaseException as error:
            yield from recorder.lost(error, billed=call_state.may_be_billed(error))
            raise
        result = self.client.result(arguments, answer)
        yield from recorder.won(result)
        yield progress.tell("received")
        for image in result.images:
            image.bind(self.saver)
            if self.saver.wants(image, inline=inline):
                yield self._save(image, result)
                yield from recorder.saved(image)
                if image.path is not None:
                    yield progress.tell("saved", image_id=image.id, path=image.path)
        return result

    def _fetch_script(
        self, given: ImageGenerationResult | Mapping[str, Any]
    ) -> Script[ImageGenerationResult]:
        if not self.saves:
            raise ConfigurationError(
                "There is nowhere to keep the image: set save_to=…, or call image.save(path)."
            )
        result = (
            given.model_copy(deep=True)
            if isinstance(given, ImageGenerationResult)
            else ImageGenerationResult.from_artifact(given)
        )
        recorder = self._open_recorder("")
        for image in result.images:
            image.bind(self.saver)
            if self.saver.wants(image, inline=True):
                yield self._save(image, result, insist=True)
                yield from recorder.saved(image)
        return result

    def _save(
        self, image: GeneratedImage, result: ImageGenerationResult, *, insist: bool = False
    ) -> Do:
        save = self.saver.save_or_raise if insist else self.saver.save
        return Do(lambda: save(image, result), lambda: in_thread(save, image, result))

    def _open_recorder(self, call_id: str) -> Recorder:
        return Recorder(
            call_id,
            Decimal(str(self.client.price_usd)),
            ledger=self.ledger,
            budget=self.budget,
            rate_limiter=self.rate_limiter,
        )
