"""What an answer means: links of images, or an error of the tree."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from langchain_qwen_image.gateway_schemas import TextToImageResponse
from langchain_qwen_image.wire.classify import error_from_body
from langchain_qwen_image.wire.error_body import ErrorBody, states_an_error


@dataclass(frozen=True, slots=True)
class WireAnswer:
    """What a successful answer says: links of the images, never none."""

    urls: tuple[str, ...]
    request_id: str | None
    finish_reason: str | None
    width: int | None
    height: int | None


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
        QwenImageError: The answer does not hold an image; the class says what it means.
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
    raise error_from_body(ErrorBody.read(status, top, text, lower, secret, now))


def _parse_json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_link(url: str) -> bool:
    """Say whether this may be an image's link: http(s) with a host, or a `data:` URI."""
    if url[:5].lower() == "data:":
        return True
    if not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return False
