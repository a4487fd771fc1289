"""Remember what a gateway received and gave out, without any key."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SECRET_HEADERS = frozenset({"ocp-apim-subscription-key", "authorization", "cookie"})
_LARGEST_BODY_BYTES = 64 * 1024
"""A larger body is not remembered: 10,000 of them would fill the memory."""
_LONGEST_TEXT = 8 * 1024


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """Hold one request as it came; values of secret headers are replaced by `REDACTED`."""

    method: str
    target: str = field(repr=False)
    headers: Mapping[str, str]
    body: Any
    """The parsed JSON; None for what is no JSON, or larger than 64 KiB."""

    @property
    def path(self) -> str:
        """Return the target without its query string."""
        return self.target.partition("?")[0]


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


def record_of(method: str, target: str, headers: Mapping[str, str], body: bytes) -> ReceivedRequest:
    """Return what to remember of a request; the names of its headers are in lower case."""
    redacted = {
        name: "REDACTED" if name in SECRET_HEADERS else value[:_LONGEST_TEXT]
        for name, value in headers.items()
    }
    return ReceivedRequest(method, target[:_LONGEST_TEXT], redacted, _json_or_none(body))


def _json_or_none(body: bytes) -> Any:
    if not body or len(body) > _LARGEST_BODY_BYTES:
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
