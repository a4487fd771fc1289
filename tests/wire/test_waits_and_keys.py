"""How long a refusal asks to wait, in whatever words, and which words of it are the key."""

import json
from base64 import b64encode, urlsafe_b64encode
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qwen_image.errors import QwenImageError
from langchain_qwen_image.wire.redaction import hide_secret, is_ordinary, without_secret
from langchain_qwen_image.wire.response import parse_response
from langchain_qwen_image.wire.retry import wait_in_text

REAL = "0123456789abcdef0123456789abcdef"


def refused(status: int, body: object, secret: str = REAL, **headers: str) -> QwenImageError:
    """Return the error that an answer means."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(QwenImageError) as caught:
        parse_response(status, headers, content, secret=secret)
    return caught.value


WAITS = {
    "Rate limit is exceeded. Try again in 26 seconds.": 26.0,
    "Rate limit is exceeded. Try again in 1 second.": 1.0,
    "Try again in 2 minutes.": 120.0,
    "Please try again in 20s. Visit the page.": 20.0,
    "Please try again in 6m0s.": 360.0,
    "Try again in 1 minute 30 seconds": 90.0,
    "Try again in 1 hour, 5 minutes and 2 seconds": 3902.0,
    "Try again in about 2 minutes": 120.0,
    "Please retry after 26 seconds": 26.0,
    "Retry in 1.5 seconds": 1.5,
    "Please try again in 500ms": 0.5,
    "Please wait 30 seconds before the next request": 30.0,
    "Wait for 3 mins": 180.0,
    "The limit resets in 45 sec": 45.0,
    "Available again in 2 days": 172800.0,
    "Out of call volume quota. Quota will be replenished in 07:01:20.": 25280.0,
    "Quota will be replenished in 01:00:00.": 3600.0,
    "Quota will be replenished in 20.09:58:55.": 1763935.0,
    "Quota will be replenished in 1.00:00:00.": 86400.0,
    "请求过于频繁，请在26秒后重试": 26.0,
    "请等待 5 分钟": 300.0,
}
NO_WAITS = [
    "", "Try again later.", "Rate limit of 5 requests per 60 seconds exceeded.",
    "You sent 5 requests in 60 seconds.", "Try again at 10:00:00 tomorrow maybe", "Try again soon",
    "Try again in a few seconds.", "Timed out after 30 seconds", "Try again in 5 apples",
    "It was reset at 2026-11-23T12:00:00Z", "Limit: 60 s. Try again later",
]  # fmt: skip


@pytest.mark.parametrize(("text", "seconds"), WAITS.items(), ids=[text[-40:] for text in WAITS])
def test_the_text_says_how_long(text: str, seconds: float) -> None:
    """Without the header, a rate and a quota ask to wait by their text."""
    assert wait_in_text(text) == pytest.approx(seconds)
    assert refused(429, {"statusCode": 429, "message": text}).retry_after == wait_in_text(text)
    quota = refused(403, {"message": f"Out of call volume quota. {text}"})
    assert quota.retry_after == wait_in_text(text)


@pytest.mark.parametrize("text", NO_WAITS, ids=[text[:40] for text in NO_WAITS])
def test_other_numbers_are_no_wait(text: str) -> None:
    """A limit, a time of day and a duration that has passed ask for nothing."""
    if "10:00:00" not in text:  # a time of day looks as API Management's duration does
        assert wait_in_text(text) is None
    assert refused(500, {"message": text}).retry_after is None


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ({"error": {"message": "A b c.", "retry_after": 26}}, 26.0),
        ({"retryAfter": "26"}, 26.0),
        ({"retry_after_seconds": 2.5}, 2.5),
        ({"retry_after": "soon", "message": "Try again in 3 seconds."}, 3.0),
        ({"retry_after": True}, None),
        ({"retry_after": [1]}, None),
        ({"retry_after": -1}, None),
        ({"retry_after": 1e300}, None),
    ],
)
def test_a_field_says_how_long(body: object, seconds: float | None) -> None:
    """A field of the body is read as the header is."""
    assert refused(429, body).retry_after == seconds


def test_the_header_comes_first() -> None:
    """The header is believed before the text; one that cannot be read is none."""
    body = {"message": "Try again in 26 seconds."}
    assert refused(429, body, **{"Retry-After": "7"}).retry_after == 7.0
    assert refused(429, body, **{"Retry-After": "soon"}).retry_after == 26.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-reset": "30"}, 30.0),
        ({"X-RateLimit-Reset": "1795930030", "Date": "Sun, 29 Nov 2026 05:26:40 GMT"}, 30.0),
        ({"X-RateLimit-Reset": "1795930030000", "Date": "Sun, 29 Nov 2026 05:26:40 GMT"}, 30.0),
        ({"X-RateLimit-Reset": "1795930030"}, None),
        ({"x-ratelimit-reset-requests": "1m30s"}, 90.0),
        ({"RateLimit-Reset": "14"}, 14.0),
        ({"RateLimit": '"default";r=0;t=17'}, 17.0),
        ({"RateLimit": "limit=10, remaining=0, reset=50"}, 50.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"x-ms-retry-after-ms": "2500"}, 2.5),
        ({"x-ratelimit-reset": "soon"}, None),
        ({"x-ratelimit-reset": "¹"}, None),
        ({"x-ratelimit-reset": "30", "Retry-After": "7"}, 7.0),
    ],
)
def test_a_header_of_the_limit_says_how_long(
    headers: dict[str, str], seconds: float | None
) -> None:
    """Without `Retry-After`, a 429 is waited out as the limit's own headers say; a 503 is not."""
    error = refused(429, {}, **headers)
    assert (error.retry_after, error.is_retryable) == (seconds, True)
    if "Retry-After" not in headers:
        assert not refused(503, {}, **headers).is_retryable


@pytest.mark.parametrize("status", [400, 401, 404, 500, 502, 503, 504])
def test_only_a_rate_or_a_quota_asks_by_text(status: int) -> None:
    """A text makes no 503 retryable: only its header proves that nothing was done."""
    error = refused(status, {"message": "The model is busy. Try again in 26 seconds."})
    assert error.retry_after is None
    assert not error.is_retryable


@given(st.text())
def test_any_text_asks_for_a_wait_or_none(text: str) -> None:
    """Whatever a text says, the wait is a number of seconds that is not negative, or none."""
    for said in (text, f"Try again in {text}", f"wait {text} seconds"):
        seconds = wait_in_text(said)
        assert seconds is None or 0 <= seconds < 10**15


SENTENCES = [
    ("invalid", "Invalid or missing authentication"),
    ("missing", "Invalid or missing authentication"),
    ("key", "Access denied due to missing subscription key."),
    ("subscription", "Access denied due to missing subscription key."),
    ("a", "An unexpected error occurred, please try again later"),
    ("test", "This is a test of the test"),
    ("forbidden", "Forbidden"),
    ("error", "Error processing request"),
    ("60", "Try again in 60 seconds"),
    ("api-key", "Your api-key was not accepted"),
    ("YOUR_SUBSCRIPTION_KEY", "Replace YOUR_SUBSCRIPTION_KEY by your key"),
    ("...", "Please wait..."),
    ("Requests", "Too many requests"),
]


@pytest.mark.parametrize(("secret", "text"), SENTENCES, ids=[row[0] for row in SENTENCES])
def test_a_word_of_the_sentence_is_not_the_key(secret: str, text: str) -> None:
    """A key that stands in for one, such as `invalid`, does not tear up the sentence."""
    assert f': "{text}"' in str(refused(401, {"error": text}, secret))


@pytest.mark.parametrize(
    "text",
    ['Key "invalid" is unknown', "Key 'invalid' is unknown", "?key=invalid&x=1", "Key `invalid`"],
)
def test_a_quoted_word_is_the_key(text: str) -> None:
    """Where a server quotes what it was given, even such a key is hidden."""
    assert without_secret(text, "invalid") == text.replace("invalid", "[key]")


REAL_KEYS = [
    REAL, "sk_live_0123456789abcdef", "abc123", "k1", "swordfish", "hunter2", "correcthorse",
    "pass-word-7", "XyZzy", "00000000", "a" * 41, "test1", "key_1234", "password!1",
]  # fmt: skip


@pytest.mark.parametrize("secret", REAL_KEYS)
def test_a_key_is_hidden_wherever_it_stands(secret: str) -> None:
    """Whatever cannot be a word of a gateway's sentence is hidden, quoted or not."""
    assert not is_ordinary(secret)
    for text in (f"Key {secret} is unknown", f"{secret}", f'"{secret}"', f"x={secret}, {secret}."):
        assert secret not in hide_secret(text, secret)
        error = refused(401, {"error": text, "code": secret, "request_id": secret}, secret)
        assert secret not in str(error) + str(vars(error))


ECHOES = {
    "percent": lambda key: "".join(f"%{ord(c):02X}" for c in key),
    "percent, twice": lambda key: quote(quote(key, safe=""), safe=""),
    "hex": lambda key: key.encode().hex(),
    "HEX": lambda key: key.encode().hex().upper(),
    "base64": lambda key: b64encode(key.encode()).decode(),
    "base64 for URLs": lambda key: urlsafe_b64encode(key.encode()).decode().rstrip("="),
    "Basic": lambda key: b64encode(f":{key}".encode()).decode(),
    "Basic with a user": lambda key: b64encode(f"me:{key}:x".encode()).decode(),
    "bytes of Python": lambda key: "".join(f"\\x{ord(c):02x}" for c in key),
    "broken lines": lambda key: f"{key[:9]}\r\n {key[9:]}",
    "tags": lambda key: f"{key[:9]}<wbr>{key[9:]}",
    "zero width": lambda key: "\u200b".join(key),
    "entities": lambda key: "".join(f"&#x{ord(c):x};" for c in key),
}


@pytest.mark.parametrize("key", [REAL, "a+b/c=d~longkey?123"])
@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
def test_an_encoded_key_is_hidden(echo: Any, key: str) -> None:
    """A key is hidden also where a server encodes what it echoes, whole."""
    error = refused(401, {"error": f"Key {echo(key)} is unknown", "code": echo(key)}, key)
    assert echo(key) not in str(error)
    assert echo(key)[6:-6] not in str(error)
    assert "is unknown" in str(error)


@pytest.mark.parametrize("secret", ["k1", "abc123"])
def test_a_short_key_is_hidden_as_a_word(secret: str) -> None:
    """A short key within other letters is not the key."""
    assert without_secret(f"x{secret}y {secret}", secret) == f"x{secret}y [key]"


@pytest.mark.parametrize("length", [1, 100, 30_000, 40_000, 200_000])
@pytest.mark.parametrize("escaped", [False, True])
def test_no_cut_shows_a_part_of_the_key(length: int, escaped: bool) -> None:
    """Wherever a long text is cut, no part of the key is left at the cut."""
    form = "".join(f"\\u{ord(c):04x}" for c in REAL) if escaped else REAL
    for shift in range(0, 200, 7):
        text = "x" * (length - min(shift, length)) + form + "y" * 100
        assert REAL[:8] not in hide_secret(text, REAL)


@given(st.text(max_size=50), st.text(alphabet="0123456789abcdef", min_size=16, max_size=64))
def test_no_real_key_is_ever_shown(around: str, secret: str) -> None:
    """A key of the forms that were seen is hidden in any sentence."""
    assert secret not in without_secret(f"{around}{secret}{around}", secret) or secret in around
