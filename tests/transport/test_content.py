"""Bytes of an answer, judged without a connection: coded or plain, whole or cut."""

import gzip
import io
import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from langchain_qwen_image.transport.content import decoded, is_whole

MOST = 1_000_000
LABELS = ["gzip", "x-gzip", "deflate", "br", "zstd", "identity", "", "gzip, gzip", "utf-8", ",;"]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
documents = st.dictionaries(st.text(), values, max_size=4) | st.lists(values, max_size=4)


@given(documents, st.sampled_from(LABELS))
def test_json_is_read_whatever_is_announced(document: Any, label: str) -> None:
    """Plain or compressed once, JSON comes out as it went in, under any label."""
    body = json.dumps(document).encode()
    for raw in (body, gzip.compress(body), zlib.compress(body)):
        assert decoded(raw, label, MOST).body == body


@given(st.binary(max_size=300), st.sampled_from(LABELS), st.integers(0, 100))
def test_any_bytes_are_decoded_or_returned(raw: bytes, label: str, limit: int) -> None:
    """Decoding is total, and bounded: plain bytes, or the raw ones with a reason."""
    content = decoded(raw, label, limit)
    assert content.body == raw or len(content.body) <= limit + 1
    assert content.problem is None or content.body == raw


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_nothing_is_made_beyond_the_limit(pack: Any) -> None:
    """A bomb is unpacked up to the limit and one byte."""
    assert len(decoded(pack(b" " * 10_000_000), "gzip", 1000).body) == 1001


def test_many_members_end() -> None:
    """A stream of very many members is read up to a number of them."""
    raw = gzip.compress(b"") * 50_000
    assert decoded(raw, "gzip", MOST).body == b""


@given(documents, st.data())
def test_json_is_whole_only_when_it_closes(document: Any, data: st.DataObject) -> None:
    """Objects and lists are whole with their last bracket, and not before, whatever follows."""
    body = json.dumps(document, ensure_ascii=data.draw(st.booleans())).encode()
    assert is_whole(body)
    assert is_whole(b"\xef\xbb\xbf \r\n" + body + b"\n" + data.draw(st.binary(max_size=9)))
    assert not is_whole(body[: data.draw(st.integers(0, len(body) - 1))])


WHOLE = [
    pytest.param(b'"{\\"images\\": []}"', id="a string"),
    pytest.param(b'data: {"a": 1}\n\n', id="an event"),
    pytest.param('{"a": "狐"}'.encode("utf-16"), id="utf-16"),
    pytest.param('{"a": 1}'.encode("utf-16-le"), id="utf-16 without a mark"),
    pytest.param('{"a": 1}'.encode("utf-16-be"), id="utf-16 of the other order"),
]


@pytest.mark.parametrize("body", WHOLE)
def test_json_in_its_wrappings_is_whole(body: bytes) -> None:
    """What JSON may be wrapped in does not hide that it closes; without its end it does not."""
    assert is_whole(body)
    assert not is_whole(body.rstrip(b"\n")[:-2])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_an_image_is_whole_with_its_last_byte(kind: str) -> None:
    """An image as the body is whole with its own end, and cut anywhere before it."""
    file = io.BytesIO()
    Image.effect_noise((24, 24), 80).save(file, kind)
    body = file.getvalue()
    assert is_whole(body)
    assert [end for end in range(len(body)) if is_whole(body[:end])] == []


@pytest.mark.parametrize(
    "body", [b"", b"17", b"true", b"null", b"<html></html>", b"{]", b"{" * 9999]
)
def test_what_may_have_been_cut_anywhere_is_never_whole(body: bytes) -> None:
    """Nothing tells whether a number, a word or a page is complete, nor damaged JSON."""
    assert not is_whole(body)
