"""The retry rule: which failures are repeated, how often, and after how long."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

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
    """Say whether a poll that failed may be repeated; a redirect leads nowhere else next time."""
    is_redirect = 300 <= (error.status_code or 0) < 400
    is_on_the_way = isinstance(error, ConnectionFailedError) or error.may_have_been_billed
    return isinstance(error, _POLL_AGAIN) and is_on_the_way and not is_redirect


def retry_after(headers: Mapping[str, str], now: datetime | None) -> float | None:
    """Return the seconds that `Retry-After` asks for, as number or HTTP date, or None.

    Args:
        headers: Headers with names in lower case.
        now: Clock for a date, where the answer has no `Date` of its own.
    """
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,15}(\.\d{1,9})?", value, re.ASCII):
        return float(value)
    asked = http_date(value)
    sent = http_date(headers.get("date", "")) or now
    if asked is None or sent is None:
        return None
    return max(0.0, (asked - sent).total_seconds())


def http_date(value: str) -> datetime | None:
    """Read an HTTP date; None where it is none."""
    try:
        date = parsedate_to_datetime(value)
        return date if date.tzinfo else date.replace(tzinfo=UTC)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
