"""What a request is to get, and whether its client has it."""

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol
from uuid import uuid4

from langchain_qwen_image.account.deliveries import Deliveries, Wanted
from langchain_qwen_image.account.store import Commit
from langchain_qwen_image.errors import AccountError

__all__ = ["Counter", "Outbox", "Ticket"]

logger = logging.getLogger("langchain_qwen_image")


class Ticket:
    """A request's hold on the call that it gets its image by.

    It ends once: with a result that the client has, or with a client that has gone.

    Attributes:
        key: Idempotency key of the call.
        has_result: Whether the result is made, and only has to be handed over.
        is_image: Whether that is an image.
        is_promise: Whether it only says that the image will be there later.
    """

    def __init__(self, counter: "Counter", key: str, request: str) -> None:
        """Take the key, and the request's own name."""
        self.key = key
        self.has_result = self.is_image = self.is_promise = False
        self._counter = counter
        self._request = request
        self._is_open = True

    def renew(self) -> None:
        """Hold a call that another request has entered for some time more."""
        if self._is_open and self.key != self._request:
            self._counter.note(self._counter.deliveries.renew(self.key, self._request))

    def hand_over(self) -> None:
        """Note that the result was written to the client's connection, whole and in time."""
        if self.is_promise:
            self.let_go()
            return
        forget = self._counter.deliveries.forget
        self._end(lambda: forget(self.key, self._request, is_image=self.is_image))

    def let_go(self) -> None:
        """Note that the client has gone, or has given the request up."""
        self._end(lambda: self._counter.deliveries.let_go(self.key, self._request))

    def _end(self, step: Callable[[], Commit[None]]) -> None:
        if self._is_open:
            self._is_open = False
            self._counter.note(step())


class Counter:
    """Where requests of one server get their tickets."""

    def __init__(self, deliveries: Deliveries) -> None:
        """Take the account's steps."""
        self.deliveries = deliveries
        self._pending: set[Commit[None]] = set()

    async def ticket(
        self, base_url: str, fingerprint: str, *, pays: bool, again: bool
    ) -> Ticket | None:
        """Return the ticket of a request, or None if it would have to pay, and may not.

        Args:
            base_url: The gateway.
            fingerprint: What equal requests have in common.
            pays: Whether it may pay.
            again: Whether it wants an image of its own in any case.

        Raises:
            AccountError: The account cannot be written.
        """
        for step in list(self._pending):  # what was handed over is not handed over again
            with suppress(AccountError):  # it was logged
                await step
        request = f"mcp-{uuid4().hex}"
        wanted = Wanted(base_url, fingerprint, request, request)
        key = await self.deliveries.take(wanted, pays=pays, again=again)
        return None if key is None else Ticket(self, key, request)

    def note(self, step: Commit[None]) -> None:
        """Let a step be written; the client has its answer, or has gone, whatever comes of it."""
        self._pending.add(step)
        step.add_done_callback(lambda _: self._noted(step))

    def _noted(self, step: Commit[None]) -> None:
        self._pending.discard(step)
        if error := step.exception():
            logger.warning("the account could not note a delivery: %s", error)


class Outbox(Protocol):
    """What writes a result to a client's connection, and tells its ticket so."""

    def expect(self, ticket: Ticket) -> None:
        """Take the ticket of the request that it is to answer."""
