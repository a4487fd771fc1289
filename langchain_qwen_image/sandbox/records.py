"""Remember what a gateway received and gave out, without any key, and within bounds."""

import json
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

SECRET_HEADERS = frozenset({"ocp-apim-subscription-key", "authorization", "cookie"})
_LARGEST_BODY_BYTES = 64 * 1024
_MOST_BYTES = 32 * 1024 * 1024
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """Hold one request as it came; values of secret headers are replaced by `REDACTED`."""

    method: str
    target: str = field(repr=False)
    headers: Mapping[str, str]
    content: bytes = field(default=b"", repr=False)
    """The body, if it is no larger than 64 KiB."""

    @property
    def path(self) -> str:
        """Return the target without its query string."""
        return self.target.partition("?")[0]

    @property
    def body(self) -> Any:
        """Return the parsed JSON; None for what is no JSON, or larger than 64 KiB."""
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):
            return None


@dataclass(frozen=True, slots=True)
class GivenImage:
    """Hold one image that was given out, and is therefore paid for."""

    prompt: str
    width: int
    height: int
    watermark: bool
    mime_type: str
    url: str = field(repr=False)
    """The signed link, or a `data:` URI without its data."""


class Records(Generic[_T]):
    """Remember the last of what is added: at most so many, and at most 32 MiB of them."""

    def __init__(self, limit: int) -> None:
        """Remember at most `limit`; 0 for none."""
        self.limit = limit
        self._entries: deque[tuple[_T, int]] = deque()
        self._size = 0
        self._lock = threading.Lock()

    def add(self, record: _T, size: int) -> None:
        """Add a record of about so many bytes, and forget the oldest that are too much."""
        with self._lock:
            self._entries.append((record, size))
            self._size += size
            while len(self._entries) > self.limit or self._size > _MOST_BYTES:
                self._size -= self._entries.popleft()[1]

    def all(self) -> list[_T]:
        """Return what is remembered, oldest first."""
        with self._lock:
            return [record for record, _ in self._entries]


def record_of(
    method: str, target: str, headers: Mapping[str, str], body: bytes
) -> tuple[ReceivedRequest, int]:
    """Return what to remember of a request, and its size; names of headers are in lower case."""
    redacted = {
        name: "REDACTED" if name in SECRET_HEADERS else value for name, value in headers.items()
    }
    content = body if len(body) <= _LARGEST_BODY_BYTES else b""
    size = len(target) + sum(map(len, (*redacted, *redacted.values()))) + len(content)
    return ReceivedRequest(method, target, redacted, content), size
