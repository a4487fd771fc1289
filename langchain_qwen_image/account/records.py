"""Calls and images as the ledger hands them out."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from langchain_qwen_image.account.store import Row

__all__ = ["LedgerCall", "LedgerImage", "State"]

State = Literal["asked", "sent", "queued", "answered", "saved", "refused", "unknown"]
"""How far a call has come."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class LedgerImage:
    """One image that an answer named.

    Attributes:
        id: Our name of it.
        call_id: The call that bought it.
        url: Its link, whole until the image is saved and without its query from then on; `data:`
            for an image that came inside the answer.
        expires_at: When the link expires, if it says so.
        path: Where the image is saved; None until then.
        sha256: Checksum of the saved bytes, hexadecimal.
        size_bytes: Size of the saved image.
        error: Why it could not be saved so far.
    """

    id: str
    call_id: str
    url: str = field(repr=False)
    expires_at: datetime | None
    path: str | None
    sha256: str | None
    size_bytes: int | None
    error: str | None


@dataclass(frozen=True, slots=True)
class LedgerCall:
    """One call as the ledger has it.

    Attributes:
        id: Our name of it.
        state: `asked`, `sent`, `queued`, `answered`, `saved`, `refused` or `unknown`.
        prompt: What was asked for.
        parameters: The request's parameters.
        model: The model asked.
        base_url: The gateway asked.
        cost_usd: What it costs, or would have cost, in US dollars.
        request_id: The gateway's name of it, once an answer had one.
        error: Class name of the last error.
        message: Text of the last error.
        attempts: POSTs that left.
        created_at: When it was asked, UTC.
        updated_at: When it last moved, UTC.
        operation: What was asked of the model.
        run: The bulk run that it belongs to; empty for none.
        key: Its idempotency key, in that run; None for none.
        fingerprint: What another call of the key must be equal in.
        cost_images: How many images that is for.
        lease_seconds: How long its last attempt may take, in seconds; None before the first.
        lease_until: When that time is over by the account's clock, UTC.
        replaced_by: The call that was asked in its place.
        images: What the answer named, in its order.
        polling_path: Path and query at the gateway that a queued answer named for asking on.
        has_raw_answer: Whether an answer in which no image was found is saved with it.
    """

    id: str
    state: State
    prompt: str
    parameters: dict[str, Any]
    model: str
    base_url: str
    cost_usd: Decimal
    request_id: str | None
    error: str | None
    message: str | None
    attempts: int
    created_at: datetime
    updated_at: datetime
    operation: str
    run: str
    key: str | None
    fingerprint: str = field(repr=False)
    cost_images: int
    lease_seconds: float | None
    lease_until: datetime | None
    replaced_by: str | None
    images: tuple[LedgerImage, ...]
    polling_path: str | None = field(repr=False)
    has_raw_answer: bool


def storable(text: str) -> str:
    """Write out lone surrogates, which UTF-8 has no bytes for."""
    return text.encode("utf-8", "backslashreplace").decode()


def storable_path(path: str | os.PathLike[str]) -> str | bytes:
    """Return a path as it is stored: as bytes if it has a name that is not UTF-8."""
    name = os.fspath(path)
    return name if name == storable(name) else os.fsencode(name)


def storable_link(url: str) -> str:
    """Return a link as it is stored: an image that came inside the answer is not."""
    return "data:" if url[:5].lower() == "data:" else storable(url)


def to_micros(moment: datetime) -> int:
    """Return a moment as microseconds since 1970, UTC."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the moment, in UTC."""
    return _EPOCH + micros * _MICROSECOND


def read_image(row: Row) -> LedgerImage:
    """Make an image of a row of `images` that has its call's id as `call_id`."""
    expires_at = row["expires_at"]
    return LedgerImage(
        id=row["id"],
        call_id=row["call_id"],
        url=row["url"],
        expires_at=None if expires_at is None else from_micros(expires_at),
        path=None if row["path"] is None else os.fsdecode(row["path"]),
        sha256=row["sha256"],
        size_bytes=row["size_bytes"],
        error=row["error"],
    )


def read_call(row: Row, images: Iterable[LedgerImage]) -> LedgerCall:
    """Make a call of a row of `calls`."""
    return LedgerCall(
        id=row["id"],
        state=row["state"],
        prompt=row["prompt"],
        parameters=json.loads(row["parameters"]),
        model=row["model"],
        base_url=row["base_url"],
        cost_usd=Decimal(row["cost_usd"]),
        request_id=row["request_id"],
        error=row["error"],
        message=row["message"],
        attempts=row["attempts"],
        created_at=from_micros(row["created_at"]),
        updated_at=from_micros(row["updated_at"]),
        operation=row["operation"],
        run=row["run"],
        key=row["key"],
        fingerprint=row["fingerprint"],
        cost_images=row["cost_images"],
        lease_seconds=None if row["lease_micros"] is None else row["lease_micros"] / 1_000_000,
        lease_until=None if row["lease_until"] is None else from_micros(row["lease_until"]),
        replaced_by=row["replaced_by"],
        images=tuple(images),
        polling_path=row["polling_path"],
        has_raw_answer=bool(row["has_raw_answer"]),
    )
