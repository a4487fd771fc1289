"""The books of one call: what rate limiter, budget and ledger are told, and when."""

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from langchain_core.rate_limiters import BaseRateLimiter

from langchain_qwen_image.account.budget import Budget
from langchain_qwen_image.account.ledger import AlreadyAskedError, Commit, Ledger
from langchain_qwen_image.concurrency.runtime import Runtime
from langchain_qwen_image.defaults import QUEUE_HOURS
from langchain_qwen_image.errors import (
    AccountError,
    ConfigurationError,
    MalformedResponseError,
    QwenImageError,
)
from langchain_qwen_image.pipeline.bulk_item import BulkItem
from langchain_qwen_image.result import GeneratedImage, ImageGenerationResult
from langchain_qwen_image.schemas import MODEL, QwenImageInput
from langchain_qwen_image.transport.answer import RawAnswer
from langchain_qwen_image.wire.answer import QueuedAnswer

_Step = Callable[[], Commit[Any]]

logger = logging.getLogger("langchain_qwen_image")


class Recorder:
    """Keeps budget and ledger in step with one call.

    Before the POST, a book that cannot be written stops the call. After it, the money is spent and
    the image matters more: failure of a book is then only logged.
    """

    def __init__(
        self,
        runtime: Runtime,
        call_id: str,
        price: Decimal,
        *,
        ledger: Ledger | None,
        budget: Budget | None,
        rate_limiter: BaseRateLimiter | None,
        max_raw_bytes: int,
        queued_at: datetime | None = None,
    ) -> None:
        """Take the books of a call.

        Args:
            runtime: The world that the call is made in.
            call_id: The call's id in the ledger.
            price: Price of one image, in US dollars.
            ledger: Records each step, if there is one.
            budget: Holds the price while the call is out, if there is one.
            rate_limiter: Is waited for before each POST.
            max_raw_bytes: Most bytes that are kept of an answer without an image.
            queued_at: When the gateway queued the call, if it did so earlier.
        """
        self._runtime = runtime
        self._call_id = call_id
        self._price = price
        self._ledger = ledger
        self._budget = budget
        self._rate_limiter = rate_limiter
        self._max_raw_bytes = max_raw_bytes
        self._reservation: str | None = None
        self._queued_at = queued_at
        self._limits = () if ledger is None else ledger.limits_of(budget)

    @property
    def has_ledger(self) -> bool:
        """Whether the call is recorded."""
        return self._ledger is not None

    async def reserved(
        self, arguments: QwenImageInput, base_url: str, item: BulkItem | None
    ) -> None:
        """Reserve the price and enter the call.

        Raises:
            BudgetExceededError: The budget does not allow it.
            ConfigurationError: The budget or the ledger cannot be written.
        """
        budget, ledger = self._budget, self._ledger
        if self._limits and ledger is not None:  # the money is taken when the request leaves
            check = partial(ledger.check_budget, base_url, self._price, self._limits)
            await self._runtime.beside(check)
        elif budget is not None:
            self._reservation = await self._reserve(budget)
        if ledger is not None:
            entry: dict[str, Any] = {
                "prompt": arguments.prompt,
                "parameters": arguments.parameters().model_dump(),
                "model": MODEL,
                "base_url": base_url,
                "cost_usd": self._price,
            }
            if item is not None:
                entry |= {"batch": item.batch, "batch_item": item.item, "pay_again": item.pay_again}
            try:
                await self._committed(lambda: ledger.asked(self._call_id, **entry))
            except BaseException:
                await self._release()
                raise

    async def sent(self) -> None:
        """Wait for the rate limiter, then note that a POST leaves."""
        limiter, ledger = self._rate_limiter, self._ledger
        if limiter is not None:
            await self._runtime.either(limiter.acquire, limiter.aacquire, blocking=True)
        if ledger is not None:
            await self._committed(lambda: ledger.sent(self._call_id, limits=self._limits))

    async def refused(self, error: QwenImageError) -> None:
        """Note that a POST bought nothing and is to be repeated."""
        ledger = self._ledger
        if ledger is not None:
            await self._committed(lambda: ledger.waiting(self._call_id, type(error).__name__))

    async def succeeded(self, result: ImageGenerationResult, billed_images: int) -> None:
        """Book what was bought, with its links, before anything else is done with them."""
        ledger, cost = self._ledger, Decimal(str(result.cost_usd))
        if ledger is not None:
            await self._booked(
                lambda: ledger.answered(
                    self._call_id,
                    request_id=result.request_id,
                    cost_usd=cost,
                    images=[(one.id, one.url or "", one.expires_at) for one in result.images],
                    billed_images=billed_images,
                )
            )
        await self._settle(cost, billed_images)

    async def queued(self, answer: QueuedAnswer) -> None:
        """Note where to ask for the answer: from then on not even a kill loses it."""
        ledger = self._ledger
        self._queued_at = self._queued_at or datetime.now(UTC)
        if ledger is not None:
            await self._booked(
                lambda: ledger.queued(
                    self._call_id, polling_path=answer.polling_path, request_id=answer.request_id
                )
            )

    async def unread(self, answer: RawAnswer) -> None:
        """Keep an answer in which no image was found for certain; a later version may read it."""
        ledger = self._ledger
        if ledger is not None and answer.body:
            body = answer.body[: self._max_raw_bytes]
            content_type = answer.headers.get("content-type")
            await self._booked(
                lambda: ledger.raw_answer(self._call_id, body=body, content_type=content_type)
            )

    async def failed(self, error: BaseException, *, billed: bool) -> None:
        """Book a call without an image: as spent if it may be billed, else given back.

        A call whose answer is queued stays so while it may be billed: it can still be asked for.
        """
        if billed:
            await self._settle(self._price, 1)
        if self._ledger is not None and not (billed and self._may_still_come(error)):
            book = self._ledger.unknown if billed else self._ledger.refused
            request_id = getattr(error, "request_id", None)
            await self._booked(
                lambda: book(
                    self._call_id,
                    error=type(error).__name__,
                    message=str(error),
                    request_id=request_id,
                )
            )
        if not billed:
            await self._release()

    async def saved(self, image: GeneratedImage) -> None:
        """Book where an image is saved, or why it is not."""
        ledger, path, sha256, size = self._ledger, image.path, image.sha256, image.size_bytes
        if ledger is None:
            return
        if path is None or sha256 is None or size is None:
            error = image.download_error or "not saved"
            await self._booked(lambda: ledger.not_saved(image.id, error))
        else:
            await self._booked(
                lambda: ledger.saved(image.id, path=path, sha256=sha256, size_bytes=size)
            )

    def _may_still_come(self, error: BaseException) -> bool:
        """Say whether a queued answer can still be asked for, now that the wait ended so."""
        if self._queued_at is None or isinstance(error, MalformedResponseError):
            return False
        return datetime.now(UTC) - self._queued_at < timedelta(hours=QUEUE_HOURS)

    async def _reserve(self, budget: Budget) -> str:
        """Set the price aside; without a budget that can be written nothing may be sent."""
        try:
            return await self._runtime.either(budget.reserve, budget.areserve, self._price)
        except AccountError as error:
            problem = str(error)
        raise ConfigurationError(f"The budget cannot be written, so nothing was sent: {problem}")

    async def _settle(self, cost: Decimal, images: int) -> None:
        budget, token = self._budget, self._reservation
        if budget is not None and token is not None:
            await _logged(self._runtime.either(budget.settle, budget.asettle, token, cost, images))

    async def _release(self) -> None:
        budget, token = self._budget, self._reservation
        if budget is not None and token is not None:
            await _logged(self._runtime.either(budget.release, budget.arelease, token))

    async def _committed(self, step: _Step) -> None:
        """Wait until a step is on the disk; nothing may be sent before."""
        try:
            await self._commit(step)
            return
        except AlreadyAskedError:
            raise
        except AccountError as error:
            problem = str(error)
        raise ConfigurationError(f"The ledger cannot be written, so nothing was sent: {problem}")

    async def _booked(self, step: _Step) -> None:
        """Wait until a step is on the disk, or has failed."""
        await _logged(self._commit(step))

    async def _commit(self, step: _Step) -> None:
        await self._runtime.either(lambda: step().result(), step)


async def _logged(step: Awaitable[None]) -> None:
    """Do what the books ask for; an image that is paid for is not lost over it."""
    try:
        await step
    except Exception as error:  # whatever a store of the caller's may raise
        logger.warning(
            "the ledger or the budget could not be written: %s", str(error) or type(error).__name__
        )
