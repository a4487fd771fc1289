"""Answers that are not a picture: four shapes, read into one.

The shapes: the document's `{"error": "<text>"}`; Azure API Management's `{"statusCode",
"message"}`; DashScope's `{"request_id", "code", "message"}`; plain text or HTML of proxies. A
nested `{"error": {"code", "message"}}` occurs too, and any of them may come with HTTP 200.
"""

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote as percent_encode

QUOTE_LIMIT = 200
"""Characters of a server's own text that a message shows."""

_FINE_CODES = frozenset({"", "0", "200", "ok", "success"})
_SIGHT = 20 * QUOTE_LIMIT
"""Characters that are looked at for a quotation: a page of megabytes must not hold us up."""
_SHORTEST_SECRET = 8
"""Characters of the key from which on it is hidden where a text ends in the middle of it."""
_TAGS = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)|<[^>]*>", re.DOTALL | re.IGNORECASE)
_LINK_QUERY = re.compile(r"(//[^\s?#\"'<>]+)[?#][^\s\"'<>]*")
_JSON_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|([\"\\/]))")


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an answer says that is not a picture, whatever its shape."""

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
    ) -> "Refusal":
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
            code=_short(code, secret) if _is_error_code(code) else None,
            message=message,
            request_id=_short(
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


def retry_after(headers: Mapping[str, str], now: datetime | None) -> float | None:
    """Return the seconds that `Retry-After` asks for, as number or HTTP date, or None.

    Args:
        headers: Headers with names in lower case.
        now: Clock for a date, where the answer has no `Date` of its own.
    """
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,15}(\.\d{1,9})?", value, re.ASCII):
        return float(value)
    asked = _http_date(value)
    sent = _http_date(headers.get("date", "")) or now
    if asked is None or sent is None:
        return None
    return max(0.0, (asked - sent).total_seconds())


def quote(text: str | None, secret: str) -> str:
    """Return what a server said as `: "…"`, short, on one line, without key or signed links."""
    seen = _TAGS.sub(" ", _hide(text or "", secret)[:_SIGHT])
    said = _LINK_QUERY.sub(r"\1?…", _printable(seen))
    if len(said) > QUOTE_LIMIT:
        said = said[: QUOTE_LIMIT - 1] + "…"
    return f': "{said}"' if said else ""


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


def _short(text: str | None, secret: str) -> str | None:
    """Return an identifier as the server gave it, fit to be printed."""
    return text and (_printable(_hide(text[:_SIGHT], secret))[:QUOTE_LIMIT] or None)


def _hide(text: str, secret: str) -> str:
    """Undo the escapes of JSON and HTML, and hide the key in whatever form it was sent back."""
    once = _JSON_ESCAPE.sub(_unescape, text)  # twice: JSON may hold the text of another answer
    plain = html.unescape(_JSON_ESCAPE.sub(_unescape, once))
    if not secret:
        return plain
    for form in (secret, percent_encode(secret, safe="")):
        plain = re.sub(re.escape(form), "[key]", plain, flags=re.IGNORECASE)
    for length in range(len(secret) - 1, _SHORTEST_SECRET - 1, -1):
        if plain.endswith(secret[:length]):
            return plain[:-length] + "[key]"
    return plain


def _unescape(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16)) if escape[1] else escape[2]


def _printable(text: str) -> str:
    """Put a text on one line, without control characters and lone surrogates."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _http_date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
        return date if date.tzinfo else date.replace(tzinfo=UTC)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
