"""One HTTP exchange under way, as the layers above and below it know it."""

import logging
import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Protocol

from langchain_qwen_image.transport.answer import RawAnswer


class CallAbandonedError(Exception):
    """Nobody waits for this call any more, and its request has not left."""


class LeaseOverError(Exception):
    """The answer could come after the time in which it counts as this call's: the machine slept."""


class Lease(Protocol):
    """The time in which a paid call must be answered, by the account's books."""

    def rest(self) -> float:
        """Return the seconds that are left, by the clock that has gone further."""


class Call:
    """One HTTP exchange under way: when it must end, and whether anybody still waits for it.

    Attributes:
        deadline: Reading of `time.monotonic` at which it must end, in seconds.
        abandoned: Whether nobody waits for the answer any more.
        left: Whether the request has left, as far as the HTTP library tells.
        is_unseen: Whether the request was given to a transport that may not tell when it leaves.
        answer: What has come of the answer, also when the exchange ended in an error.
    """

    __slots__ = ("_answer_within", "_lease", "abandoned", "answer", "deadline", "is_unseen", "left")

    def __init__(
        self,
        deadline: float,
        *,
        answer_within: float | None = None,
        lease: Lease | None = None,
    ) -> None:
        """Take the deadline as a reading of `time.monotonic`, in seconds.

        Args:
            deadline: When it must end.
            answer_within: Seconds after which it must end, counted from when the request leaves.
            lease: Must have as much time left when it leaves.
        """
        self.deadline = deadline
        self.abandoned = False
        self.left = False
        self.is_unseen = False
        self.answer: RawAnswer | None = None
        self._answer_within = answer_within
        self._lease = lease

    @property
    def may_have_left(self) -> bool:
        """Whether a byte of the request may be on its way."""
        return self.left or self.is_unseen

    def leave(self) -> None:
        """Note that the request leaves now.

        A transport that repeats it automatically (the caller's own, digest authentication) is not
        stopped: the first one may have been paid for.

        Raises:
            CallAbandonedError: nobody waits for the answer, so it must not be paid for.
            LeaseOverError: the answer could come when the call counts as lost.
        """
        if self.left:
            return
        if self.abandoned:
            raise CallAbandonedError
        if self._lease is not None and self._lease.rest() < (self._answer_within or 0):
            raise LeaseOverError
        self.left = True
        if self._answer_within is not None:
            self.deadline = time.monotonic() + self._answer_within

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Watch a request, as httpx's documented request extension `trace`.

        What this raises before the headers are sent stops the request: no byte of it is written,
        and httpcore closes the connection. A proxy's CONNECT is not yet the request.

        Raises:
            CallAbandonedError: nobody waits for the answer, so it must not be paid for.
            LeaseOverError: the answer could come when the call counts as lost.
        """
        if event.endswith(".send_request_headers.started") and (
            info["request"].method != b"CONNECT"
        ):
            self.leave()

    async def atrace(self, event: str, info: Mapping[str, Any]) -> None:
        """Async twin of `trace`; httpcore asks for a coroutine."""
        self.trace(event, info)


current_call: ContextVar[Call | None] = ContextVar("current_call", default=None)


def hide_answers_in_logs() -> None:
    """Keep what httpcore notes at DEBUG of our answers' headers out of the logs, from now on.

    `Location` may be a signed link, and a server may send the key back in any header.
    """
    for log in _LOGS:
        log.addFilter(_is_no_answer_of_ours)


_LOGS = [
    logging.getLogger(f"{core}.{version}")
    for core in ("httpcore", "httpcore2")
    for version in ("http11", "http2")
]


def _is_no_answer_of_ours(record: logging.LogRecord) -> bool:
    return current_call.get() is None or not str(record.msg).startswith("receive_response")
