"""The wire: what is sent, what an answer means, and when a POST may be repeated.

Pure: no HTTP library, no clock, no environment. The facts about answers are those of the API
document, of Azure API Management (the gateway's front end) and of Alibaba's DashScope (the model
behind it).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

from langchain_qwen_image._refusals import Refusal, states_an_error
from langchain_qwen_image._verdict import error_from_refusal
from langchain_qwen_image._version import __version__
from langchain_qwen_image.errors import QwenImageError
from langchain_qwen_image.gateway_schemas import TextToImageRequest, TextToImageResponse
from langchain_qwen_image.schemas import NEGATIVE_PROMPT_LIMIT, PROMPT_LIMIT, QwenImageInput

ENDPOINT = "/qwen-image/v1/generateMultimodeTextToImageRequest"
KEY_HEADER = "Ocp-Apim-Subscription-Key"
USER_AGENT = f"langchain-qwen-image/{__version__}"
LONGEST_WAIT = 60.0
"""Seconds of `Retry-After` that are waited out; a longer one is raised."""

_BACKOFF_FIRST = 1.0
_BACKOFF_LONGEST = 20.0


@dataclass(frozen=True, slots=True)
class WireRequest:
    """One POST, ready to be sent; its repr does not show the key."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes

    @property
    def key(self) -> str:
        """The key that it carries, to be hidden where a server echoes it."""
        return self.headers[KEY_HEADER]


@dataclass(frozen=True, slots=True)
class WireAnswer:
    """What a successful answer says: links of the pictures, never none."""

    urls: tuple[str, ...]
    request_id: str | None
    finish_reason: str | None
    width: int | None
    height: int | None


def build_request(base_url: str, api_key: str, arguments: QwenImageInput) -> WireRequest:
    """Build the POST exactly as the document has it."""
    return WireRequest(
        url=base_url + ENDPOINT,
        headers={
            "Content-Type": "application/json",
            "Cache-Control": "no-cache",
            KEY_HEADER: api_key,
            "User-Agent": USER_AGENT,
        },
        body=TextToImageRequest.from_input(arguments).model_dump_json().encode(),
    )


def cut_off_warnings(arguments: QwenImageInput) -> list[str]:
    """Return what upstream will cut off silently, a sentence each."""
    return [
        f"The {name} has {len(text)} characters; upstream reads the first {limit} and cuts off "
        "the rest. It is sent whole."
        for name, text, limit in (
            ("prompt", arguments.prompt, PROMPT_LIMIT),
            ("negative prompt", arguments.negative_prompt, NEGATIVE_PROMPT_LIMIT),
        )
        if len(text) > limit
    ]


def parse_response(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    secret: str = "",
    now: datetime | None = None,
) -> WireAnswer:
    """Read any answer at all.

    Args:
        status: HTTP status.
        headers: HTTP headers, in any case.
        body: Decoded body.
        secret: The key; where a server echoes it, no message shows it.
        now: Clock for a `Retry-After` that is a date, where the answer has no `Date` of its own.

    Raises:
        QwenImageError: The answer does not hold a picture; the class says what it means.
    """
    text = body.decode("utf-8-sig", "replace")
    data = _parse_json(text)
    top = data if isinstance(data, dict) else {}
    if 200 <= status < 300 and not states_an_error(top):
        response = TextToImageResponse.model_validate(top)
        urls = tuple(url for url in response.image_urls() if _is_link(url))
        if urls:
            width, height = response.image_size()
            return WireAnswer(urls, response.request_id, response.finish_reason(), width, height)
    lower = {name.lower(): value for name, value in headers.items()}
    raise error_from_refusal(Refusal.read(status, top, text, lower, secret, now))


def retry_delay(
    error: QwenImageError, *, attempt: int, max_retries: int, jitter: float
) -> float | None:
    """Decide on another attempt: the seconds to wait before it, or None for no other attempt.

    Args:
        error: Why this attempt failed.
        attempt: Number of this attempt, from 1.
        max_retries: Extra attempts that are allowed.
        jitter: Random number in 0..1, for exponential backoff with full jitter.
    """
    if not error.is_retryable or attempt > max_retries:
        return None
    if error.retry_after is not None:
        return error.retry_after if error.retry_after <= LONGEST_WAIT else None
    return jitter * min(_BACKOFF_LONGEST, _BACKOFF_FIRST * 2.0 ** min(attempt, 10))


def _parse_json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_link(url: str) -> bool:
    """Say whether this may be a picture's link: http(s) with a host, or a `data:` URI."""
    if url[:5].lower() == "data:":
        return True
    if not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return False
