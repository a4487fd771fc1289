"""The one pipeline behind both faces: books, POST, books, fetch, keep."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import uuid4

from langchain_core.rate_limiters import BaseRateLimiter

from langchain_qwen_image._books import Books, BulkItem
from langchain_qwen_image._progress import Progress
from langchain_qwen_image._script import Do, Script, drive
from langchain_qwen_image._threads import in_thread
from langchain_qwen_image._ticket import Orphans, Ticket, adrive_to_the_end
from langchain_qwen_image._waiting import waiting
from langchain_qwen_image.budget import Budget
from langchain_qwen_image.client import QwenImageClient
from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.keeping import Keeper
from langchain_qwen_image.ledger import Ledger
from langchain_qwen_image.result import GeneratedImage, ImageGenerationResult
from langchain_qwen_image.schemas import QwenImageInput


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What a call passes through; `keeps` says that there is a store for its pictures."""

    client: QwenImageClient
    keeper: Keeper
    keeps: bool
    ledger: Ledger | None
    budget: Budget | None
    rate_limiter: BaseRateLimiter | None
    orphans: Orphans[ImageGenerationResult] = field(default_factory=Orphans, repr=False)

    def generate(
        self,
        arguments: QwenImageInput,
        ticket: Ticket,
        *,
        item: BulkItem | None = None,
        inline: bool = False,
    ) -> ImageGenerationResult:
        """Generate and keep.

        Args:
            arguments: What to generate, checked.
            ticket: A new one; after an error it says whether a POST was out.
            item: Place of the call in a bulk run, which repeats refused calls itself.
            inline: Keep also a picture that came inside the answer and has no store.

        Raises:
            QwenImageError: No picture came.
        """
        script = self._script(arguments, ticket, item, inline=inline)
        with waiting():
            return drive(script)

    async def agenerate(
        self,
        arguments: QwenImageInput,
        ticket: Ticket,
        *,
        item: BulkItem | None = None,
        inline: bool = False,
    ) -> ImageGenerationResult:
        """Async twin of `generate`; a repeated tool call gets what a cancelled one bought."""
        name = None if ticket.tool_call_id is None else (ticket.tool_call_id, arguments)
        script = self._script(arguments, ticket, item, inline=inline)
        with waiting():
            return await adrive_to_the_end(script, ticket, self.orphans, name)

    def fetch(self, result: ImageGenerationResult | Mapping[str, Any]) -> ImageGenerationResult:
        """Keep the pictures of an earlier result, or artifact, that are not kept yet.

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
        return await adrive_to_the_end(self._fetch_script(result), Ticket())

    def close(self) -> None:
        """Close connections and ledger; a later call opens them again."""
        self.client.close()
        self.keeper.close()
        if self.ledger is not None:
            self.ledger.close()

    async def aclose(self) -> None:
        """Async twin of `close`, for the running loop's connections."""
        await self.client.aclose()
        self.close()

    def _script(
        self, arguments: QwenImageInput, ticket: Ticket, item: BulkItem | None, *, inline: bool
    ) -> Script[ImageGenerationResult]:
        wire = self.client.prepare(arguments)
        call_id = uuid4().hex if item is None else item.call_id
        max_retries = self.client.max_retries if item is None else 0
        books = self._open_books(call_id)
        progress = Progress(call_id, ticket.tool_call_id, books)
        yield progress.tell("waiting")
        yield from books.open(arguments, self.client.base_url, item)
        try:
            answer = yield from self.client.exchange(wire, ticket, progress, max_retries)
        except BaseException as error:
            yield from books.lost(error, billed=ticket.may_be_billed(error))
            raise
        result = self.client.result(arguments, answer)
        yield from books.won(result)
        yield progress.tell("received")
        for image in result.images:
            image.bind(self.keeper)
            if self.keeper.wants(image, inline=inline):
                yield self._keep(image, result)
                yield from books.kept(image)
                if image.path is not None:
                    yield progress.tell("kept", image_id=image.id, path=image.path)
        return result

    def _fetch_script(
        self, given: ImageGenerationResult | Mapping[str, Any]
    ) -> Script[ImageGenerationResult]:
        if not self.keeps:
            raise ConfigurationError(
                "There is nowhere to keep the picture: set save_to=…, or call image.save(path)."
            )
        result = (
            given.model_copy(deep=True)
            if isinstance(given, ImageGenerationResult)
            else ImageGenerationResult.from_artifact(given)
        )
        books = self._open_books("")
        for image in result.images:
            image.bind(self.keeper)
            if self.keeper.wants(image, inline=True):
                yield self._keep(image, result, insist=True)
                yield from books.kept(image)
        return result

    def _keep(
        self, image: GeneratedImage, result: ImageGenerationResult, *, insist: bool = False
    ) -> Do:
        keep = self.keeper.keep_or_raise if insist else self.keeper.keep
        return Do(lambda: keep(image, result), lambda: in_thread(keep, image, result))

    def _open_books(self, call_id: str) -> Books:
        return Books(
            call_id,
            Decimal(str(self.client.price_usd)),
            ledger=self.ledger,
            budget=self.budget,
            rate_limiter=self.rate_limiter,
        )
