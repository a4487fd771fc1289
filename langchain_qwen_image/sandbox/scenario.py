"""Describe one scenario that the sandbox can play.

The layer of a scenario says whose shape it has. The real gateway is an Azure API Management
(APIM) front end before Alibaba's DashScope, so an error can be written by any of these:

- document: `{"error": "<text>"}`, the texts are those of the API document;
- APIM: `{"statusCode": 401, "message": "<text>"}`, as Azure documents its policies;
- DashScope: `{"request_id": …, "code": "<string>", "message": "<text>"}`, Alibaba's error codes;
- gateway: `{"error": "<short>", "message": "<sentence>"}`, as the owner's other pages have it;
- proxy: plain text or HTML of whatever stands between, as seen in other people's logs;
- network: no whole answer at all;
- success: a good answer, in the document's shape or in a variant seen elsewhere;
- queue: the request is queued, and its client asks until it is done;
- link: a good answer, and what fails is the GET of its link.
"""

from dataclasses import dataclass
from typing import Literal

from langchain_qwen_image.sandbox.answer import Answer, Fault
from langchain_qwen_image.sandbox.links import ImageFormat

Layer = Literal[
    "document", "APIM", "DashScope", "gateway", "proxy", "network", "success", "queue", "link"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """Say how a queued request goes on."""

    end: Literal["COMPLETED", "FAILED", "ERROR", "LOST"]
    """Its last status; `LOST`: never done, and most polls fail."""
    http_status: int = 202
    seconds: float = 0.0
    """How long it takes at least; it takes two polls in any case."""
    elsewhere: bool = False
    """The polling address is on another host, which must never get the key."""
    plain_http: bool = False
    """The polling address says http, as self-links behind a front end often do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Describe one scenario: a fixed answer, or else how the success differs from the usual."""

    description: str
    layer: Layer
    answer: Answer | None = None
    """The fixed answer; None means success."""
    once: bool = False
    """Only the first POST of one body meets it; the next succeed."""
    fault: Fault | None = None
    delay_seconds: float = 0.0
    images: int = 1
    inline: bool = False
    """The image comes as a `data:` URI instead of a link."""
    shape: str | None = None
    """The shape of the success (see `shapes.py`); None for the gateway's usual one."""
    queue: Queue | None = None
    image_format: ImageFormat = "PNG"
    failure: str | None = None
    """What goes wrong with the GET of the link (see `link_failures.py`)."""
