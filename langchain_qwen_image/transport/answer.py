"""An answer as it came, and how much of one is read."""

from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""Largest answer that is read, in bytes, as sent and decoded: it may hold an image in base64."""
MAX_ERROR_BYTES = 64 * 1024
"""How much of an answer that is not 2xx is read, in bytes: it is for a message only."""
LARGE_BYTES = 256 * 1024
"""What is larger takes milliseconds to parse; under asyncio that is done beside the event loop."""


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
