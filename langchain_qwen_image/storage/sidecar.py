"""The `.json` beside an image: what it has, how it is written, how it is read.

Nothing else knows its keys. What is read is not trusted: a value of another type is not known.
Version 1 has `schema` and `call_id`; sidecars before it have neither, and are read all the same.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

from langchain_qwen_image.wire.links import without_query

if TYPE_CHECKING:
    from langchain_qwen_image.download.fetcher import ImageInfo

SCHEMA = 1
MAX_BYTES = 1 << 20
"""A longer file is no sidecar."""

_NAME = re.compile(r"[\w.:+-]{1,128}")
"""What an id or a model's name looks like; a link with its query does not."""
_MAX_NUMBER = 1 << 53


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """What is known of an image; None, or the default, where nothing is.

    Attributes:
        image_id: The image's short id.
        call_id: Id of the call that made it, as the account has it.
        item_id: The caller's own id of the request, such as an article number.
        gateway: Address of the gateway that was asked; sidecars of earlier versions have none.
        run: The bulk run that the call belongs to; None for none.
        key: Idempotency key of the call; None for none.
        prompt: What was asked for; a file without it is no sidecar of ours.
        parameters: The four parameters as they were sent.
        url: The link without its query, and so without its signature.
        public_url: Address at which a browser saw it when it was saved, without its query too.
        cost_usd: Price of the whole call in US dollars.
        created_at: When the answer came, in UTC.
        file: Name of the image beside it.
        address_of: Gives that address by the name of the image; not written.
    """

    image_id: str | None = None
    call_id: str | None = None
    item_id: str | None = None
    gateway: str | None = None
    run: str | None = None
    key: str | None = None
    prompt: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    model: str | None = None
    request_id: str | None = None
    finish_reason: str | None = None
    url: str | None = None
    public_url: str | None = None
    cost_usd: Decimal | None = None
    created_at: datetime | None = None
    sandbox: bool = False
    warnings: tuple[str, ...] = ()
    file: str | None = None
    mime_type: str | None = None
    width: int | None = None
    height: int | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    address_of: Callable[[str], str | None] | None = field(default=None, compare=False, repr=False)

    def beside(self, name: str, info: "ImageInfo") -> Self:
        """Return it with what an image's bytes say, for the image of this name."""
        file = f"{name}{info.suffix}"
        address = None if self.address_of is None else self.address_of(file)
        return replace(
            self,
            file=file,
            public_url=None if address is None else without_query(address),
            mime_type=info.mime_type,
            width=info.width,
            height=info.height,
            size_bytes=info.size_bytes,
            sha256=info.sha256,
        )

    def to_json(self) -> bytes:
        """Return the file's bytes; a lone surrogate of a prompt becomes its JSON escape."""
        record = {
            "schema": SCHEMA,
            "file": self.file,
            "id": self.image_id,
            "call_id": self.call_id,
            **self._given("item_id", "gateway", "run", "key"),
            "url": self.url,
            **self._given("public_url"),
            "prompt": self.prompt,
            "parameters": self.parameters,
            "model": self.model,
            "request_id": self.request_id,
            "finish_reason": self.finish_reason,
            "cost_usd": None if self.cost_usd is None else float(self.cost_usd),
            "created_at": None if self.created_at is None else self.created_at.isoformat(),
            "sandbox": self.sandbox,
            **({"warnings": self.warnings} if self.warnings else {}),
            "mime_type": self.mime_type,
            "width": self.width,
            "height": self.height,
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
        }
        text = json.dumps(record, ensure_ascii=False, indent=2)
        return f"{text}\n".encode(errors="backslashreplace")

    def _given(self, *names: str) -> dict[str, str]:
        values = ((name, getattr(self, name)) for name in names)
        return {name: value for name, value in values if value is not None}

    @classmethod
    def from_json(cls, content: bytes) -> Self:
        """Read a file's bytes.

        Raises:
            ValueError: they are no JSON object, or far too many.
        """
        if len(content) > MAX_BYTES:
            raise ValueError(f"a sidecar has at most {MAX_BYTES:,} bytes")
        try:
            record = json.loads(content)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        if not isinstance(record, dict):
            raise ValueError("a sidecar is a JSON object")
        return cls.from_record(record)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Read an object of JSON; whatever it has, this does not fail."""
        parameters, warnings = record.get("parameters"), record.get("warnings")
        return cls(
            image_id=_text(record.get("id")),
            call_id=_name(record.get("call_id")),
            item_id=_text(record.get("item_id")),
            gateway=_text(record.get("gateway")),
            run=_text(record.get("run")),
            key=_text(record.get("key")),
            prompt=_text(record.get("prompt")),
            parameters=parameters if isinstance(parameters, dict) else {},
            model=_name(record.get("model")),
            request_id=_name(record.get("request_id")),
            finish_reason=_name(record.get("finish_reason")),
            url=_text(record.get("url")),
            public_url=_text(record.get("public_url")),
            cost_usd=_usd(record.get("cost_usd")),
            created_at=_moment(record.get("created_at")),
            sandbox=record.get("sandbox") is True,
            warnings=tuple(filter(_text, warnings)) if isinstance(warnings, list) else (),
            file=_text(record.get("file")),
            mime_type=_text(record.get("mime_type")),
            width=_number(record.get("width")),
            height=_number(record.get("height")),
            size_bytes=_number(record.get("size_bytes")),
            sha256=_name(record.get("sha256")),
        )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _name(value: object) -> str | None:
    return value if isinstance(value, str) and _NAME.fullmatch(value) else None


def _number(value: object) -> int | None:
    is_number = isinstance(value, int) and not isinstance(value, bool) and 0 < value < _MAX_NUMBER
    return value if is_number else None  # type: ignore[return-value]


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
