"""What went over the wire in a live check, as it was sent and as it came."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from langchain_qwen_image.testing.scrub import REDACTED
from langchain_qwen_image.transport.answer import RawAnswer
from langchain_qwen_image.transport.call import Call
from langchain_qwen_image.transport.gateway import GatewayConnection
from langchain_qwen_image.wire.request import WireRequest

Headers = Mapping[str, str]
_HARMLESS = frozenset({"content-type", "cache-control", "accept", "accept-encoding"})


@dataclass(slots=True)
class Exchange:
    """One request to the gateway and what came of it; its repr shows neither key nor link.

    Attributes:
        method: `POST`, or `GET` where a queued answer was asked for.
        url: The address asked.
        sent_headers: Headers of the request; values that may be secret are redacted.
        request: Body of the request.
        asked_at: When it was sent, in UTC, by this machine's clock.
        seconds: How long the answer took, its body included.
        left: Whether it was sent, as far as the HTTP library tells.
        status: HTTP status; None if no answer came.
        headers: Headers of the answer, by their names in lower case.
        body: Body of the answer, decoded where its coding can be read.
    """

    method: str
    url: str = field(repr=False)
    sent_headers: Headers
    request: bytes = field(repr=False)
    asked_at: datetime
    seconds: float = 0.0
    left: bool = True
    status: int | None = None
    headers: Headers = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class ImageAnswer:
    """Status and headers of one answer to a GET of an image's link."""

    link: str = field(repr=False)
    status: int
    headers: Headers = field(repr=False)


def without_values(headers: Headers) -> Headers:
    """Return headers by their names in lower case, with values only where they are no secret."""
    lower = sorted((name.lower(), value) for name, value in headers.items())
    return {name: value if name in _HARMLESS else REDACTED for name, value in lower}


class RecordingConnection(GatewayConnection):
    """Sends as a `GatewayConnection` does, under asyncio, and remembers each exchange."""

    def __init__(self) -> None:
        """Open nothing yet."""
        super().__init__()
        self.exchanges: list[Exchange] = []

    async def apost(self, wire: WireRequest, call: Call, seconds: float) -> RawAnswer:
        """Send one POST, once, and remember it."""
        with self._noted(call, "POST", wire.url, wire.headers, wire.body):
            return await super().apost(wire, call, seconds)

    async def aget(self, url: str, headers: Headers, call: Call, seconds: float) -> RawAnswer:
        """Ask the gateway by GET, once, and remember it."""
        with self._noted(call, "GET", url, headers):
            return await super().aget(url, headers, call, seconds)

    @contextmanager
    def _noted(
        self, call: Call, method: str, url: str, headers: Headers, body: bytes = b""
    ) -> Iterator[None]:
        added = {"host": "", **({"content-length": ""} if body else {})}  # by the HTTP library
        sent = without_values({**headers, **added})
        exchange = Exchange(method, url, sent, body, datetime.now(UTC))
        self.exchanges.append(exchange)
        start = time.monotonic()
        try:
            yield
        finally:
            exchange.seconds = time.monotonic() - start
            exchange.left = call.left
            if call.answer is not None:
                answer = call.answer
                exchange.status, exchange.body = answer.status, answer.body
                exchange.headers = {name.lower(): one for name, one in answer.headers.items()}


class ImageAnswers:
    """Remembers what a fetcher is answered; give it as `watch`."""

    def __init__(self) -> None:
        """Start with none."""
        self.answers: list[ImageAnswer] = []

    def __call__(self, link: str, status: int, headers: Headers) -> None:
        """Remember one answer."""
        lower = {name.lower(): value for name, value in headers.items()}
        self.answers.append(ImageAnswer(link, status, lower))
