"""What an answer means: links of images, or an error of the tree."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from langchain_qwen_image.errors import MalformedResponseError, QwenImageError
from langchain_qwen_image.gateway_schemas import TextToImageResponse
from langchain_qwen_image.wire.answer import QueuedAnswer, WireAnswer
from langchain_qwen_image.wire.classify import error_from_body
from langchain_qwen_image.wire.error_body import ErrorBody, states_an_error
from langchain_qwen_image.wire.queue import pending_status, polling_address, polling_path
from langchain_qwen_image.wire.redaction import identifier
from langchain_qwen_image.wire.retry import retry_after

__all__ = ["QueuedAnswer", "WireAnswer", "parse_poll", "parse_response"]


def parse_response(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    secret: str = "",
    now: datetime | None = None,
    base_url: str = "",
) -> WireAnswer | QueuedAnswer:
    """Read any answer at all to the POST.

    Args:
        status: HTTP status.
        headers: HTTP headers, in any case.
        body: Decoded body.
        secret: The key; where a server echoes it, no message shows it.
        now: Clock for a `Retry-After` that is a date, where the answer has no `Date` of its own.
        base_url: Address of the gateway, to which relative links are joined.

    Raises:
        QwenImageError: The answer does not hold an image; the class says what it means.
    """
    text = body.decode("utf-8-sig", "replace")
    data = _parse_json(text)
    top = data if isinstance(data, dict) else {}
    lower = {name.lower(): value for name, value in headers.items()}
    if 200 <= status < 300 and not states_an_error(top):
        response = TextToImageResponse.model_validate(top)
        urls = tuple(url for url in response.image_urls() if _is_link(url))
        if urls:
            width, height = response.image_size()
            return WireAnswer(urls, response.request_id, response.finish_reason(), width, height)
        queued = _queued(top, lower, secret, now, base_url)
        if queued is not None:
            return queued
    raise error_from_body(ErrorBody.read(status, top, text, lower, secret, now))


def parse_poll(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    secret: str = "",
    now: datetime | None = None,
    base_url: str = "",
    polling_path: str = "",
) -> WireAnswer | QueuedAnswer:
    """Read any answer at all to a GET of `QueuedAnswer.polling_path`.

    Args:
        status: HTTP status.
        headers: HTTP headers, in any case.
        body: Decoded body.
        secret: The key; where a server echoes it, no message shows it.
        now: Clock for a `Retry-After` that is a date, where the answer has no `Date` of its own.
        base_url: Address of the gateway, to which relative links are joined.
        polling_path: The path that was asked for; it stays where the answer names no other.

    Raises:
        QwenImageError: No image came. `retry.poll_delay` says whether the poll is repeated;
            `may_have_been_billed` is false only where the gateway says that the task failed.
    """
    try:
        return parse_response(status, headers, body, secret=secret, now=now, base_url=base_url)
    except QwenImageError as error:
        error.is_retryable = False  # the POST has been made; only the poll may be repeated
        error.may_have_been_billed = True
        raise


def _queued(
    top: Mapping[str, Any],
    headers: Mapping[str, str],
    secret: str,
    now: datetime | None,
    base_url: str,
) -> QueuedAnswer | None:
    state, address = pending_status(top), polling_address(top)
    if state is None or address is None:
        return None
    request_id = top.get("request_id")
    path = polling_path(address, base_url)
    if path is None:
        error = MalformedResponseError(
            "The gateway put the request into a queue, at an address that is not its own; it was "
            "not asked, because the key would travel. The image may have been billed.",
        )
        error.polling_url = address
        raise error
    return QueuedAnswer(
        identifier(request_id if isinstance(request_id, str) else None, secret),
        path,
        state,
        retry_after(headers, now),
    )


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
