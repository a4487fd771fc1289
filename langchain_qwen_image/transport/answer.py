"""An answer as it came, and how much of one is read."""

from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""Largest answer that is read by default, in bytes, as sent and decoded."""
MAX_ERROR_BYTES = 64 * 1024
"""How much of an answer that is not 2xx is read, in bytes: it is for a message only."""
LARGE_BYTES = 256 * 1024
"""What is larger takes milliseconds to parse; under asyncio that is done beside the event loop."""


def answer_cap(max_image_bytes: int) -> int:
    """Return the most bytes of an answer that are read, so that such an image fits in base64."""
    return max(MAX_ANSWER_BYTES, max_image_bytes * 3 // 2)


class UnreadableAnswerError(Exception):
    """An answer came, and it cannot be decoded, or is larger than any image may be."""


@dataclass(slots=True)
class RawAnswer:
    """Status, headers and body of an answer; the body decoded, where its coding can be read."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)

    @property
    def is_success(self) -> bool:
        """Whether it is a 2xx."""
        return 200 <= self.status < 300

    @property
    def is_large(self) -> bool:
        """Whether its body should be parsed beside the event loop."""
        return len(self.body) > LARGE_BYTES
