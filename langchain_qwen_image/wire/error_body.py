"""Answers that are not an image: four shapes, read into one.

The shapes: the document's `{"error": "<text>"}`; Azure API Management's `{"statusCode",
"message"}`; DashScope's `{"request_id", "code", "message"}`; plain text or HTML of proxies. A
nested `{"error": {"code", "message"}}` occurs too, and any of them may come with HTTP 200.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from langchain_qwen_image.wire.redaction import identifier
from langchain_qwen_image.wire.retry import retry_after

_FINE_CODES = frozenset({"", "0", "200", "ok", "success"})


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """What an answer says that is not an image, whatever its shape."""

    status: int
    code: str | None
    message: str | None
    request_id: str | None
    retry_after: float | None
    inner_status: int | None
    location: str | None
    text: str = field(repr=False)
    secret: str = field(repr=False)
    is_stated: bool

    @classmethod
    def read(
        cls,
        status: int,
        top: Mapping[str, Any],
        text: str,
        headers: Mapping[str, str],
        secret: str,
        now: datetime | None,
    ) -> "ErrorBody":
        """Read the four shapes.

        Args:
            status: HTTP status.
            top: The answer's JSON object, empty where it is none.
            text: The answer's text, which stands in where there is no message.
            headers: Headers with names in lower case.
            secret: The key, to be hidden.
            now: Clock for a `Retry-After` that is a date.
        """
        nested = top.get("error")
        inner = nested if isinstance(nested, dict) else {}
        code = _first_text(top.get("code"), inner.get("code"), inner.get("type"))
        message = _first_text(nested, top.get("message"), inner.get("message"))
        return cls(
            status=status,
            code=identifier(code, secret) if _is_error_code(code) else None,
            message=message,
            request_id=identifier(
                _first_text(
                    top.get("request_id"),
                    inner.get("request_id"),
                    top.get("activityId"),
                    headers.get("x-request-id"),
                    headers.get("apim-request-id"),
                ),
                secret,
            ),
            retry_after=retry_after(headers, now),
            inner_status=_inner_status(top.get("statusCode")),
            location=headers.get("location", "").partition("?")[0] or None,
            text=message or text,
            secret=secret,
            is_stated=states_an_error(top),
        )

    @property
    def asks_to_come_back(self) -> bool:
        """Whether it is a 503 with `Retry-After`: nothing was done for this request."""
        return self.status == 503 and self.retry_after is not None


def states_an_error(top: Mapping[str, Any]) -> bool:
    """Say whether an answer calls itself an error, whatever its status."""
    inner = _inner_status(top.get("statusCode"))
    return bool(
        _is_error_code(_first_text(top.get("code")))
        or top.get("error")
        or top.get("success") is False
        or (inner is not None and inner >= 300)
    )


def _is_error_code(code: str | None) -> bool:
    return code is not None and code.lower() not in _FINE_CODES


def _inner_status(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 300 <= value < 600 else None


def _first_text(*candidates: object) -> str | None:
    for value in candidates:
        if isinstance(value, str) and value.strip():
            return value.strip()
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**9:
            return str(value)
    return None
