"""What a live check asks for, and what came of each of its calls."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Protocol

from langchain_qwen_image.checks.live_exchange import Exchange, ImageAnswer
from langchain_qwen_image.errors import QwenImageError

PROMPT = "a red fox in the snow"
SIZE = "512*512"
WRONG_KEY = "invalid"
"""No key that a gateway gives out; the sandbox refuses it too."""
BAD_SIZE = "500*500"
"""In neither the document's list of sizes nor in upstream's."""


class Verdict(Enum):
    """Whether an assumption is what came; the value is the word that a person reads."""

    HOLDS = "holds"
    DIFFERS = "differs"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Assumption:
    """One thing that this package assumes of the gateway, and what came."""

    name: str
    expected: str
    found: str
    verdict: Verdict


def judged(name: str, expected: str, found: str, holds: bool | None) -> Assumption:
    """Return an assumption with its verdict; None where nothing can be said."""
    verdict = {True: Verdict.HOLDS, False: Verdict.DIFFERS, None: Verdict.UNKNOWN}[holds]
    return Assumption(name, expected, found, verdict)


class SavedImage(Protocol):
    """What is looked at of a generated image; `GeneratedImage` has it."""

    url: str | None
    path: str | None
    mime_type: str | None
    width: int | None
    height: int | None
    size_bytes: int | None
    download_error: str | None


class Result(Protocol):
    """What is looked at of a result; `ImageGenerationResult` has it."""

    @property
    def images(self) -> Sequence[SavedImage]:
        """The images, at least one."""

    request_id: str | None
    finish_reason: str | None
    warnings: list[str]


@dataclass(slots=True)
class LiveCall:
    """One call of the check: what was exchanged, and how it ended.

    Attributes:
        exchanges: Its POST, and the GETs of a queued answer, in order.
        image_answers: Answers to the GETs of its image.
        result: What it made; None if it made nothing.
        error: Why it made nothing, or why its image could not be saved.
        contents: The bytes of the saved images, by their links.
    """

    exchanges: list[Exchange] = field(default_factory=list)
    image_answers: list[ImageAnswer] = field(default_factory=list)
    result: Result | None = None
    error: QwenImageError | None = None
    contents: dict[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def post(self) -> Exchange | None:
        """The POST; None if nothing was sent."""
        return self.exchanges[0] if self.exchanges else None

    @property
    def last(self) -> Exchange | None:
        """The exchange whose answer ended the call."""
        return self.exchanges[-1] if self.exchanges else None


@dataclass(slots=True)
class Evidence:
    """All that a live check saw.

    Attributes:
        base_url: The gateway's address.
        started_at: When the check began, in UTC.
        price_usd: Price of one image in US dollars, by the price list.
        wrong_key: The call with a wrong key.
        image: The call that buys the image; None if it was not made.
        bad_size: The call with a size that is not documented; None if it was not made.
        interrupted: Whether a person stopped the check.
    """

    base_url: str
    started_at: datetime
    price_usd: float
    wrong_key: LiveCall = field(default_factory=LiveCall)
    image: LiveCall | None = None
    bad_size: LiveCall | None = None
    interrupted: bool = False

    @property
    def calls(self) -> list[LiveCall]:
        """The calls that were made, in order."""
        return [call for call in (self.wrong_key, self.image, self.bad_size) if call is not None]

    @property
    def posts(self) -> int:
        """Number of POSTs that were sent."""
        return sum(
            one.method == "POST" and one.left for call in self.calls for one in call.exchanges
        )
