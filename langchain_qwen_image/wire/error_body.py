"""Answers that are not an image: every shape, read into one.

The shapes: the document's `{"error": "<text>"}`; Azure API Management's `{"statusCode",
"message"}`; DashScope's `{"request_id", "code", "message"}`; `{"error": "<short>", "message":
"<sentence>"}` of the gateway's other pages; plain text or HTML of proxies. Objects within objects
and lists occur too, and any of them may come with HTTP 200.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from langchain_qwen_image.wire import classification_words as words
from langchain_qwen_image.wire.body_text import is_markup
from langchain_qwen_image.wire.error_texts import (
    LONGEST,
    ErrorText,
    error_texts,
    texts_without_names,
)
from langchain_qwen_image.wire.queue import says_failed
from langchain_qwen_image.wire.redaction import identifier
from langchain_qwen_image.wire.retry import (
    retry_after,
    wait_in_headers,
    wait_in_json,
    wait_in_text,
)
from langchain_qwen_image.wire.stated import first, inner_status, is_fine_code, states_an_error

_LABEL = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+)+\Z")
"""A code in the place of a text, such as `card_required`."""
_PARTS = ("output", "data", "result")


@dataclass(frozen=True, slots=True)
class Context:
    """What is known beside an answer: the key to hide, the clock, the gateway, what was sent."""

    secret: str = field(default="", repr=False)
    now: datetime | None = None
    base_url: str = ""
    prompt: str = field(default="", repr=False)
    is_poll: bool = False


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """What an answer says that is not an image, whatever its shape.

    Attributes:
        message: The text that a person is shown.
        codes: All codes in plain form, one per line, to classify it by.
        texts: All texts in plain form, one per line, to classify it by.
        inner_status: HTTP status that the body names.
        header_wait: Seconds of `Retry-After`; `text_wait` are those that anything else says.
        is_stated: Whether the answer calls itself an error.
        is_failed_task: Whether the queue calls the task failed: it is not charged.
        is_foreign: Whether it is no JSON, whole or cut, so that not the gateway wrote it.
    """

    status: int
    code: str | None
    message: str
    codes: str
    texts: str
    request_id: str | None
    header_wait: float | None
    text_wait: float | None
    inner_status: int | None
    location: str | None
    secret: str = field(repr=False)
    is_stated: bool
    has_named_texts: bool
    is_failed_task: bool
    is_foreign: bool
    is_page: bool
    is_poll: bool

    @classmethod
    def read(
        cls,
        status: int,
        headers: Mapping[str, str],
        text: str,
        values: Sequence[object],
        context: Context,
    ) -> "ErrorBody":
        """Read any shape.

        Args:
            status: HTTP status.
            headers: Headers with names in lower case.
            text: The answer's text, which is shown where there is no message.
            values: The JSON in it.
            context: What is known beside the answer.
        """
        is_page = is_markup(text)
        named = error_texts(values)
        found = (
            named
            or texts_without_names(values)
            or ([] if is_page else [ErrorText(text[:LONGEST], False, False)])
        )
        codes = [one.text for one in found if _is_code_like(one)]
        texts = [one.text for one in found if not one.is_code]
        tops = top_objects(values)
        is_ok = 200 <= status < 300
        return cls(
            status=status,
            code=identifier(_telling_code(found, status), context.secret),
            message=_best(found, status) or text,
            codes=words.plain(codes),
            texts=words.plain(texts, context.prompt),
            request_id=identifier(request_id_of(tops, headers), context.secret),
            header_wait=retry_after(headers, context.now),
            text_wait=first(_other_waits(headers, tops, texts, context)),
            inner_status=first(inner_status(top, is_ok=is_ok) for top in tops),
            location=headers.get("location", "").partition("?")[0] or None,
            secret=context.secret,
            has_named_texts=bool(named),
            is_stated=any(map(states_an_error, tops)),
            is_failed_task=is_ok and any(map(says_failed, tops)),
            is_foreign=not values and text[:200].lstrip()[:1] not in {"{", "["},
            is_page=is_page,
            is_poll=context.is_poll,
        )

    @property
    def asks_to_come_back(self) -> bool:
        """Whether it is a 503 with `Retry-After`: nothing was done for this request."""
        return self.status == 503 and self.header_wait is not None


def _other_waits(
    headers: Mapping[str, str],
    tops: Sequence[Mapping[str, Any]],
    texts: Sequence[str],
    context: Context,
) -> Iterator[float | None]:
    yield wait_in_json(tops)
    yield wait_in_text("\n".join(texts))
    yield wait_in_headers(headers, context.now)


def top_objects(values: Iterable[object]) -> list[dict[str, Any]]:
    """Return the objects that an answer consists of; a list of some is taken apart."""
    tops = []
    for value in values:
        inside = value[:16] if isinstance(value, list) else [value]
        tops += [one for one in inside if isinstance(one, dict)]
    return tops


def _is_code_like(one: ErrorText) -> bool:
    """Say whether it is a code, or a label such as `card_required` in a text's place."""
    return one.is_code or " " not in one.text


def _is_telling(text: str, status: int) -> bool:
    plain = words.plain([text])
    return (
        words.is_moderation(plain, plain, status=status)
        or words.is_money(plain, plain, status=status)
        or words.is_missing_model(plain, plain)
    )


def _telling_code(found: Sequence[ErrorText], status: int) -> str | None:
    codes = [one for one in found if one.is_code and not is_fine_code(one.text)]
    codes.sort(key=lambda one: (not _is_telling(one.text, status), not one.is_well_named))
    labels = [one.text for one in found if _LABEL.match(one.text)]
    return next((one.text for one in codes), None) or next(iter(labels), None)


def _best(found: Sequence[ErrorText], status: int) -> str | None:
    """Return the sentence that says most to a person; a label only where there is no sentence."""
    texts = [one for one in found if not one.is_code]
    texts.sort(
        key=lambda one: (
            not _is_sentence(one.text),
            not _is_telling(one.text, status),
            not one.is_well_named,
        )
    )
    return texts[0].text if texts else None


def _is_sentence(text: str) -> bool:
    is_of_words = len(text.split()) >= 3 and not text.startswith(("{", "["))
    return is_of_words or (not text.isascii() and len(text) >= 6)


def request_id_of(tops: Iterable[Mapping[str, Any]], headers: Mapping[str, str]) -> str | None:
    """Return the identifier to quote to support, wherever an answer has it."""
    named = (
        value
        for top in tops
        for part in [
            top,
            *(one for one in map(top.get, ("error", *_PARTS)) if isinstance(one, dict)),
        ]
        for name in ("request_id", "requestId", "activityId", "trace_id")
        for value in [_identifier_of(part.get(name))]
    )
    of_headers = (headers.get(name) for name in ("x-request-id", "apim-request-id"))
    return first(named) or first(value.strip() or None for value in of_headers if value)


def _identifier_of(value: object) -> str | None:
    if isinstance(value, str):
        return value.strip() or None
    is_number = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**9
    return str(value) if is_number else None
