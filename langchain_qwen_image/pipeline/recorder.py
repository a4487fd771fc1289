"""The books of one call: what rate limiter, budget and account are told, and when."""

import logging
from collections.abc import Awaitable
from concurrent.futures import Future
from copy import copy
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from langchain_qwen_image.account.leases import Lease
from langchain_qwen_image.account.store import Commit
from langchain_qwen_image.concurrency.runtime import Runtime
from langchain_qwen_image.defaults import QUEUE_HOURS
from langchain_qwen_image.errors import AccountError, MalformedResponseError, QwenImageError
from langchain_qwen_image.pipeline.bookings import Bookings
from langchain_qwen_image.pipeline.books import Books
from langchain_qwen_image.pipeline.observer import Check
from langchain_qwen_image.result import GeneratedImage, ImageGenerationResult
from langchain_qwen_image.transport.answer import RawAnswer
from langchain_qwen_image.wire.answer import QueuedAnswer

logger = logging.getLogger("langchain_qwen_image")


class Recorder:
    """Keeps budget and account in step with one call.

    Before the POST, a book that cannot be written stops the call. After it, the money is spent and
    the image matters more: a step is repeated, in the background if need be.

    Attributes:
        has_account: Whether the call is entered in an account.
    """

    def __init__(
        self,
        books: Books,
        call_id: str,
        *,
        attempts: int = 0,
        queued_at: datetime | None = None,
    ) -> None:
        """Take the books of a call.

        Args:
            books: The books of the settings, in the world that the call is made in.
            call_id: The call's id in the account.
            attempts: POSTs of it that have left so far.
            queued_at: When the gateway queued the call, if it did so earlier.
        """
        self._books = books
        self._runtime = books.runtime
        self._account = books.account
        self._call_id = call_id
        self._attempt = attempts
        self._queued_at = queued_at
        self._reservation: str | None = None
        where = "no account" if books.account is None else books.account.location
        self._bookings = Bookings(books.runtime, call_id, where)

    @property
    def has_account(self) -> bool:
        """Whether the call is entered in an account."""
        return self._account is not None

    def in_world(self, runtime: Runtime) -> "Recorder":
        """Return the same, for what is done to the end in another world."""
        other = copy(self)
        other._runtime, other._bookings = runtime, self._bookings.in_world(runtime)
        return other

    async def sent(self, check: Check | None = None) -> Lease | None:
        """Wait for the rate limiter, then take key and money: a POST leaves next.

        Raises:
            TurnLostError: So says `check`, in the transaction that takes them.
            CallTakenError: Another caller has sent the call meanwhile.
            BudgetExceededError: The budget or the account does not allow it.
            AccountError: The account cannot be written.
        """
        if self._bookings.is_late:
            raise AccountError("The books cannot be written, so the request is not repeated.")
        limiter, books, account = self._books.rate_limiter, self._books, self._account
        if limiter is not None:
            await self._runtime.either(limiter.acquire, limiter.aacquire, blocking=True)
        self._reservation = await books.reserve()
        if account is None:
            return None
        commit: Commit[Lease] | None = None

        def step() -> Commit[Lease]:
            nonlocal commit
            commit = account.sent(
                self._call_id,
                lease_seconds=books.lease_seconds,
                limits=books.limits,
                before=check,
            )
            return commit

        try:
            lease = await books.committed(step)
        except BaseException:
            if commit is not None:
                commit.add_done_callback(self._give_back)  # nobody has the lease: nothing leaves
            await self._release()
            raise
        self._attempt = lease.attempt
        return lease

    async def refused(self, error: QwenImageError) -> None:
        """Note that a POST bought nothing and is to be repeated; its money is free meanwhile."""
        account, name = self._account, type(error).__name__
        if account is not None:
            await self._bookings.book(
                lambda: account.waiting(self._call_id, name, attempt=self._attempt)
            )
        await self._release()

    async def succeeded(self, result: ImageGenerationResult, billed_images: int) -> None:
        """Book what was bought, with its links, before anything else is done with them."""
        account, cost = self._account, Decimal(str(result.cost_usd))
        try:
            if account is not None:
                await self._bookings.book(
                    lambda: account.answered(
                        self._call_id,
                        request_id=result.request_id,
                        cost_usd=cost,
                        images=[(one.id, one.url or "", one.expires_at) for one in result.images],
                        billed_images=billed_images,
                    )
                )
        finally:  # also where a loop ends meanwhile: the step is written all the same
            await self._settle(cost, billed_images)

    async def queued(self, answer: QueuedAnswer) -> None:
        """Note where to ask for the answer: from then on not even a kill loses it."""
        account = self._account
        self._queued_at = self._queued_at or datetime.now(UTC)
        if account is not None:
            await self._bookings.book(
                lambda: account.queued(
                    self._call_id, polling_path=answer.polling_path, request_id=answer.request_id
                )
            )

    async def unread(self, answer: RawAnswer) -> None:
        """Keep an answer in which no image was found for certain; a later version may read it."""
        account = self._account
        if account is not None and answer.body:
            body = answer.body[: self._books.max_raw_bytes]
            content_type = answer.headers.get("content-type")
            await self._bookings.book(
                lambda: account.raw_answer(self._call_id, body=body, content_type=content_type)
            )

    async def failed(self, error: BaseException, *, billed: bool) -> None:
        """Book a call without an image: as spent if it may be billed, else its money is free.

        A call whose answer is queued stays so while it may be billed: it can still be asked for.
        """
        if billed:
            await self._settle(self._books.price, 1)
        else:
            await self._release()
        if self._account is not None and not (billed and self._may_still_come(error)):
            book = self._account.unknown if billed else self._account.refused
            request_id = getattr(error, "request_id", None)
            await self._bookings.book(
                lambda: book(
                    self._call_id,
                    error=type(error).__name__,
                    message=str(error),
                    request_id=request_id,
                    attempt=self._attempt,
                )
            )

    async def saved(self, image: GeneratedImage) -> None:
        """Book where an image is saved, or why it is not."""
        account, path, sha256, size = self._account, image.path, image.sha256, image.size_bytes
        if account is None:
            return
        if path is None or sha256 is None or size is None:
            error = image.download_error or "not saved"
            await self._bookings.book(lambda: account.not_saved(image.id, error))
        else:
            await self._bookings.book(
                lambda: account.saved(image.id, path=path, sha256=sha256, size_bytes=size)
            )

    def _may_still_come(self, error: BaseException) -> bool:
        """Say whether a queued answer can still be asked for, now that the wait ended so."""
        if self._queued_at is None or isinstance(error, MalformedResponseError):
            return False
        return datetime.now(UTC) - self._queued_at < timedelta(hours=QUEUE_HOURS)

    def _give_back(self, commit: Future[Lease]) -> None:
        """Undo a `sent` that was written after its caller had gone."""
        if self._account is not None and commit.exception() is None:
            attempt = commit.result().attempt
            self._account.waiting(self._call_id, "CancelledError", attempt=attempt)

    async def _settle(self, cost: Decimal, images: int) -> None:
        budget, token = self._books.budget, self._reservation
        if budget is not None and token is not None:
            self._reservation = None
            await _logged(self._runtime.either(budget.settle, budget.asettle, token, cost, images))

    async def _release(self) -> None:
        budget, token = self._books.budget, self._reservation
        if budget is not None and token is not None:
            self._reservation = None
            await _logged(self._runtime.either(budget.release, budget.arelease, token))


async def _logged(step: Awaitable[None]) -> None:
    """Do what a budget asks for; an image that is paid for is not lost over it."""
    try:
        await step
    except Exception as error:  # whatever a store of the caller's may raise
        logger.warning("the budget could not be written: %s", str(error) or type(error).__name__)
