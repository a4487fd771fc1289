"""What a sidecar, or the ledger in its place, tells of an image; nothing in it is trusted."""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from langchain_qwen_image.account.ledger import Ledger, LedgerCall
from langchain_qwen_image.defaults import SANDBOX_URL
from langchain_qwen_image.errors import QwenImageError
from langchain_qwen_image.settings import LEDGER_NAME

_MAX_SIDECAR_BYTES = 1 << 20
_MAX_CHARACTERS = 5_000
"""Shown of a prompt; upstream reads 800."""
_NAME = re.compile(r"[\w.:+-]{1,128}")
"""What a request's or a model's name looks like; a link with its query does not."""
_SIZE = re.compile(r"([1-9]\d{0,4})\s*[*x×]\s*([1-9]\d{0,4})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an image; None, or the default, where nothing is.

    Attributes:
        size: Width and height in pixels, such as `1328×1328`.
        cost_usd: Price of the whole call in US dollars; 0 in the sandbox.
        created_at: When the answer came, in UTC.
    """

    prompt: str
    negative_prompt: str
    size: str | None
    watermark: bool
    prompt_extend: bool
    cost_usd: Decimal | None
    created_at: datetime | None
    request_id: str | None
    model: str | None
    sandbox: bool

    @property
    def call(self) -> tuple[object, ...]:
        """The call that made the image; images of one call share its price."""
        return (self.request_id,) if self.request_id else (self.created_at, self.prompt)


def read_facts(record: Mapping[str, Any]) -> Facts | None:
    """Return what a record in the shape of a sidecar tells; None if it has no prompt."""
    prompt, parameters = record.get("prompt"), record.get("parameters")
    if not isinstance(prompt, str):
        return None
    given = parameters if isinstance(parameters, dict) else {}
    sandbox = record.get("sandbox") is True
    return Facts(
        prompt=_text(prompt),
        negative_prompt=_text(given.get("negative_prompt")),
        size=_size(record, given),
        watermark=given.get("watermark") is not False,
        prompt_extend=given.get("prompt_extend") is not False,
        cost_usd=Decimal(0) if sandbox else _usd(record.get("cost_usd")),
        created_at=_moment(record.get("created_at")),
        request_id=_name(record.get("request_id")),
        model=_name(record.get("model")),
        sandbox=sandbox,
    )


def read_sidecar(path: Path) -> dict[str, Any] | None:
    """Return the object in a JSON file; None if there is none, or it is damaged or far too long."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_SIDECAR_BYTES + 1)
        if len(content) > _MAX_SIDECAR_BYTES:
            return None
        record = json.loads(content)
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def records_of_ledger(folder: Path, names: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return what the folder's ledger knows of images by their names, as sidecars would tell it.

    A folder may have been moved since, so the names are compared and not the paths. A ledger that
    is not there, or cannot be read, knows nothing.
    """
    path = folder / LEDGER_NAME
    try:
        if not names or path.stat().st_size == 0:  # an empty file would become a ledger
            return {}
        return _look_up(Ledger(path), names)
    except (QwenImageError, OSError):
        return {}


def _look_up(ledger: Ledger, names: Collection[str]) -> dict[str, dict[str, Any]]:
    try:
        return {
            Path(image.path).name: _as_record(call)
            for call in ledger.calls(states={"saved"})
            for image in call.images
            if image.path is not None and Path(image.path).name in names
        }
    finally:
        ledger.close()


def _as_record(call: LedgerCall) -> dict[str, Any]:
    return {
        "prompt": call.prompt,
        "parameters": call.parameters,
        "model": call.model,
        "request_id": call.request_id,
        "cost_usd": str(call.cost_usd),
        "created_at": call.created_at.isoformat(),
        "sandbox": call.base_url == SANDBOX_URL,
    }


def _text(value: object) -> str:
    if not isinstance(value, str):
        return ""
    return value if len(value) <= _MAX_CHARACTERS else f"{value[: _MAX_CHARACTERS - 1]}…"


def _name(value: object) -> str | None:
    return value if isinstance(value, str) and _NAME.fullmatch(value) else None


def _size(record: Mapping[str, Any], parameters: Mapping[str, Any]) -> str | None:
    """Return the size that the bytes have, else the one that was asked for."""
    for told in (f"{record.get('width')}×{record.get('height')}", parameters.get("size")):
        found = _SIZE.fullmatch(told) if isinstance(told, str) else None
        if found:
            return f"{found[1]}×{found[2]}"
    return None


def _usd(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        usd = Decimal(str(value))
    except (ArithmeticError, ValueError):
        return None
    return usd if usd.is_finite() and 0 <= usd < 1_000_000 else None


def _moment(value: object) -> datetime | None:
    """Return a moment in UTC; one that names no zone is taken for UTC."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
