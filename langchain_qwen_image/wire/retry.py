"""The retry rule: which failures are repeated, how often, and after how long."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from langchain_qwen_image.errors import (
    ConnectionFailedError,
    NotFoundError,
    QwenImageError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
)
from langchain_qwen_image.wire.answer import QueuedAnswer

LONGEST_WAIT = 60.0
"""Seconds of `Retry-After` that are waited out; a longer one is raised."""

_BACKOFF_FIRST = 1.0
_BACKOFF_LONGEST = 20.0


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


def is_refusal(error: QwenImageError) -> bool:
    """Say whether a request bought nothing because it came too soon: 429, or 503 that says when."""
    return error.is_retryable and not isinstance(error, ConnectionFailedError)


_POLL_FIRST = 1.0
_POLL_LONGEST = 10.0
_POLL_GROWTH = 1.5
_POLL_AGAIN = (
    ConnectionFailedError,
    NotFoundError,  # the queue may not know its own entry yet
    RateLimitError,
    RequestTimeoutError,
    ServerError,
)

_LONGEST_TEXT = 4000
_UNITS = (
    ("ms", 0.001), ("mil", 0.001), ("毫", 0.001), ("m", 60.0), ("分", 60.0), ("s", 1.0),
    ("秒", 1.0), ("h", 3600.0), ("小", 3600.0), ("d", 86400.0), ("天", 86400.0),
)  # fmt: skip
"""Seconds by the beginning of a unit's name; the first that fits counts."""
_UNIT = (
    r"ms\b|milliseconds?|minutes?|mins?|m(?![a-z])|seconds?|secs?|s(?![a-z])|hours?|hrs?"
    r"|h(?![a-z])|days?|d(?![a-z])|毫秒|秒|分钟?|小时|天"
)
_AMOUNT = re.compile(rf"(\d{{1,9}}(?:\.\d{{1,9}})?)\s*({_UNIT})", re.IGNORECASE | re.ASCII)
_ASKS_TO_WAIT = re.compile(
    r"(?:again|retry(?:ing)?|retried|wait|replenish\w*|reset\w*|renew\w*|available|come back"
    r"|重试|等待|请)\W{0,3}(?:[a-z]+\s){0,4}?\s?"
    r"(?:(?:(\d{1,4})\.)?(\d{1,3}):(\d\d):(\d\d)(?![\d:])"
    rf"|((?:\d{{1,9}}(?:\.\d{{1,9}})?\s*(?:{_UNIT})(?:\s|,|and)*)+))",
    re.IGNORECASE | re.ASCII,
)


def poll_delay(outcome: QueuedAnswer | QwenImageError, *, poll: int, jitter: float) -> float | None:
    """Decide on the next poll of a queued request: the seconds to wait, or None for no other.

    Polling is free, so what is lost on the way, 404, 429 and 5xx are repeated as long as the
    caller has time. 401 and 403 end the wait, not the call: the image may still be made. A task
    that the gateway calls failed was not billed, and ends both.

    Args:
        outcome: What the last answer was: not yet, or an error.
        poll: Number of polls so far; 0 after the POST.
        jitter: Random number in 0..1; the pace varies by a fifth, so that many callers spread out.
    """
    if isinstance(outcome, QwenImageError) and not _may_poll_again(outcome):
        return None
    if outcome.retry_after is not None:
        return max(_POLL_FIRST, outcome.retry_after)
    pace = min(_POLL_LONGEST, _POLL_FIRST * _POLL_GROWTH ** min(poll, 10))
    return pace * (0.9 + 0.2 * jitter)


def _may_poll_again(error: QwenImageError) -> bool:
    """Say whether a poll that failed may be repeated; a redirect or 410 is the same next time."""
    status = error.status_code or 0
    is_lasting = 300 <= status < 400 or status == 410
    is_on_the_way = isinstance(error, ConnectionFailedError) or error.may_have_been_billed
    return isinstance(error, _POLL_AGAIN) and is_on_the_way and not is_lasting


def retry_after(headers: Mapping[str, str], now: datetime | None) -> float | None:
    """Return the seconds that `Retry-After` asks for, as number or HTTP date, or None.

    Args:
        headers: Headers with names in lower case.
        now: Clock for a date, where the answer has no `Date` of its own.
    """
    value = headers.get("retry-after", "").strip()
    seconds = _seconds(value)
    if seconds is not None:
        return seconds
    asked = http_date(value)
    sent = http_date(headers.get("date", "")) or now
    if asked is None or sent is None:
        return None
    return max(0.0, (asked - sent).total_seconds())


_RESET_HEADERS = ("ratelimit-reset", "x-ratelimit-reset-requests", "x-ratelimit-reset")
_RESET_PART = re.compile(r"(?:^|[;,]\s*)(?:t|reset)=(\d{1,9})(?![\d.])", re.ASCII)
_LONGEST_RESET = 10 * 365 * 86400
"""Seconds; a larger number is the time itself, in Unix seconds."""


def wait_in_headers(headers: Mapping[str, str], now: datetime | None) -> float | None:
    """Return the seconds that a limit's own headers ask for, or None.

    Read are `retry-after-ms` (Azure), `RateLimit-Reset` and `RateLimit` (the IETF's drafts), and
    `X-RateLimit-Reset`, in seconds, as `1m30s`, or as a time. None of them says, as `Retry-After`
    does, that nothing was done.

    Args:
        headers: Headers with names in lower case.
        now: Clock for a time, where the answer has no `Date` of its own.
    """
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        milliseconds = _seconds(headers.get(name, "").strip())
        if milliseconds is not None:
            return milliseconds / 1000
    for name in _RESET_HEADERS:
        seconds = _reset(headers.get(name, "").strip()[:40], headers, now)
        if seconds is not None:
            return seconds
    part = _RESET_PART.search(headers.get("ratelimit", "")[:200])
    return float(part[1]) if part else None


def _reset(value: str, headers: Mapping[str, str], now: datetime | None) -> float | None:
    seconds = _seconds(value)
    if seconds is None:
        return wait_in_text(f"again in {value}") if value else None
    if seconds < _LONGEST_RESET:
        return seconds
    sent = http_date(headers.get("date", "")) or now
    if seconds > 1e11:
        seconds /= 1000
    return max(0.0, seconds - sent.timestamp()) if sent else None


def wait_in_json(tops: Iterable[Mapping[str, Any]]) -> float | None:
    """Return the seconds that a field such as `retry_after` asks for, at the top or in `error`."""
    for top in tops:
        inner = top.get("error")
        for part in [top, inner] if isinstance(inner, dict) else [top]:
            for name in ("retry_after", "retryAfter", "retry_after_seconds", "retry-after"):
                value = part.get(name)
                if isinstance(value, int | float | str) and not isinstance(value, bool):
                    seconds = _seconds(str(value).strip())
                    if seconds is not None:
                        return seconds
    return None


def wait_in_text(text: str) -> float | None:
    """Return the seconds that a sentence asks to wait, or None.

    Read are API Management's "Try again in 26 seconds." and "Quota will be replenished in
    20.09:58:55." (d.hh:mm:ss), other units, and what stands behind "retry after" or "wait".
    """
    found = _ASKS_TO_WAIT.search(text[:_LONGEST_TEXT])
    if found is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.group(1, 2, 3, 4))
    if found[3] is not None:
        return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
    return sum(
        float(number) * next(size for name, size in _UNITS if unit.lower().startswith(name))
        for number, unit in _AMOUNT.findall(found[5])
    )


def _seconds(value: str) -> float | None:
    is_number = re.fullmatch(r"\d{1,15}(\.\d{1,9})?", value, re.ASCII)
    return float(value) if is_number else None


def http_date(value: str) -> datetime | None:
    """Read an HTTP date; None where it is none."""
    try:
        date = parsedate_to_datetime(value)
        return date if date.tzinfo else date.replace(tzinfo=UTC)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
