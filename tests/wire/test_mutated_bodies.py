"""Bodies that nobody wrote: real ones, changed at random, are read or refused, never worse."""

import json
import random
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import LINK, SUCCESS

from langchain_qwen_image.errors import QwenImageError
from langchain_qwen_image.wire.answer import QueuedAnswer, WireAnswer
from langchain_qwen_image.wire.response import parse_poll, parse_response

BASE = "https://gateway.example"
SECRET = "sk_live_0123456789abcdef"
FILE = {"file_name": "x.png", "content_type": "image/png", "url": LINK}
REAL = [
    SUCCESS,
    {"images": [FILE], "description": ""},
    {"status": "COMPLETED", "error": None, "output": {"media_url": [LINK], "media_type": "x"}},
    {"request_id": "m_1", "status": "QUEUED", "polling_url": f"{BASE}/v2/requests/status/m_1"},
    {"status": "FAILED", "error": {"code": "E", "message": "It broke."}},
    {"error": "Rate limit exceeded, please retry later"},
    {"statusCode": 403, "message": "Out of call volume quota. Replenished in 07:01:20."},
    {"request_id": "r", "code": "InternalError.Algo.DataInspectionFailed", "message": "No."},
    {"error": {"code": "insufficient_quota", "message": "Check your balance."}},
    {"output": {"task_status": "FAILED", "code": "DataInspectionFailed", "message": "No."}},
]
BODIES = [
    *(json.dumps(body).encode() for body in REAL),
    *(json.dumps(json.dumps(body)).encode() for body in REAL[:3]),
    *(b"data: " + json.dumps(body).encode() + b"\n\n" for body in REAL[:3]),
    *(json.dumps(body).encode("utf-16") for body in REAL[:2]),
    b"<html><h1>502 Bad Gateway</h1></html>",
    b"error code: 1010",
    b"\x89PNG\r\n\x1a\n" + bytes(50),
]
STATUSES = [200, 200, 200, 201, 202, 400, 401, 402, 403, 404, 408, 422, 429, 500, 502, 503, 302, 0]
PIECES = [b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\\u0000", b"null", b"\0", b"\xff",
          b"\n", b"data: ", b"error", b"image", b"url", b"https://h/a.png", SECRET.encode(), b"1e9",
          b"Retry in 5 seconds", b"-", b"\xf0\x9f", b"status", b"QUEUED", b"FAILED"]  # fmt: skip

Mutation = Callable[[random.Random, bytearray], None]


def _delete(dice: random.Random, body: bytearray) -> None:
    start = dice.randrange(len(body))
    del body[start : start + dice.randrange(1, 30)]


def _insert(dice: random.Random, body: bytearray) -> None:
    place = dice.randrange(len(body))
    body[place:place] = dice.choice(PIECES)


def _overwrite(dice: random.Random, body: bytearray) -> None:
    body[dice.randrange(len(body))] = dice.randrange(256)


def _splice(dice: random.Random, body: bytearray) -> None:
    other = dice.choice(BODIES)
    cut = dice.randrange(len(other))
    body[dice.randrange(len(body)) :] = other[cut:] or b"{"


def _swap_words(dice: random.Random, body: bytearray) -> None:
    one, other = dice.sample(PIECES, 2)
    body[:] = body.replace(one, other) or b"{"


MUTATIONS: list[Mutation] = [_delete, _insert, _overwrite, _splice, _swap_words]


def mutated(number: int, seed: int) -> Iterator[tuple[int, dict[str, str], bytes]]:
    """Yield so many answers: real ones, each changed up to four times, the same for a seed."""
    dice = random.Random(seed)
    for _ in range(number):
        body = bytearray(dice.choice(BODIES))
        for _ in range(dice.randrange(5)):
            dice.choice(MUTATIONS)(dice, body)
            body = body or bytearray(b"{")
        headers = {
            "Content-Type": dice.choice(["", "text/html", "application/json; charset=utf-16"])
        }
        if dice.random() < 0.2:
            headers["Retry-After"] = dice.choice(["5", "", "soon", "9" * 30])
        yield dice.choice(STATUSES), headers, bytes(body)


Outcome = WireAnswer | QueuedAnswer | QwenImageError


def outcome(
    read: Callable[..., Outcome], status: int, headers: dict[str, str], body: bytes
) -> Outcome:
    """Return what an answer is read as."""
    try:
        return read(status, headers, body, secret=SECRET, base_url=BASE)
    except QwenImageError as error:
        return error


def check(status: int, headers: dict[str, str], body: bytes) -> None:
    """Hold the laws of an answer, read as one to a POST and as one to a poll."""
    for read in (parse_response, parse_poll):
        found = outcome(read, status, headers, body)
        if isinstance(found, QwenImageError):
            check_error(found, status, is_poll=read is parse_poll)
        else:
            assert 200 <= status < 300
            check_found(found)


def check_error(error: QwenImageError, status: int, *, is_poll: bool) -> None:
    """Hold the laws of a refusal."""
    shown = [str(error), repr(error), str(vars(error))]
    assert not [text for text in shown if SECRET in text]
    assert str(error).isprintable()
    assert len(str(error)) < 1200
    assert not (error.is_retryable and (error.may_have_been_billed or is_poll))
    assert not error.is_retryable or status in {429, 503}
    assert not (error.may_have_been_billed and "Nothing was bought" in str(error))
    assert is_poll or error.may_have_been_billed or status < 500 or status == 503


def check_found(answer: WireAnswer | QueuedAnswer) -> None:
    """Hold the laws of what was found."""
    if isinstance(answer, QueuedAnswer):
        assert answer.polling_path.startswith("/") or answer.polling_path == ""
        assert not answer.polling_path.startswith("//")
        return
    assert len(set(answer.urls)) == len(answer.urls) > 0
    assert all(url[:5].lower() in {"http:", "https", "data:"} for url in answer.urls)
    assert all(url.strip() == url for url in answer.urls)
    assert answer.billed_images >= 1
    assert all(SECRET not in warning for warning in answer.warnings)


def test_a_few_mutated_bodies_are_read() -> None:
    """Any answer gives a result, a place in a queue, or an error of the tree."""
    for answer in mutated(1500, seed=7):
        check(*answer)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_a_hundred_thousand_mutated_bodies_are_read(seed: int) -> None:
    """The same at length, in four parts."""
    for answer in mutated(25_000, seed):
        check(*answer)


_bodies = st.binary(max_size=60).flatmap(
    lambda tail: st.sampled_from(BODIES).map(lambda body: body + tail) | st.just(tail)
)


@given(st.integers(0, 999) | st.sampled_from(STATUSES), _bodies, st.text(max_size=30))
@settings(deadline=None)
def test_any_bytes_are_read(status: int, body: bytes, label: str) -> None:
    """Whatever follows an answer, and whatever it is called, the laws hold."""
    check(status, {"content-type": label}, body)


@pytest.mark.parametrize("status", [status for status in STATUSES if not 200 <= status < 300])
@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_no_image_comes_out_of_a_refusal(status: int, body: bytes) -> None:
    """An answer that is no 2xx never gives an image, whatever its body holds."""
    with pytest.raises(QwenImageError):
        parse_response(status, {}, body, base_url=BASE)
