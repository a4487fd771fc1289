"""How an answer is read, and what is made of it at its end; both twins do only what this says."""

import time
from collections.abc import Callable
from contextlib import suppress

import httpx

from langchain_qwen_image.errors import QwenImageError
from langchain_qwen_image.transport.answer import (
    LARGE_BYTES,
    MAX_ERROR_BYTES,
    RawAnswer,
    UnreadableAnswerError,
)
from langchain_qwen_image.transport.call import Call
from langchain_qwen_image.transport.content import Content, decoded, is_whole, looks_compressed
from langchain_qwen_image.transport.http_libraries import HttpResponse, classes

ErrorOf = Callable[[Exception, int | None, Call, float], QwenImageError]
"""Makes an error of a failure, the status of an answer if one came, the call and its seconds."""

_LARGE_CODED_BYTES = 4096
"""A thousand times as much may be in it: that is megabytes to decompress."""


class Reading:
    """One answer being read: its bytes as they come, then the answer or the error."""

    def __init__(self, call: Call, max_bytes: int, error_of: ErrorOf, seconds: float) -> None:
        """Read up to `max_bytes` of a 2xx, and the beginning of anything else."""
        self.call = call
        self._max_bytes = max_bytes
        self._error_of = error_of
        self._seconds = seconds
        self._head: HttpResponse | None = None
        self._raw = bytearray()
        self._failure: Exception | None = None

    def begin(self, head: HttpResponse) -> None:
        """Take status and headers.

        A body that somebody has read already is taken as it is: a test transport's, or what a hook
        of the caller's client has read.
        """
        self._head = head
        if not head.is_success:
            self._max_bytes = MAX_ERROR_BYTES
        if head.is_stream_consumed:
            with suppress(*classes("StreamError")):
                self.take(head.content)

    def take(self, piece: bytes) -> bool:
        """Take a piece of the body as it came; return whether more is wanted.

        Raises:
            httpx.ReadTimeout: The deadline has passed, whatever the transport.
        """
        self._raw += piece
        if len(self._raw) > self._max_bytes:
            return False
        if time.monotonic() > self.call.deadline:
            raise httpx.ReadTimeout("the deadline has passed")
        return True

    def fail(self, failure: Exception) -> None:
        """Note why reading ended; a hook of the caller's client may have raised for the status."""
        self._failure = failure
        if self._head is None and isinstance(failure, classes("HTTPStatusError")):
            self.begin(failure.response)

    @property
    def takes_long(self) -> bool:
        """Whether `settled` is better called beside the event loop."""
        is_coded = self._head is not None and "content-encoding" in self._head.headers
        if is_coded or looks_compressed(self._raw):
            return len(self._raw) > _LARGE_CODED_BYTES
        return self._failure is not None and len(self._raw) > LARGE_BYTES

    def settled(self) -> RawAnswer:
        """Return the answer; what is whole by its content is one, however its connection ended.

        Raises:
            QwenImageError: No answer came, it was cut, or it cannot be read.
        """
        head, failure = self._head, self._failure
        if head is None:
            raise self._error(failure or httpx.ReadError("no answer"), None)
        raw = bytes(self._raw)
        self._raw.clear()
        content = decoded(raw, head.headers.get("content-encoding", ""), self._max_bytes)
        is_larger = max(len(raw), len(content.body)) > self._max_bytes
        if head.is_success:
            body = raw if is_larger else content.body
        else:
            body = content.body if content.problem is None else b""  # it is for a message
        answer = RawAnswer(head.status_code, head.headers, body[: self._max_bytes])
        self.call.answer = answer
        problem = self._problem(content, is_larger=is_larger) if head.is_success else None
        if problem is not None:
            raise self._error(problem, head.status_code)
        return answer

    def _problem(self, content: Content, *, is_larger: bool) -> Exception | None:
        if is_larger:
            return UnreadableAnswerError(f"it is larger than {self._max_bytes} bytes")
        if content.problem is not None:
            return self._failure or UnreadableAnswerError(content.problem)
        return None if self._failure is None or is_whole(content.body) else self._failure

    def _error(self, failure: Exception, status: int | None) -> QwenImageError:
        return self._error_of(failure, status, self.call, self._seconds)
