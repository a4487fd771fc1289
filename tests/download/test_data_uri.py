"""Images that are in the answer itself."""

import base64
import io

import httpx
import image_host
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_host import (
    FACTS,
    IMAGE,
    Fetch,
    failure,
    never,
    png,
)

from langchain_qwen_image.download.data_uri import decode_inline
from langchain_qwen_image.download.fetcher import Fetcher

fetch = image_host.fetch


DATA = [
    pytest.param("data:image/png;base64," + base64.b64encode(IMAGE).decode(), id="base64"),
    pytest.param(
        "DATA:image/jpeg;BASE64," + base64.urlsafe_b64encode(IMAGE).decode().rstrip("="),
        id="url-safe-unpadded",
    ),
    pytest.param(
        "data:;base64," + base64.b64encode(IMAGE).decode().replace("=", "%3D"), id="escaped"
    ),
    pytest.param("data:image/png," + "".join(f"%{byte:02x}" for byte in IMAGE), id="percent"),
]


@pytest.mark.parametrize("uri", DATA)
def test_inline_images_are_decoded_in_place(fetch: Fetch, uri: str) -> None:
    """A `data:` URI of either encoding gives its image without a request."""
    into = io.BytesIO()
    assert fetch(Fetcher(transport=httpx.MockTransport(never)), uri, into) == FACTS
    assert into.getvalue() == IMAGE


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        pytest.param("data:image/png;base64", "without data", id="no-data"),
        pytest.param("data:image/png;base64,A", "cannot be decoded", id="bad-base64"),
        pytest.param("data:image/png;base64,iVBORw0KGgo=", "incomplete or damaged", id="cut"),
        pytest.param("data:text/html,<html>", "XML or HTML", id="html"),
        pytest.param("data:;base64," + "A" * 8000, "larger than", id="large"),
        pytest.param("data:," + png(bytes(2000)).decode("latin-1"), "larger than", id="decoded"),
    ],
)
def test_inline_images_are_checked_like_others(uri: str, words: str) -> None:
    """A `data:` URI that is no whole image under the cap is refused, and not quoted."""
    error = failure(Fetcher(max_image_bytes=1900), uri)
    assert words in str(error)
    assert len(str(error)) < 400


@given(st.binary())
def test_inline_encodings_agree(data: bytes) -> None:
    """Base64 and percent-encoding bring back the same bytes."""
    for uri in (
        "data:;base64," + base64.b64encode(data).decode(),
        "data:," + "".join(f"%{byte:02X}" for byte in data),
    ):
        assert decode_inline(uri) == data
