"""Calls and images as the account hands them out."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, get_args

from langchain_qwen_image.account.money import images_of, usd_of
from langchain_qwen_image.account.store import Row

__all__ = ["CallRecord", "ImageRecord", "State"]

State = Literal["asked", "sent", "queued", "answered", "saved", "refused", "unknown"]
"""How far a call has come."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class ImageRecord:
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
class CallRecord:
    """One call as the account has it.

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
    images: tuple[ImageRecord, ...]
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


def read_image(row: Row) -> ImageRecord:
    """Make an image of a row of `images` that has its call's id as `call_id`."""
    path = row["path"]
    return ImageRecord(
        id=_text(row["id"]),
        call_id=_text(row["call_id"]),
        url=_text(row["url"]),
        expires_at=_moment(row["expires_at"]),
        path=None if path is None else os.fsdecode(path),
        sha256=_perhaps(row["sha256"]),
        size_bytes=None if row["size_bytes"] is None else images_of(row["size_bytes"]),
        error=_perhaps(row["error"]),
    )


def read_call(row: Row, images: Iterable[ImageRecord]) -> CallRecord:
    """Make a call of a row of `calls`; what this package did not write is an error."""
    state, parameters, lease = row["state"], json.loads(row["parameters"]), row["lease_micros"]
    if state not in get_args(State) or not isinstance(parameters, dict):
        raise ValueError
    return CallRecord(
        id=_text(row["id"]),
        state=state,
        prompt=_text(row["prompt"]),
        parameters=parameters,
        model=_text(row["model"]),
        base_url=_text(row["base_url"]),
        cost_usd=usd_of(row["cost_usd"]),
        request_id=_perhaps(row["request_id"]),
        error=_perhaps(row["error"]),
        message=_perhaps(row["message"]),
        attempts=images_of(row["attempts"]),
        created_at=from_micros(row["created_at"]),
        updated_at=from_micros(row["updated_at"]),
        operation=_text(row["operation"]),
        run=_text(row["run"]),
        key=_perhaps(row["key"]),
        fingerprint=_text(row["fingerprint"]),
        cost_images=images_of(row["cost_images"]),
        lease_seconds=None if lease is None else lease / 1_000_000,
        lease_until=_moment(row["lease_until"]),
        replaced_by=_perhaps(row["replaced_by"]),
        images=tuple(images),
        polling_path=_perhaps(row["polling_path"]),
        has_raw_answer=bool(row["has_raw_answer"]),
    )


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise ValueError


def _perhaps(value: Any) -> str | None:
    return None if value is None else _text(value)


def _moment(micros: Any) -> datetime | None:
    return None if micros is None else from_micros(micros)
