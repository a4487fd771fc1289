"""The wire: what is sent, what a success says, and when a POST may be repeated."""

import json
import math
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import LINK, SUCCESS

from langchain_qwen_image import __version__
from langchain_qwen_image.errors import MalformedResponseError, QwenImageError
from langchain_qwen_image.schemas import QwenImageInput, is_blank
from langchain_qwen_image.wire.request import ENDPOINT, build_request, cut_off_warnings
from langchain_qwen_image.wire.response import parse_response
from langchain_qwen_image.wire.retry import LONGEST_WAIT, retry_delay

SECRET = "0123456789abcdef-key-of-a-test"
NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)

# The sample request of the gateway's API document.
SAMPLE = """
{
  "model": "qwen-image",
  "input": {
    "messages": [
      {
        "role": "user",
        "content": [
          {
            "text": "An elegant and solemn couplet hangs in a hall. The room has a quiet and classic Chinese decor. The left scroll reads 'Righteousness is the root of innate knowledge; humans and machines share the same path and excel in new thinking.' The right scroll reads 'Connecting clouds grants wisdom; the universe reveals numbers, inspiring lofty ambitions.' The horizontal scroll reads 'Wisdom enlightens Tongyi.' The calligraphy is flowing. A Chinese-style painting of Yueyang Tower hangs in the middle."
          }
        ]
      }
    ]
  },
  "parameters": {
    "negative_prompt": "",
    "prompt_extend": true,
    "watermark": true,
    "size": "1328*1328"
  }
}
"""  # noqa: E501


def success(content: object, **more: object) -> dict[str, object]:
    """Return a successful answer with these content parts."""
    return {"output": {"choices": [{"message": {"content": content}}]}, **more}


def parse(body: object, status: int = 200, **headers: str):
    """Parse an answer with a JSON body."""
    return parse_response(status, headers, json.dumps(body).encode(), secret=SECRET, now=NOW)


def test_the_request_is_the_documents_sample() -> None:
    """The sample's prompt alone gives the sample's body, byte for byte but for spaces."""
    sample = json.loads(SAMPLE)
    prompt = sample["input"]["messages"][0]["content"][0]["text"]
    wire = build_request("https://gateway.example", SECRET, QwenImageInput(prompt=prompt))
    assert wire.body == json.dumps(sample, separators=(",", ":")).encode()
    assert wire.url == ("https://gateway.example/qwen-image/v1/generateMultimodeTextToImageRequest")
    assert dict(wire.headers) == {
        "Content-Type": "application/json",
        "Cache-Control": "no-cache",
        "Ocp-Apim-Subscription-Key": SECRET,
        "User-Agent": f"langchain-qwen-image/{__version__}",
        "Accept-Encoding": "gzip, deflate",
    }


def test_all_four_parameters_are_sent() -> None:
    """Every parameter goes out as it was given."""
    arguments = QwenImageInput(
        prompt="a fox", negative_prompt="fog", prompt_extend=False, watermark=False, size="512x512"
    )
    body = json.loads(build_request("https://g.example", SECRET, arguments).body)
    assert body["parameters"] == {
        "negative_prompt": "fog",
        "prompt_extend": False,
        "watermark": False,
        "size": "512*512",
    }


@given(st.text(min_size=1).filter(lambda text: not is_blank(text)), st.text())
def test_prompts_go_out_as_they_came(prompt: str, negative: str) -> None:
    """Any text, in UTF-8, comes out at the other end unchanged."""
    arguments = QwenImageInput(prompt=prompt, negative_prompt=negative)
    body = json.loads(build_request("https://g.example", SECRET, arguments).body.decode("utf-8"))
    assert body["input"] == {"messages": [{"role": "user", "content": [{"text": prompt}]}]}
    assert body["parameters"]["negative_prompt"] == negative
    assert list(body) == ["model", "input", "parameters"]


def test_utf8_is_not_escaped() -> None:
    """Chinese and emoji go out as themselves, as the document's clients send them."""
    body = build_request("https://g.example", SECRET, QwenImageInput(prompt="岳阳楼 🦊")).body
    assert "岳阳楼 🦊".encode() in body


def test_the_request_hides_its_key() -> None:
    """The repr of a request has no key; the request itself knows it."""
    wire = build_request("https://g.example", SECRET, QwenImageInput(prompt="a fox"))
    assert SECRET not in repr(wire)
    assert wire.key == SECRET


@pytest.mark.parametrize(
    ("prompt", "negative", "named"),
    [
        pytest.param(800, 500, [], id="at both limits"),
        pytest.param(801, 0, ["prompt has 801"], id="long prompt"),
        pytest.param(1, 501, ["negative prompt has 501"], id="long negative prompt"),
        pytest.param(801, 501, ["prompt has 801", "negative prompt has 501"], id="both"),
    ],
)
def test_what_upstream_cuts_off_is_said(prompt: int, negative: int, named: list[str]) -> None:
    """More than 800 or 500 characters give one sentence each."""
    arguments = QwenImageInput(prompt="狐" * prompt, negative_prompt="雾" * negative)
    said = cut_off_warnings(arguments)
    assert len(said) == len(named)
    for sentence, name in zip(said, named, strict=True):
        assert name in sentence
        assert "All of it is sent" in sentence


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(SUCCESS, (LINK,), id="document"),
        pytest.param({**SUCCESS, "success": True}, (LINK,), id="success key"),
        pytest.param({**SUCCESS, "code": ""}, (LINK,), id="empty code"),
        pytest.param({**SUCCESS, "code": None, "message": None}, (LINK,), id="null code"),
        pytest.param({**SUCCESS, "code": 200, "message": "ok"}, (LINK,), id="code 200"),
        pytest.param({**SUCCESS, "statusCode": 200}, (LINK,), id="statusCode 200"),
        pytest.param({**SUCCESS, "error": None}, (LINK,), id="null error"),
        pytest.param({**SUCCESS, "error": ""}, (LINK,), id="empty error"),
        pytest.param(success([{"image": "a"}, {"image": LINK}]), (LINK,), id="one is no link"),
        pytest.param(
            success([{"image": LINK}, {"text": "done"}, {"image": "http://h/b.png"}]),
            (LINK, "http://h/b.png"),
            id="several images and a text",
        ),
        pytest.param(
            success([{"image": "data:image/png;base64,AA=="}], usage={"input_tokens": 0}),
            ("data:image/png;base64,AA==",),
            id="data URI",
        ),
        pytest.param(success([{"image": "DATA:image/png,x"}]), ("DATA:image/png,x",), id="DATA"),
        pytest.param(success([None, 3, "x", {"image": 4}, {"image": LINK}]), (LINK,), id="odd"),
        pytest.param(
            {"output": {"choices": [None, {"message": None}, *SUCCESS["output"]["choices"]]}},
            (LINK,),
            id="odd choices",
        ),
        pytest.param(
            success([{"image": LINK}], usage="none", request_id=7, output2=[]),
            (LINK,),
            id="odd top",
        ),
        pytest.param(
            {
                "output": {
                    "choices": [
                        {"message": {"content": [{"image": "https://h/1"}]}},
                        {"message": {"content": [{"image": "https://h/2"}]}},
                    ],
                    "task_metric": 3,
                }
            },
            ("https://h/1", "https://h/2"),
            id="several choices",
        ),
    ],
)
def test_every_success_gives_every_image(body: object, expected: tuple[str, ...]) -> None:
    """Whatever stands around the images, all of them are read, in order and unchanged."""
    assert parse(body).urls == expected


@pytest.mark.parametrize("status", [200, 201, 202, 299])
def test_any_2xx_may_be_a_success(status: int) -> None:
    """An image that came is an image, whichever 2xx it came with."""
    assert parse(SUCCESS, status).urls == (LINK,)


def test_a_byte_order_mark_is_no_error() -> None:
    """JSON with a UTF-8 byte order mark is JSON."""
    body = b"\xef\xbb\xbf" + json.dumps(SUCCESS).encode()
    assert parse_response(200, {}, body).urls == (LINK,)


@pytest.mark.parametrize(
    ("usage", "size"),
    [
        pytest.param({"width": 1328, "height": 512}, (1328, 512), id="document"),
        pytest.param({"output_width": 768, "output_height": 512}, (768, 512), id="upstream"),
        pytest.param({}, (None, None), id="empty"),
        pytest.param(None, (None, None), id="absent"),
        pytest.param({"width": "1328", "height": -1}, (None, None), id="odd"),
        pytest.param({"width": 0, "height": 0, "output_width": 9}, (9, None), id="zero"),
        pytest.param({"width": True, "height": 1.5}, (None, None), id="no integers"),
        pytest.param([1, 2], (None, None), id="list"),
    ],
)
def test_the_size_is_read_as_far_as_it_is_said(
    usage: object, size: tuple[int | None, int | None]
) -> None:
    """Both spellings of `usage` are read; an odd one costs the size, not the image."""
    result = parse({**SUCCESS, "usage": usage})
    assert (result.width, result.height) == size


def test_the_rest_of_a_success_is_read() -> None:
    """Request id and finish reason are saved."""
    result = parse(SUCCESS)
    assert result.request_id == SUCCESS["request_id"]
    assert result.finish_reason == "stop"
    assert parse(success([{"image": LINK}])).finish_reason is None


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"   ", id="blank"),
        pytest.param(b"<html>Maintenance</html>", id="HTML"),
        pytest.param(b"\xff\xfe\x00", id="no UTF-8"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="list"),
        pytest.param(b'"https://h/a.png"', id="string"),
        pytest.param(b"{}", id="empty object"),
        pytest.param(b'{"output": {"choices": [{"fin', id="cut short"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b'{"a":' * 100_000, id="deep object"),
        pytest.param(b'{"success": true}', id="success without image"),
        pytest.param(json.dumps(success([])).encode(), id="no content"),
        pytest.param(json.dumps(success([{"text": "I cannot."}])).encode(), id="only text"),
        pytest.param(json.dumps(success([{"image": ""}])).encode(), id="empty link"),
        pytest.param(json.dumps(success([{"image": "ftp://h/a"}])).encode(), id="ftp"),
        pytest.param(json.dumps(success([{"image": "file:///etc/passwd"}])).encode(), id="file"),
        pytest.param(json.dumps(success([{"image": "https:///a.png"}])).encode(), id="no host"),
        pytest.param(json.dumps(success([{"image": "https://h/a b"}])).encode(), id="space"),
        pytest.param(json.dumps(success([{"image": "https://h/\n/a"}])).encode(), id="newline"),
        pytest.param(json.dumps(success([{"image": "https://[h/a"}])).encode(), id="no address"),
        pytest.param(json.dumps(success([{"image": "https://h/\ud800"}])).encode(), id="surrogate"),
    ],
)
def test_a_success_without_a_image_is_malformed(body: bytes) -> None:
    """A 2xx without a link that could be one is an error, perhaps billed, never repeated."""
    with pytest.raises(MalformedResponseError) as caught:
        parse_response(200, {}, body)
    assert caught.value.status_code == 200
    assert caught.value.may_have_been_billed
    assert not caught.value.is_retryable
    assert "may have been billed" in str(caught.value)


_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just(LINK)
)
_names = st.sampled_from(
    [
        "error",
        "code",
        "type",
        "message",
        "statusCode",
        "request_id",
        "activityId",
        "success",
        "output",
        "choices",
        "content",
        "image",
        "usage",
        "width",
        "height",
        "output_width",
        "task_metric",
        "finish_reason",
        "role",
        "model_config",
        "__class__",
    ]
)
_json = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(_names, inner, max_size=5)
    ),
    max_leaves=12,
)
_near_success = st.builds(
    lambda content, top: {"output": {"choices": [{"message": {"content": content}}]}, **top},
    st.lists(st.one_of(_json, st.just({"image": LINK})), max_size=3),
    st.dictionaries(_names, _json, max_size=3),
)
_bodies = st.one_of(
    st.binary(max_size=200),
    st.one_of(_json, _near_success, st.dictionaries(_names, _json)).map(
        lambda value: json.dumps(value).encode()
    ),
)
_retry_after = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["0", "60", "-1", "¹", "1e400", "1" * 400, "1.5", "1.", ".5", " 7 ", "nan", "inf", "٣",
         "Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 9999 23:59:59 -2359", "Mon, 01 Jan 0001 00",
         "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "1, 2", "+5", "0x10"]
    ),
)  # fmt: skip
_headers = st.dictionaries(st.text(max_size=10), st.text(max_size=20), max_size=3)


def outcome_of(status: int, headers: dict[str, str], body: bytes, now: datetime | None):
    """Return what an answer is read as: a result, or an error of the tree."""
    try:
        return parse_response(status, headers, body, secret=SECRET, now=now)
    except QwenImageError as error:
        return error


@given(
    status=st.one_of(st.integers(0, 999), st.sampled_from([200, 429, 503])),
    headers=_headers,
    asked=_retry_after,
    sent=_retry_after,
    body=_bodies,
    now=st.sampled_from([None, NOW]),
)
@settings(max_examples=250, deadline=None)
def test_every_answer_is_read(
    status: int, headers: dict[str, str], asked: str, sent: str, body: bytes, now: datetime | None
) -> None:
    """Any status, headers and bytes give a result with an image, or an error of the tree."""
    outcome = outcome_of(status, {**headers, "retry-AFTER": asked, "Date": sent}, body, now)
    if isinstance(outcome, QwenImageError):
        assert outcome.status_code == status
        assert outcome.retry_after is None or 0 <= outcome.retry_after < math.inf
        assert str(outcome).isprintable()
        assert len(str(outcome)) < 700
        assert outcome.may_have_been_billed or status < 500 or status == 503
        assert not outcome.is_retryable or status in {429, 503}
        assert not (outcome.is_retryable and outcome.may_have_been_billed)
    else:
        assert 200 <= status < 300
        assert outcome.urls
        assert all(url[:4].lower() in {"http", "data"} for url in outcome.urls)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        pytest.param("0", 0.0, id="none"),
        pytest.param("60", 60.0, id="a minute"),
        pytest.param(" 7 ", 7.0, id="spaces"),
        pytest.param("1.5", 1.5, id="fraction"),
        pytest.param("25280", 25280.0, id="hours"),
        pytest.param("999999999999", 999999999999.0, id="for ever"),
        pytest.param("Mon, 23 Nov 2026 12:00:30 GMT", 30.0, id="date"),
        pytest.param("Mon, 23 Nov 2026 11:00:00 GMT", 0.0, id="past date"),
        pytest.param("Mon, 23 Nov 2026 13:00:30 +0100", 30.0, id="zone"),
        pytest.param("Monday, 23-Nov-26 12:00:30 GMT", 30.0, id="RFC 850"),
        pytest.param("Mon, 23 Nov 2026 12:00:30", 30.0, id="no zone"),
        pytest.param("", None, id="empty"),
        pytest.param("-5", None, id="negative"),
        pytest.param("soon", None, id="word"),
        pytest.param("¹", None, id="superscript"),
        pytest.param("٣", None, id="Arabic digit"),
        pytest.param("1e400", None, id="exponent"),
        pytest.param("nan", None, id="nan"),
        pytest.param("Mon, 99 Nov 2026 12:00:30 GMT", None, id="no date"),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    """`Retry-After` is read as seconds or HTTP date; anything else is as if it were not there."""
    with pytest.raises(QwenImageError) as caught:
        parse({"error": "x"}, 429, **{"RETRY-after": value})
    assert caught.value.retry_after == seconds


def test_the_answers_own_date_is_the_clock() -> None:
    """A date is counted from the answer's `Date`, so a wrong clock here does no harm."""
    headers = {"Retry-After": "Mon, 23 Nov 2020 12:00:30 GMT",
               "Date": "Mon, 23 Nov 2020 12:00:10 GMT"}  # fmt: skip
    with pytest.raises(QwenImageError) as caught:
        parse({"error": "x"}, 429, **headers)
    assert caught.value.retry_after == 20.0


def test_a_date_without_a_clock_says_nothing() -> None:
    """Without `Date` and clock a date cannot be turned into seconds."""
    with pytest.raises(QwenImageError) as caught:
        parse_response(429, {"Retry-After": "Mon, 23 Nov 2020 12:00:30 GMT"}, b"")
    assert caught.value.retry_after is None


def failure(*, is_retryable: bool = True, retry_after: float | None = None) -> QwenImageError:
    """Return an error to be judged."""
    return QwenImageError("x", is_retryable=is_retryable, retry_after=retry_after)


@pytest.mark.parametrize(
    ("error", "attempt", "max_retries", "seconds"),
    [
        pytest.param(failure(is_retryable=False), 1, 2, None, id="not repeatable"),
        pytest.param(failure(is_retryable=False, retry_after=1), 1, 2, None, id="quota"),
        pytest.param(failure(), 1, 0, None, id="no retries"),
        pytest.param(failure(), 3, 2, None, id="used up"),
        pytest.param(failure(retry_after=0), 1, 2, 0.0, id="at once"),
        pytest.param(failure(retry_after=60), 1, 2, 60.0, id="longest"),
        pytest.param(failure(retry_after=60.1), 1, 2, None, id="too long"),
        pytest.param(failure(), 1, 9, 2.0, id="first backoff"),
        pytest.param(failure(), 2, 9, 4.0, id="second backoff"),
        pytest.param(failure(), 4, 9, 16.0, id="fourth backoff"),
        pytest.param(failure(), 5, 9, 20.0, id="longest backoff"),
        pytest.param(failure(), 5000, 9999, 20.0, id="no overflow"),
    ],
)
def test_the_retry_rule(
    error: QwenImageError, attempt: int, max_retries: int, seconds: float | None
) -> None:
    """A repeat needs a repeatable error, a retry that is left, and a wait of a minute at most."""
    given = {"attempt": attempt, "max_retries": max_retries}
    assert retry_delay(error, jitter=1.0, **given) == seconds


@given(st.integers(1, 50), st.floats(0, 1))
def test_backoff_is_full_jitter(attempt: int, jitter: float) -> None:
    """Without `Retry-After` the wait lies between nothing and the backoff of the attempt."""
    seconds = retry_delay(failure(), attempt=attempt, max_retries=50, jitter=jitter)
    assert seconds == jitter * min(20.0, 2.0**attempt)
    assert seconds <= LONGEST_WAIT


def test_the_endpoint_is_the_documents() -> None:
    """The path is the one that the document names."""
    assert ENDPOINT == "/qwen-image/v1/generateMultimodeTextToImageRequest"
