"""The pieces of a live check: what is redacted, and the YAML that is written."""

from datetime import UTC, datetime

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from langchain_qwen_image.checks.live_cassette import cassette
from langchain_qwen_image.checks.live_evidence import Evidence, LiveCall
from langchain_qwen_image.checks.live_exchange import Exchange
from langchain_qwen_image.checks.live_secrets import Scrubber

KEY = "sk_live_0123456789abcdef-secret"
TOKEN = "tok%2Ben0123456789%3D"
LINK = f"https://images.example/a.png?Expires=1799999999&token={TOKEN}"


def evidence(body: bytes, content_type: str = "application/json") -> Evidence:
    """Return what a check would have seen whose image's answer has this body."""
    now = datetime.now(UTC)
    url = "https://gateway.example/v1"
    headers = {"content-type": content_type}
    exchange = Exchange("POST", url, {}, b"{}", now, status=200, headers=headers, body=body)
    return Evidence("https://gateway.example", now, 0.045, image=LiveCall([exchange]))


def written(body: bytes, content_type: str = "application/json") -> str:
    """Return the cassette of an answer with this body."""
    seen = evidence(body, content_type)
    assert seen.image is not None
    return cassette(seen.image, Scrubber(KEY, seen))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(f'{{"a": "{LINK}", "echo": "{KEY}"}}'.encode(), id="json"),
        pytest.param(LINK.replace("&", "\\u0026").join(['{"a": "', '"}']).encode(), id="escaped"),
        pytest.param(LINK.replace("/", "\\/").join(['{"a": "', '"}']).encode(), id="slashes"),
        pytest.param(f'<a href="{LINK.replace("&", "&amp;")}">{KEY}</a>'.encode(), id="html"),
        pytest.param(f'{{"a": "/a.png?{TOKEN}"}}'.encode(), id="bare-token"),
        pytest.param(f'{{"a": "{LINK}", "é": "{KEY}"}}'.encode("latin-1"), id="latin-1"),
        pytest.param(f'{{"a": "{LINK}", "b": "{KEY}"}}'.encode("utf-16"), id="utf-16"),
    ],
)
def test_secrets_are_found_by_place_and_not_by_name(body: bytes) -> None:
    """Any field of a link's query is redacted, however it is written, and so is the key."""
    text = written(body)
    (recorded,) = yaml.safe_load(text)["interactions"]
    left = recorded["response"]["body"]["string"]
    plain = left if isinstance(left, bytes) else left.encode()
    for secret in (TOKEN, KEY):
        for charset in ("utf-8", "utf-16-le", "utf-16-be"):
            assert secret.encode(charset) not in plain
    assert b"images.example" in plain.replace(b"\0", b"") or b"a.png" in plain.replace(b"\0", b"")
    seen = evidence(body)
    assert Scrubber(KEY, seen).leaks(f"…{TOKEN}…")
    assert not Scrubber(KEY, seen).leaks(text)


@given(st.text() | st.binary())
def test_a_body_is_read_again_as_it_was(content: str | bytes) -> None:
    """YAML's own reader gets every text and every byte back; the writer is no library's."""
    try:
        body = content if isinstance(content, bytes) else content.encode()
    except UnicodeEncodeError:  # half a character has no bytes
        return
    seen = evidence(body)
    expected = Scrubber(KEY, seen).body(body)
    (recorded,) = yaml.safe_load(written(body))["interactions"]
    left = recorded["response"]["body"]["string"]
    assert (left if isinstance(left, bytes) else left.encode()) == expected
