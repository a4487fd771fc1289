"""What an answer means: images, a place in a queue, or an error of the tree.

Images are looked for in an order: in the API document's shape, in the owner's second shape, and
then in whatever JSON came. An image in a documented place is paid for, so it wins over any text
that is beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from langchain_qwen_image.gateway_schemas import TextToImageResponse
from langchain_qwen_image.wire.answer import QueuedAnswer, WireAnswer
from langchain_qwen_image.wire.body_text import decode, json_values
from langchain_qwen_image.wire.classify import error_from_body
from langchain_qwen_image.wire.error_body import Context, ErrorBody, request_id_of, top_objects
from langchain_qwen_image.wire.image_data import data_uri, image_type, inline_image
from langchain_qwen_image.wire.links import absolute_link, is_inline
from langchain_qwen_image.wire.queue import (
    foreign_queue,
    is_open,
    latest_state,
    pending_state,
    polling_address,
    polling_path,
)
from langchain_qwen_image.wire.redaction import identifier, quote, without_secret
from langchain_qwen_image.wire.retry import retry_after
from langchain_qwen_image.wire.stated import states_an_error
from langchain_qwen_image.wire.walk import find_images

__all__ = ["QueuedAnswer", "WireAnswer", "parse_poll", "parse_response"]

_MOST_BILLED = 10_000
"""Images; a larger count in `usage` is no count."""


def parse_response(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    secret: str = "",
    now: datetime | None = None,
    base_url: str = "",
    prompt: str = "",
) -> WireAnswer | QueuedAnswer:
    """Read any answer at all to the POST.

    Args:
        status: HTTP status.
        headers: HTTP headers, in any case.
        body: Decoded body.
        secret: The key; where a server echoes it, no message shows it.
        now: Clock for a `Retry-After` that is a date, where the answer has no `Date` of its own.
        base_url: Address of the gateway, to which relative links are joined.
        prompt: What was asked for; where a server echoes it, its words are no verdict.

    Raises:
        QwenImageError: The answer does not hold an image; the class says what it means.
    """
    context = Context(secret, now, base_url, prompt)
    return _read(_Answer.of(status, headers, body), context)


def parse_poll(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    secret: str = "",
    now: datetime | None = None,
    base_url: str = "",
    prompt: str = "",
    polling_path: str = "",
) -> WireAnswer | QueuedAnswer:
    """Read any answer at all to a GET of `QueuedAnswer.polling_path`.

    A 2xx that is neither JSON nor an image says nothing of the request, so it is read as "not yet".

    Args:
        status: HTTP status.
        headers: HTTP headers, in any case.
        body: Decoded body.
        secret: The key; where a server echoes it, no message shows it.
        now: Clock for a `Retry-After` that is a date, where the answer has no `Date` of its own.
        base_url: Address of the gateway, to which relative links are joined.
        prompt: What was asked for; where a server echoes it, its words are no verdict.
        polling_path: The path that was asked for; it stays where the answer names no other.

    Raises:
        QwenImageError: No image came. `retry.poll_delay` says whether the poll is repeated;
            `may_have_been_billed` is false where the task failed or moderation refused it.
    """
    context = Context(secret, now, base_url, prompt, is_poll=True)
    answer = _Answer.of(status, headers, body)
    if answer.is_success and not answer.values and not image_type(body[:16]):
        return QueuedAnswer(None, polling_path, "UNKNOWN", retry_after(answer.headers, now))
    return _read(answer, context, polling_path)


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer, taken out of what it was wrapped in."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    text: str = field(repr=False)
    values: Sequence[object] = field(repr=False)
    tops: Sequence[dict[str, Any]] = field(repr=False)

    @classmethod
    def of(cls, status: int, headers: Mapping[str, str], body: bytes) -> "_Answer":
        lower = {name.lower(): value for name, value in headers.items()}
        text = "" if image_type(body[:16]) else decode(body, lower.get("content-type", ""))
        values = json_values(text)
        return cls(status, lower, body, text, values, top_objects(values))

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def request_id(self, secret: str) -> str | None:
        return identifier(request_id_of(self.tops, self.headers), secret)


def _read(answer: _Answer, context: Context, asked_path: str = "") -> WireAnswer | QueuedAnswer:
    if answer.is_success:
        found = (
            _image_itself(answer, context)
            or _documented(answer, context)
            or _queued(answer, context, asked_path)
            or _walked(answer, context)
            or _accepted(answer, context, asked_path)
        )
        if found is not None:
            return found
    raise error_from_body(_error_body(answer, context))


def _error_body(answer: _Answer, context: Context) -> ErrorBody:
    return ErrorBody.read(answer.status, answer.headers, answer.text, answer.values, context)


def _image_itself(answer: _Answer, context: Context) -> WireAnswer | None:
    media_type = image_type(answer.body[:16])
    if media_type is None:
        return None
    link = data_uri(media_type, answer.body)
    return WireAnswer((link,), answer.request_id(context.secret), None, None, None)


def _documented(answer: _Answer, context: Context) -> WireAnswer | None:
    for top in reversed(answer.tops):  # of several frames the last one is the whole
        response = TextToImageResponse.model_validate(top)
        links = (_usable(url, context.base_url) for url in response.image_urls())
        urls = tuple(dict.fromkeys(link for link in links if link is not None))
        if urls:
            return WireAnswer(
                urls,
                answer.request_id(context.secret),
                response.finish_reason(),
                *response.image_size(),
                warnings=_warnings(urls, top, answer, context),
                billed_images=_billed(response.image_count()),
            )
    return None


def _usable(url: str, base_url: str) -> str | None:
    """Return what a documented place names, as it can be fetched; None for what cannot."""
    return inline_image(url) or (
        url.strip() if is_inline(url.strip()) else absolute_link(url, base_url)
    )


def _billed(count: int | None) -> int:
    return count if count is not None and 1 <= count <= _MOST_BILLED else 1


def _warnings(
    urls: Sequence[str], top: Mapping[str, Any], answer: _Answer, context: Context
) -> tuple[str, ...]:
    said = []
    if states_an_error(top):
        error_body = _error_body(answer, context)
        code = f" ({error_body.code})" if error_body.code else ""
        said.append(
            "The gateway's response has an image and also an error"
            f"{code}{quote(error_body.message, context.secret)}."
        )
    if len(urls) > 1:
        said.append(f"The gateway's response has {len(urls)} images; one was requested.")
    return tuple(said)


def _queued(answer: _Answer, context: Context, asked_path: str) -> QueuedAnswer | None:
    """Return the place in a queue, judged by the body: a pending state and an address to ask."""
    state = pending_state(latest_state(answer.tops))
    return _place(state, answer, context, asked_path) if state else None


def _accepted(answer: _Answer, context: Context, asked_path: str) -> QueuedAnswer | None:
    """Return the place in a queue of a 202 that names no state that is known."""
    is_open_202 = answer.status == 202 and is_open(latest_state(answer.tops))
    return _place("ACCEPTED", answer, context, asked_path) if is_open_202 else None


def _place(state: str, answer: _Answer, context: Context, asked_path: str) -> QueuedAnswer | None:
    address = polling_address(latest_state(answer.tops), answer.status, answer.headers)
    path = polling_path(address, context.base_url) if address else None
    if path is None and address and not asked_path:
        raise foreign_queue(
            without_secret(address, context.secret),
            status_code=answer.status,
            request_id=answer.request_id(context.secret),
        )
    if not (path or asked_path):
        return None
    return QueuedAnswer(
        answer.request_id(context.secret),
        path or asked_path,
        state,
        retry_after(answer.headers, context.now),
    )


def _walked(answer: _Answer, context: Context) -> WireAnswer | None:
    is_pending = pending_state(latest_state(answer.tops))
    if is_pending or any(map(states_an_error, answer.tops)):
        return None
    if answer.values:
        urls = find_images(answer.values, context.base_url)
    else:
        inline = inline_image(answer.text)
        urls = (inline,) if inline else ()
    if not urls:
        return None
    response = TextToImageResponse.model_validate(answer.tops[-1] if answer.tops else {})
    return WireAnswer(
        urls,
        answer.request_id(context.secret),
        response.finish_reason(),
        *response.image_size(),
        warnings=_warnings(urls, {}, answer, context),
        is_candidate=True,
        billed_images=_billed(response.image_count()),
    )
