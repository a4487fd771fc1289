"""The sidecar: what is written is read back, and nothing that is read is trusted."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qwen_image.download.fetcher import ImageInfo
from langchain_qwen_image.storage.sidecar import MAX_BYTES, SCHEMA, Sidecar

INFO = ImageInfo("image/png", ".png", 3, 2, 16, "0" * 64)
FULL = Sidecar(
    image_id="k3v9q2xd",
    call_id="5f0c",
    item_id="SKU 7",
    prompt="A red fox",
    parameters={"size": "512*512", "watermark": False},
    model="qwen-image",
    request_id="r-1",
    finish_reason="stop",
    url="https://h/a.png",
    cost_usd=Decimal("0.045"),
    created_at=datetime(2026, 11, 23, 12, 0, 0, 5, tzinfo=UTC),
    sandbox=True,
    warnings=("The answer names 2 images.",),
).beside("2026-11-23-a-red-fox-k3v9q2xd", INFO)

# As version 0.1 wrote it, before there was a schema.
FIRST = {
    "file": "2026-11-23-a-red-fox-k3v9q2xd.png",
    "id": "k3v9q2xd",
    "url": "https://h/a.png",
    "prompt": "A red fox",
    "parameters": {"size": "512*512", "watermark": False},
    "model": "qwen-image",
    "request_id": "r-1",
    "finish_reason": "stop",
    "cost_usd": 0.045,
    "created_at": "2026-11-23T12:00:00.000005Z",
    "sandbox": True,
    "mime_type": "image/png",
    "width": 3,
    "height": 2,
    "size_bytes": 16,
    "sha256": "0" * 64,
}


def test_what_is_written_is_read_back() -> None:
    """Every field survives, and the file says its schema and its call."""
    content = FULL.to_json()
    assert Sidecar.from_json(content) == FULL
    record = json.loads(content)
    assert (record["schema"], record["call_id"], record["item_id"]) == (1, "5f0c", "SKU 7")
    assert SCHEMA == 1


def test_nothing_known_is_read_back() -> None:
    """A sidecar of nothing is one, too."""
    assert Sidecar.from_json(Sidecar().to_json()) == Sidecar()


def test_sidecars_before_the_schema_are_read() -> None:
    """What version 0.1 wrote means the same, without a call and an item."""
    expected = replace(FULL, call_id=None, item_id=None, warnings=())
    assert Sidecar.from_json(json.dumps(FIRST).encode()) == expected


def test_a_later_schema_is_read_as_far_as_it_is_known() -> None:
    """A field of a later version is left alone, and one that changed its type is not known."""
    later = {**FIRST, "schema": 2, "colour": "red", "prompt": {"text": "A red fox"}}
    read = Sidecar.from_json(json.dumps(later).encode())
    assert (read.prompt, read.image_id) == (None, "k3v9q2xd")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"1", b"\xff\xfe", b"[" * 100_000, b" " * (MAX_BYTES + 1)],
    ids=["empty", "half", "list", "null", "number", "not text", "deep", "long"],
)
def test_what_is_no_sidecar_is_an_error(content: bytes) -> None:
    """Anything but a JSON object of moderate length is a ValueError."""
    with pytest.raises(ValueError):
        Sidecar.from_json(content)


_JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from([*FIRST, "schema", "call_id", "item_id", "warnings"]), _JSON)
)
def test_any_object_is_read(record: dict[str, Any]) -> None:
    """Whatever an object has, what is read is of its types or not known, and can be written."""
    read = Sidecar.from_record(record)
    assert read.width is None or (type(read.width) is int and read.width > 0)
    assert read.created_at is None or read.created_at.utcoffset() == timedelta(0)
    assert read.cost_usd is None or 0 <= read.cost_usd < 1_000_000
    again = Sidecar.from_json(read.to_json())
    assert (again.prompt, again.image_id, again.warnings) == (
        read.prompt,
        read.image_id,
        read.warnings,
    )


def test_times_are_read_in_utc() -> None:
    """A moment of another zone becomes UTC; one without a zone is UTC."""
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    for told in (noon.astimezone(timezone(timedelta(hours=8))), noon.replace(tzinfo=None)):
        assert Sidecar.from_record({"created_at": told.isoformat()}).created_at == noon
