"""Describe one scenario that the sandbox can play.

The layer of a scenario says whose shape it has. The real gateway is an Azure API Management
(APIM) front end before Alibaba's DashScope, so an error can be written by any of these:

- document: `{"error": "<text>"}`, the texts are those of the API document;
- APIM: `{"statusCode": 401, "message": "<text>"}`, as Azure documents its policies;
- DashScope: `{"request_id": …, "code": "<string>", "message": "<text>"}`, Alibaba's error codes;
- proxy: plain text or HTML of whatever stands between, as seen in other people's logs;
- network: no whole answer at all;
- success: a good answer, in the document's shape or in a variant seen upstream;
- link: a good answer, and the trouble comes with the GET of its link.
"""

from dataclasses import dataclass
from typing import Literal

from langchain_qwen_image.sandbox.answer import Answer, Fault
from langchain_qwen_image.sandbox.links import PictureFormat

Layer = Literal["document", "APIM", "DashScope", "proxy", "network", "success", "link"]


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
    upstream_usage: bool = False
    picture_format: PictureFormat = "PNG"
    failure: str | None = None
    """What goes wrong with the GET of the link (see `troubles.py`)."""
