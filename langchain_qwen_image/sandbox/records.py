"""Remember what a gateway received and gave out, without any key."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """Hold one request as it came; values of secret headers are replaced by `REDACTED`."""

    method: str
    target: str = field(repr=False)
    headers: Mapping[str, str]
    body: Any
    """The parsed JSON, or None."""

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
