"""A queue in front of the model: what is asked for, where, how often, and what ends it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import LINK, SUCCESS

from langchain_qwen_image import errors as tree
from langchain_qwen_image.errors import MalformedResponseError, QwenImageError
from langchain_qwen_image.wire.answer import QueuedAnswer, WireAnswer
from langchain_qwen_image.wire.response import parse_poll, parse_response
from langchain_qwen_image.wire.retry import poll_delay, retry_delay

BASE = "https://gateway.example"
SECRET = "sk_live_0123456789abcdef"
ID = "qwen-image_5a4e0b1d"
PATH = f"/v2/requests/status/{ID}"
QUEUED = {"request_id": ID, "status": "QUEUED", "polling_url": BASE + PATH}


def encoded(body: object) -> bytes:
    """Return a body; bytes as they are, anything else as JSON."""
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def post(body: object, status: int = 202, base_url: str = BASE, **headers: str) -> Any:
    """Read the answer to a POST."""
    return parse_response(status, headers, encoded(body), secret=SECRET, base_url=base_url)


def poll(body: object, status: int = 200, **headers: str) -> Any:
    """Read the answer to a poll of `PATH`."""
    return parse_poll(
        status, headers, encoded(body), secret=SECRET, base_url=BASE, polling_path=PATH
    )


@pytest.mark.parametrize("status", [200, 201, 202])
@pytest.mark.parametrize(
    "state",
    ["QUEUED", "PROCESSING", "IN_QUEUE", "IN_PROGRESS", "in progress", "in-progress", "pending",
     "Running", "starting", "SUBMITTED", "InProgress", "inQueue", "UPLOADING", "WARMING_UP"],
)  # fmt: skip
def test_a_queue_is_judged_by_the_body(status: int, state: str) -> None:
    """A pending state and an address to ask are a place in a queue, with 200 as with 202."""
    answer = post({**QUEUED, "status": state}, status, **{"Retry-After": "3"})
    assert isinstance(answer, QueuedAnswer)
    assert (answer.request_id, answer.polling_path, answer.retry_after) == (ID, PATH, 3.0)
    assert answer.status == state.upper().replace(" ", "_").replace("-", "_")


@pytest.mark.parametrize(
    "body",
    [
        {"output": {**QUEUED}},
        {"data": {**QUEUED}},
        {"output": {"task_status": "PENDING"}, "polling_url": PATH, "request_id": ID},
        {"request_id": ID, "state": "queued", "pollingUrl": PATH},
        {"request_id": ID, "status": "queued", "status_url": BASE + PATH},
        {"request_id": ID, "polling_url": PATH},
        [QUEUED],
        {**QUEUED, "error": None, "output": None},
        {**QUEUED, "imageUrl": LINK},
        {"Request_Id": ID, "request_id": ID, "Status": "Queued", "PollingUrl": PATH},
        {"request_id": ID, "response": {"status": "QUEUED"}, "polling_url": PATH},
        {"request_id": ID, "job": {"job_status": "queued", "poll-url": PATH}},
        {"request_id": ID, "status": "starting", "urls": {"cancel": "/c", "get": BASE + PATH}},
        {**QUEUED, "status": "ALLOCATED"},
        f'data: {{"status": "PROCESSING"}}\n\ndata: {json.dumps(QUEUED)}\n\n'.encode(),
        f"data: {json.dumps(QUEUED)}\n\ndata: {{\"type\": \"ping\"}}\n\n".encode(),
    ],
    ids=["output", "data", "task", "camel case", "status_url", "202 alone", "list", "null error",
         "a link beside it", "capitals", "response", "job", "urls.get", "unknown state of a 202",
         "two frames", "a frame behind it"],
)  # fmt: skip
def test_a_queue_is_read_in_its_other_shapes(body: object) -> None:
    """State and address may be elsewhere, and a 202 says pending itself."""
    answer = post(body)
    assert isinstance(answer, QueuedAnswer)
    assert answer.polling_path == PATH


@pytest.mark.parametrize(
    ("address", "base_url", "path"),
    [
        pytest.param(f"{BASE}/s/1?a=b%2F", BASE, "/s/1?a=b%2F", id="query"),
        pytest.param(f"{BASE}/s/1#x", BASE, "/s/1", id="fragment"),
        pytest.param("http://gateway.example/s/1", BASE, "/s/1", id="http"),
        pytest.param("http://gateway.example:80/s/1", BASE, "/s/1", id="http with its port"),
        pytest.param("https://gateway.example:443/s/1", BASE, "/s/1", id="https with its port"),
        pytest.param("https://GATEWAY.example/s/1", BASE, "/s/1", id="capitals"),
        pytest.param("//gateway.example/s/1", BASE, "/s/1", id="no scheme"),
        pytest.param("/s/1", BASE, "/s/1", id="path"),
        pytest.param(f" {BASE}/s/1\n", BASE, "/s/1", id="blanks"),
        pytest.param(f"{BASE}//evil.example/s", BASE, "/evil.example/s", id="two slashes"),
        pytest.param("/s/1", "http://127.0.0.1:8765", "/s/1", id="path on loopback"),
        pytest.param("http://127.0.0.1:8765/s/1", "http://127.0.0.1:8765", "/s/1", id="port"),
    ],
)
def test_only_path_and_query_are_taken(address: str, base_url: str, path: str) -> None:
    """The configured gateway is asked, whatever the scheme of the address."""
    answer = post({**QUEUED, "polling_url": address}, base_url=base_url)
    assert isinstance(answer, QueuedAnswer)
    assert answer.polling_path == path


@pytest.mark.parametrize(
    ("address", "base_url"),
    [
        pytest.param("https://evil.example" + PATH, BASE, id="other host"),
        pytest.param("//evil.example" + PATH, BASE, id="other host without scheme"),
        pytest.param(f"https://gateway.example@evil.example{PATH}", BASE, id="as a user"),
        pytest.param(f"https://user:pass@gateway.example{PATH}", BASE, id="with a user"),
        pytest.param(f"https://gateway.example.evil.example{PATH}", BASE, id="as a prefix"),
        pytest.param(f"https://gateway.example:8443{PATH}", BASE, id="other port"),
        pytest.param("http://127.0.0.1:1/s", "http://127.0.0.1:8765", id="other port on loopback"),
        pytest.param("ftp://gateway.example/s", BASE, id="other scheme"),
        pytest.param("https://gateway.example\\@evil.example/s", BASE, id="backslash"),
        pytest.param("https://gateway.example/a b", BASE, id="space"),
        pytest.param("https://gateway.example/a\nb", BASE, id="line end"),
        pytest.param("https://[gateway/s", BASE, id="no address"),
        pytest.param("https://gateway.example:x/s", BASE, id="no port"),
        pytest.param("https://gateway.example", BASE, id="no path"),
        pytest.param("https://gateway.example/", BASE, id="bare path"),
        pytest.param("https:///s", BASE, id="no host"),
        pytest.param("s/1", BASE, id="relative"),
        pytest.param(BASE + PATH, "", id="no gateway"),
    ],
)
def test_another_host_is_never_asked(address: str, base_url: str) -> None:
    """An address that is not the gateway's is an error that keeps it, and may have been billed."""
    with pytest.raises(MalformedResponseError) as caught:
        post({**QUEUED, "polling_url": address}, base_url=base_url)
    error = caught.value
    assert error.polling_url == address.strip()
    assert error.may_have_been_billed
    assert (error.is_retryable, error.request_id, error.status_code) == (False, ID, 202)
    assert "evil" not in str(error)


def test_an_address_shows_no_key() -> None:
    """A polling address that echoes the key is noted without it."""
    with pytest.raises(MalformedResponseError) as caught:
        post({**QUEUED, "polling_url": f"https://evil.example/s?key={SECRET}"})
    assert caught.value.polling_url == "https://evil.example/s?key=[key]"


@pytest.mark.parametrize(
    "body",
    [{"request_id": ID, "status": "QUEUED"}, {"status": "QUEUED", "polling_url": ""},
     {"status": "QUEUED", "polling_url": 7}, {"output": {"task_status": "PENDING"}},
     {"status": "Q" * 1000, "polling_url": PATH}],
)  # fmt: skip
def test_a_queue_without_an_address_is_malformed(body: object) -> None:
    """Where nothing says where to ask, nothing can be asked; it may have been billed."""
    with pytest.raises(MalformedResponseError) as caught:
        post(body, 200)
    assert caught.value.may_have_been_billed


@pytest.mark.parametrize("body", [b"", b"Accepted", {}], ids=["nothing", "text", "empty"])
@pytest.mark.parametrize("name", ["Location", "Operation-Location", "azure-asyncoperation"])
def test_a_202_may_say_in_a_header_where_to_ask(body: object, name: str) -> None:
    """A 202 without an address in its body is asked for at its header's, at the gateway only."""
    answer = post(body, 202, **{name: BASE + PATH})
    assert isinstance(answer, QueuedAnswer)
    assert (answer.polling_path, answer.status) == (PATH, "ACCEPTED")
    for status, address in ((200, BASE + PATH), (202, f"https://evil.example{PATH}")):
        with pytest.raises(MalformedResponseError):
            post(body, status, **{name: address})


@pytest.mark.parametrize("state", ["COMPLETED", "succeeded", "EXPIRED"])
def test_an_end_is_not_waited_for(state: str) -> None:
    """A 202 whose task came to an end without an image is not asked again."""
    with pytest.raises(QwenImageError):
        post({**QUEUED, "status": state})


@pytest.mark.parametrize("wrap", [lambda one: one, json.dumps], ids=["JSON", "JSON in a string"])
def test_the_last_frame_with_a_state_counts(wrap: Any) -> None:
    """Frames of progress before an image, in whatever shape it came, do not hide it."""
    done = {"status": "COMPLETED", "output": {"media_url": [LINK]}}
    frames = [QUEUED, {"status": "PROCESSING"}, done, {"type": "end"}]
    body = "".join(f"data: {json.dumps(wrap(frame))}\n\n" for frame in frames).encode()
    for answer in (post(body, 200), poll(body)):
        assert isinstance(answer, WireAnswer)
        assert (answer.urls, answer.is_candidate) == ((LINK,), True)


def test_an_image_is_not_waited_for() -> None:
    """An image that came wins over a state that says it is still to come."""
    assert isinstance(post({**SUCCESS, **QUEUED}, 200), WireAnswer)


@pytest.mark.parametrize(
    "body",
    [SUCCESS, {"status": "COMPLETED", "error": None, "output": {"media_url": [LINK]}},
     {"status": "COMPLETED", "images": [{"url": LINK}]}, {**QUEUED, **SUCCESS}],
)  # fmt: skip
def test_a_poll_reads_an_image_as_a_post_does(body: object) -> None:
    """What a finished task answers is read in every shape."""
    answer = poll(body)
    assert isinstance(answer, WireAnswer)
    assert answer.urls == (LINK,)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        pytest.param({"status": "PROCESSING"}, PATH, id="no address"),
        pytest.param({**QUEUED, "polling_url": "/v3/s"}, "/v3/s", id="a new address"),
        pytest.param({**QUEUED, "polling_url": "https://evil.example/s"}, PATH, id="elsewhere"),
        pytest.param(b"", PATH, id="nothing"),
        pytest.param(b"<html>One moment</html>", PATH, id="page"),
        pytest.param(b"OK", PATH, id="text"),
    ],
)
def test_a_poll_that_says_nothing_new(body: object, path: str) -> None:
    """Not yet, or nothing that is an answer: the same place is asked again."""
    answer = poll(body, **{"Retry-After": "4"})
    assert isinstance(answer, QueuedAnswer)
    assert (answer.polling_path, answer.retry_after) == (path, 4.0)
    assert poll_delay(answer, poll=1, jitter=0.5) == 4.0


FAILED = {
    "FAILED": ({"status": "FAILED", "error": "The model could not."}, tree.ServerError),
    "ERROR": ({"status": "ERROR", "error": None}, tree.ServerError),
    "failed": ({"status": "failed"}, tree.ServerError),
    "task": ({"output": {"task_status": "FAILED", "message": "x y"}}, tree.ServerError),
    "moderation": (
        {"output": {"task_status": "FAILED", "code": "DataInspectionFailed", "message": "No."}},
        tree.ContentRejectedError,
    ),
    "money": ({"status": "FAILED", "error": "Insufficient balance"}, tree.QuotaExceededError),
    "rate": ({"status": "FAILED", "error": "Rate limit exceeded"}, tree.RateLimitError),
    "object": ({"status": "ERROR", "error": {"message": "A b c."}}, tree.ServerError),
}


@pytest.mark.parametrize(("body", "kind"), FAILED.values(), ids=FAILED)
@pytest.mark.parametrize("ask", [post, poll])
def test_a_failed_task_is_not_charged(
    ask: Any, body: dict[str, object], kind: type[QwenImageError]
) -> None:
    """The owner does not charge a task that failed; it ends the call and is not repeated."""
    with pytest.raises(kind) as caught:
        ask(body, 200)
    error = caught.value
    assert (error.may_have_been_billed, error.is_retryable) == (False, False)
    assert "not charged" in str(error)
    assert poll_delay(error, poll=3, jitter=0.5) is None
    assert retry_delay(error, attempt=1, max_retries=2, jitter=0.5) is None


@pytest.mark.parametrize("state", ["CANCELLED", "EXPIRED", "TIMEOUT", "error"])
def test_an_end_that_the_owner_does_not_speak_of(state: str) -> None:
    """Of other ends nobody says that they are not charged."""
    with pytest.raises(QwenImageError) as caught:
        post({"status": state}, 200)
    assert caught.value.may_have_been_billed


def test_a_failed_task_in_a_5xx_may_be_billed() -> None:
    """A 5xx is a proxy's word as well as the queue's."""
    with pytest.raises(QwenImageError) as caught:
        post({"status": "FAILED", "error": "It broke."}, 500)
    assert caught.value.may_have_been_billed


POLLS = [
    (404, {"error": "Request not found"}, {}, True),
    (429, {"statusCode": 429, "message": "Rate limit is exceeded."}, {}, True),
    (429, {"message": "Try again in 26 seconds."}, {}, 26.0),
    (429, {}, {"Retry-After": "7"}, 7.0),
    (429, {}, {"Retry-After": "0"}, 1.0),
    (500, b"Error processing request", {}, True),
    (502, b"<html>Bad Gateway</html>", {}, True),
    (503, {}, {"Retry-After": "9"}, 9.0),
    (503, {}, {}, True),
    (504, b"", {}, True),
    (200, {"statusCode": 429, "message": "Rate limit is exceeded."}, {}, True),
    (401, {"error": "Invalid or missing authentication"}, {}, False),
    (403, {"error": "Access denied for this operation"}, {}, False),
    (403, {"message": "Out of call volume quota."}, {"Retry-After": "5"}, False),
    (402, {"error": "Out of credits"}, {}, False),
    (400, {"error": "Invalid request"}, {}, False),
    (410, {"error": "Gone"}, {}, False),
    (302, b"", {"Location": "https://evil.example/"}, False),
    (200, {"status": "COMPLETED", "output": None}, {}, False),
    (200, {"error": "Something new happened here."}, {}, False),
]


@pytest.mark.parametrize(
    ("status", "body", "headers", "again"),
    [pytest.param(*row, id=f"{number}-{row[0]}") for number, row in enumerate(POLLS)],
)
def test_which_polls_are_repeated(
    status: int, body: object, headers: dict[str, str], again: bool | float
) -> None:
    """404, 429, 5xx are asked again at their own pace; 401 and 403 end the wait, not the call."""
    with pytest.raises(QwenImageError) as caught:
        poll(body, status, **headers)
    error = caught.value
    seconds = poll_delay(error, poll=0, jitter=0.5)
    assert (seconds is not None) == bool(again)
    assert not isinstance(again, float) or seconds == again
    assert error.may_have_been_billed
    assert not error.is_retryable
    assert "Nothing was bought" not in str(error)


def test_a_poll_that_moderation_refuses_is_over() -> None:
    """Moderation speaks of the image itself, so its refusal ends the call without a cost."""
    with pytest.raises(tree.ContentRejectedError) as caught:
        poll({"code": "DataInspectionFailed", "message": "No."}, 400)
    assert not caught.value.may_have_been_billed
    assert poll_delay(caught.value, poll=0, jitter=0.5) is None


@pytest.mark.parametrize(
    "error",
    [tree.ConnectionFailedError("x"), tree.RequestTimeoutError("x")],
    ids=lambda error: type(error).__name__,
)
def test_a_lost_poll_is_repeated(error: QwenImageError) -> None:
    """Polling is free, so what is lost on the way is asked again."""
    assert poll_delay(error, poll=0, jitter=0.5) == 1.0


def test_the_pace_is_calm() -> None:
    """Polls begin after a second, grow to ten seconds, and spread out by a tenth to each side."""
    queued = QueuedAnswer(ID, PATH, "QUEUED")
    paces = [poll_delay(queued, poll=number, jitter=0.5) or 0 for number in range(12)]
    assert paces == sorted(paces)
    assert (paces[0], paces[-1]) == (1.0, 10.0)
    assert poll_delay(queued, poll=10**6, jitter=1.0) == 11.0
    assert poll_delay(queued, poll=0, jitter=0.0) == 0.9


@given(st.integers(0, 50), st.floats(0, 1), st.none() | st.floats(0, 10**6))
def test_polls_never_hurry(poll: int, jitter: float, asked: float | None) -> None:
    """Whatever the gateway asks for, polls are nearly a second apart or more."""
    seconds = poll_delay(QueuedAnswer(ID, PATH, "QUEUED", asked), poll=poll, jitter=jitter)
    assert seconds is not None
    assert seconds >= 0.9
    assert asked is None or seconds >= asked


def test_the_repr_of_a_place_in_a_queue_shows_no_address() -> None:
    """An address by which anybody may ask is not in the repr."""
    assert PATH not in repr(post(QUEUED))
