"""One call of the client: what it sends how often, and what comes of it."""

import asyncio
import logging
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from conftest import Call
from loopback import LINK, SUCCESS, LoopbackServer, answer, free_port
from waiting import wait_until

from langchain_qwen_image import QwenImageClient, QwenImageInput
from langchain_qwen_image import errors as tree
from langchain_qwen_image.errors import QwenImageError
from langchain_qwen_image.sandbox import SandboxServer, draw_plain

KEY = "test-key-0123456789abcdef"
Open = Callable[..., QwenImageClient]


@pytest.fixture
def waits() -> list[float]:
    """Collect the seconds that clients would have waited."""
    return []


@pytest.fixture
def open_client(waits: list[float]) -> Iterator[Open]:
    """Open clients that note their waits and do not wait."""

    async def asleep(seconds: float) -> None:
        waits.append(seconds)

    clients: list[QwenImageClient] = []

    def open_one(base_url: str, **settings: Any) -> QwenImageClient:
        settings = {"api_key": KEY, "sleep": waits.append, "asleep": asleep, **settings}
        clients.append(QwenImageClient(base_url=base_url, **settings))
        return clients[-1]

    yield open_one
    for client in clients:
        client.close()


def test_a_prompt_becomes_a_result(server: SandboxServer, open_client: Open, call: Call) -> None:
    """A call gives the link, the size and the price, with what was asked."""
    result = call(open_client(server.base_url), "generate", '狐狸 🦊 "a"\n', size="512x512")
    assert (result.prompt, result.parameters.size) == ('狐狸 🦊 "a"\n', "512*512")
    assert (result.image.width, result.image.height, result.cost_usd) == (512, 512, 0.045)
    assert result.image.url is not None
    assert result.image.url.startswith(f"{server.base_url}/images/")
    assert (result.model, result.finish_reason, result.sandbox) == ("qwen-image", "stop", False)
    assert server.gateway.post_count == 1
    assert server.requests[0].body["input"]["messages"][0]["content"] == [
        {"text": "狐狸 🦊 \"a\"\n"}
    ]  # fmt: skip


@pytest.mark.parametrize(
    "prompt", ["a\x00b", "\\\"'{}</script>", "\r\n\t x", "e\u0301", "x" * 3000]
)
@pytest.mark.filterwarnings("ignore:The prompt has 3000")
def test_odd_prompts_arrive_whole(
    server: SandboxServer, open_client: Open, call: Call, prompt: str
) -> None:
    """NUL, quotes, line breaks and combining letters arrive as they were given."""
    call(open_client(server.base_url), "generate", prompt)
    sent = server.requests[0].body["input"]["messages"][0]["content"][0]["text"]
    assert sent == prompt


@pytest.mark.parametrize(
    ("prompt", "parameters"),
    [
        pytest.param("", {}, id="blank"),
        pytest.param("a \ud83e", {}, id="lone surrogate"),
        pytest.param(7, {}, id="no text"),
        pytest.param("a", {"negative_prompt": "\ud83e"}, id="lone surrogate in the negative"),
        pytest.param("a", {"size": "1664*928"}, id="size"),
        pytest.param("a", {"n": 2}, id="unknown argument"),
        pytest.param("a", {"watermark": "perhaps"}, id="odd flag"),
    ],
)
def test_bad_arguments_are_never_sent(
    server: SandboxServer, open_client: Open, call: Call, prompt: Any, parameters: dict[str, Any]
) -> None:
    """What cannot be asked is an error that lists what can, and no request."""
    with pytest.raises(
        tree.InvalidRequestError, match=r"Nothing was sent.*prompt, negative_prompt"
    ) as caught:
        call(open_client(server.base_url), "generate", prompt, **parameters)
    str(caught.value).encode()
    assert caught.value.__cause__ is None
    assert server.gateway.post_count == 0


def test_checked_arguments_are_taken(server: SandboxServer, open_client: Open, call: Call) -> None:
    """A `QwenImageInput` is taken for a prompt, and keywords win over it."""
    arguments = QwenImageInput(prompt="a fox", size="768*768", watermark=False)
    result = call(open_client(server.base_url), "generate", arguments, size="512*512")
    assert (result.parameters.size, result.parameters.watermark) == ("512*512", False)


def test_a_missing_key_sends_nothing(server: SandboxServer, open_client: Open, call: Call) -> None:
    """Without a key a client can be made, and its first call is an error."""
    client = open_client(server.base_url, api_key=None)
    with pytest.raises(tree.ConfigurationError, match="PIXAZO_API_KEY"):
        call(client, "generate", "a fox")
    assert server.gateway.post_count == 0


def test_several_images_cost_each(server: SandboxServer, open_client: Open, call: Call) -> None:
    """Every image of an answer is in the result, and in its price."""
    client = open_client(server.base_url, price_usd=0.1)
    result = call(client, "generate", "sandbox:two-images")
    assert (len(result.images), result.cost_usd) == (2, 0.2)


@pytest.mark.parametrize("scenario", ["data-uri", "upstream-usage"])
def test_other_successes(
    server: SandboxServer, open_client: Open, call: Call, scenario: str
) -> None:
    """Upstream's way to word a success is one, and so is an image inside the answer."""
    result = call(open_client(server.base_url), "generate", f"sandbox:{scenario}", size="512*512")
    assert (result.image.width, result.image.height) == (512, 512)
    assert result.image.url[:5] == ("data:" if scenario == "data-uri" else "http:")


@pytest.mark.parametrize(
    ("prompt", "negative", "count"),
    [("x" * 800, "x" * 500, 0), ("x" * 801, "", 1), ("x", "x" * 501, 1), ("x" * 801, "x" * 501, 2)],
    ids=["at the limits", "prompt", "negative prompt", "both"],
)
def test_what_is_cut_off_upstream_is_warned_of_once(
    server: SandboxServer, open_client: Open, call: Call, prompt: str, negative: str, count: int
) -> None:
    """A text that upstream cuts off gives one warning a call, repeats included."""
    server.script("503-once", "ok")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(open_client(server.base_url), "generate", prompt, negative_prompt=negative)
    assert [one.category for one in caught] == [UserWarning] * count
    assert server.requests[-1].body["parameters"]["negative_prompt"] == negative


# How often it is sent, and what the waits are: exact seconds, or a tuple of the upper ends.
TIMES = [
    pytest.param(429, {"Retry-After": "7"}, tree.RateLimitError, [7.0, 7.0], id="429 in 7 s"),
    pytest.param(429, {"Retry-After": "60"}, tree.RateLimitError, [60.0, 60.0], id="429 in 60 s"),
    pytest.param(429, {"Retry-After": "0"}, tree.RateLimitError, [0.0, 0.0], id="429 at once"),
    pytest.param(429, {}, tree.RateLimitError, (1.25, 2.5), id="429"),
    pytest.param(429, {"Retry-After": "¹"}, tree.RateLimitError, (1.25, 2.5), id="429 odd"),
    pytest.param(429, {"Retry-After": "61"}, tree.RateLimitError, [], id="429 in 61 s"),
    pytest.param(503, {"Retry-After": "1"}, tree.ServerError, [1.0, 1.0], id="503 in 1 s"),
    pytest.param(503, {"Retry-After": "61"}, tree.ServerError, [], id="503 in 61 s"),
    pytest.param(503, {}, tree.ServerError, [], id="503"),
    pytest.param(500, {"Retry-After": "1"}, tree.ServerError, [], id="500"),
    pytest.param(502, {}, tree.ServerError, [], id="502"),
    pytest.param(504, {}, tree.ServerError, [], id="504"),
    pytest.param(522, {}, tree.ServerError, [], id="522"),
    pytest.param(400, {}, tree.InvalidRequestError, [], id="400"),
    pytest.param(401, {}, tree.AuthenticationError, [], id="401"),
    pytest.param(402, {}, tree.QuotaExceededError, [], id="402"),
    pytest.param(403, {}, tree.PermissionDeniedError, [], id="403"),
    pytest.param(403, {"Retry-After": "1"}, tree.QuotaExceededError, [], id="403 in 1 s"),
    pytest.param(404, {}, tree.NotFoundError, [], id="404"),
    pytest.param(408, {"Retry-After": "1"}, tree.InvalidRequestError, [], id="408"),
    pytest.param(307, {"Location": "/"}, tree.NotFoundError, [], id="307"),
    pytest.param(308, {"Location": "/"}, tree.NotFoundError, [], id="308"),
    pytest.param(200, {}, tree.MalformedResponseError, [], id="malformed"),
]


@pytest.mark.parametrize(("status", "headers", "kind", "expected"), TIMES)
def test_how_often_a_post_is_sent(
    open_client: Open,
    call: Call,
    waits: list[float],
    status: int,
    headers: dict[str, str],
    kind: type[QwenImageError],
    expected: Any,
) -> None:
    """A POST is repeated only where it bought nothing, after exactly the wait that is asked for."""
    begun = time.monotonic()
    with LoopbackServer(answer(status, b"Said.", **headers)) as gateway:
        with pytest.raises(kind) as caught:
            call(open_client(gateway.base_url), "generate", "a fox")
        assert len(gateway.posts) == 1 + len(expected)
    took = time.monotonic() - begun  # is waited too
    assert caught.value.status_code == status
    assert sum(waits) <= sum(expected)
    if isinstance(expected, list):
        assert sum(waits) >= sum(expected) - took
    asked = headers.get("Retry-After", "")
    assert caught.value.retry_after == (float(asked) if asked.isascii() and asked else None)


def test_jitter_differs(open_client: Open, waits: list[float]) -> None:
    """Waits that nobody asked for are random."""
    waited = set()
    for _ in range(10):
        with LoopbackServer(answer(429, b"")) as gateway, pytest.raises(tree.RateLimitError):
            open_client(gateway.base_url, max_retries=1).generate("a fox")
        waited.add(round(sum(waits), 2))
        waits.clear()
    assert len(waited) > 2


@pytest.mark.parametrize(("max_retries", "posts"), [(0, 1), (1, 2), (5, 6)])
def test_the_number_of_retries_is_the_operators(
    open_client: Open, call: Call, max_retries: int, posts: int
) -> None:
    """`max_retries` counts the extra attempts."""
    with LoopbackServer(answer(429, b"", Retry_After="0")) as gateway:
        with pytest.raises(tree.RateLimitError):
            call(open_client(gateway.base_url, max_retries=max_retries), "generate", "a fox")
        assert len(gateway.posts) == posts


def test_a_success_after_refusals(open_client: Open, call: Call, waits: list[float]) -> None:
    """A repeat that succeeds is a success, and the last."""
    begun = time.monotonic()
    error_bodys = answer(429, b"", Retry_After="3"), answer(503, b"", Retry_After="4")
    with LoopbackServer(*error_bodys, answer()) as gateway:
        assert call(open_client(gateway.base_url), "generate", "a fox").image.url == LINK
        assert len(gateway.posts) == 3
        assert len(set(gateway.posts)) == 1
    assert sum(waits) == pytest.approx(7.0, abs=time.monotonic() - begun)


def test_a_doubt_ends_the_attempts(open_client: Open, call: Call, waits: list[float]) -> None:
    """After a refusal that bought nothing, an answer that leaves doubt is the last."""
    with LoopbackServer(answer(429, b""), answer(500, b""), answer()) as gateway:
        with pytest.raises(tree.ServerError):
            call(open_client(gateway.base_url), "generate", "a fox")
        assert len(gateway.posts) == 2
    assert 0 < sum(waits) <= 1.25


CUT = answer()[:-20]
FAULTS = [
    pytest.param(b"", tree.RequestTimeoutError, None, id="closed before any answer"),
    pytest.param(b"HTTP/1.1 200", tree.RequestTimeoutError, None, id="closed in the status line"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-", tree.RequestTimeoutError, None, id="in headers"),
    pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n\r\n", tree.RequestTimeoutError, None, id="no HTTP"),
    pytest.param(CUT, tree.RequestTimeoutError, 200, id="body cut short"),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"out",
        tree.RequestTimeoutError, 200, id="chunks cut short",
    ),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        tree.RequestTimeoutError, 200, id="chunks broken",
    ),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Encoding: gzip\r\n\r\nabc",
        tree.MalformedResponseError, 200, id="no gzip",
    ),
    pytest.param(
        b"HTTP/1.1 500 No\r\nContent-Length: 99\r\n\r\nhalf", tree.ServerError, 500, id="500 cut",
    ),
    pytest.param(
        b"HTTP/1.1 401 No\r\nContent-Length: 99\r\n\r\nhalf",
        tree.AuthenticationError, 401, id="401 cut short",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("said", "kind", "status"), FAULTS)
def test_a_broken_answer_is_never_asked_for_again(
    open_client: Open, call: Call, said: bytes, kind: type[QwenImageError], status: int | None
) -> None:
    """Whatever breaks after the request has left, there is one POST, and the error says so."""
    with LoopbackServer(said, hangs_up=True) as gateway:
        with pytest.raises(kind) as caught:
            call(open_client(gateway.base_url), "generate", "a fox")
        assert len(gateway.posts) == 1
    assert caught.value.status_code == status
    assert caught.value.is_retryable is False
    assert caught.value.may_have_been_billed is (kind is not tree.AuthenticationError)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize("scenario", ["timeout", "drop", "reset", "truncated", "drip"])
def test_an_answer_that_does_not_come_is_never_asked_for_again(
    open_client: Open, call: Call, waits: list[float], scenario: str
) -> None:
    """No answer, a lost connection, or a drip beyond the deadline: one POST, perhaps billed."""
    with SandboxServer(draw=draw_plain, drip_seconds=0.05) as gateway:
        with pytest.raises(tree.RequestTimeoutError) as caught:
            call(open_client(gateway.base_url, timeout=0.3), "generate", f"sandbox:{scenario}")
        wait_until(lambda: gateway.gateway.post_count)
        assert gateway.gateway.post_count == 1
    assert caught.value.may_have_been_billed
    assert not caught.value.is_retryable
    assert "may have been billed" in str(caught.value)
    assert waits == []


def test_the_deadline_holds_for_headers(open_client: Open, call: Call) -> None:
    """Headers that come a byte at a time do not stretch the deadline."""
    with _Dripping(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 1000) as gateway:
        with pytest.raises(tree.RequestTimeoutError, match=r"within 0\.3 s"):
            call(open_client(gateway.base_url, timeout=0.3), "generate", "a fox")
        wait_until(lambda: gateway.accepts)
        assert gateway.accepts == 1


@pytest.mark.parametrize("twin", ["sync", "async"])
def test_the_deadline_holds_for_a_body_through_the_callers_client(
    twin: str, library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the caller's own client a dripping body ends soon after the deadline as well."""
    monkeypatch.setattr("langchain_qwen_image.pipeline.sender.CONNECT_SECONDS", 1.0)
    start = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    with _Dripping(b"x" * 1000, at_once=start) as gateway:
        settings: Any = {"api_key": KEY, "base_url": gateway.base_url, "timeout": 0.3}

        def run() -> None:
            with library.Client() as own:
                QwenImageClient(http_client=own, **settings).generate("a fox")

        async def arun() -> None:
            async with library.AsyncClient() as own:
                await QwenImageClient(http_async_client=own, **settings).agenerate("a fox")

        with pytest.raises(tree.RequestTimeoutError):
            run() if twin == "sync" else asyncio.run(arun())
        wait_until(lambda: gateway.accepts)
        assert gateway.accepts == 1


class _Dripping(LoopbackServer):
    """Says its answer a byte at a time."""

    def __init__(self, said: bytes, at_once: bytes = b"") -> None:
        self._said, self._at_once = said, at_once
        self._stop = threading.Event()
        super().__init__()

    def _converse(self, connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(self._at_once)
        for value in self._said:
            if self._stop.wait(0.05):
                return
            connection.sendall(bytes([value]))

    def __exit__(self, *details: Any) -> None:
        self._stop.set()
        super().__exit__(*details)


def test_a_refused_connection_is_tried_again(
    open_client: Open, call: Call, waits: list[float]
) -> None:
    """Where nothing listens nothing was bought: three attempts, then an error that says so."""
    with pytest.raises(tree.ConnectionFailedError) as caught:
        call(open_client(f"http://127.0.0.1:{free_port()}"), "generate", "a fox")
    assert len(waits) == 2
    assert caught.value.is_retryable
    assert not caught.value.may_have_been_billed
    assert "nothing was sent" in str(caught.value)


def test_a_gateway_that_comes_up_is_asked_once(waits: list[float], call: Call) -> None:
    """A refused connection costs a wait; the first POST that leaves is the only one."""
    port = free_port()
    gateways: list[SandboxServer] = []

    def start(_: float) -> None:
        gateways.append(SandboxServer(port, draw=draw_plain))

    async def astart(seconds: float) -> None:
        start(seconds)

    address = f"http://127.0.0.1:{port}"
    with QwenImageClient(api_key=KEY, base_url=address, sleep=start, asleep=astart) as client:
        assert call(client, "generate", "a fox").image.url
    assert [gateway.gateway.post_count for gateway in gateways] == [1]
    gateways[0].close()


def test_an_unknown_host_is_tried_again(
    open_client: Open, call: Call, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that does not resolve means that nothing was sent."""
    asked = []

    def getaddrinfo(host: str | bytes, *args: Any, **kwargs: Any) -> Any:
        asked.append(host if isinstance(host, str) else host.decode())
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(tree.ConnectionFailedError, match="could not be reached") as caught:
        call(open_client("https://gateway.invalid"), "generate", "a fox")
    assert asked == ["gateway.invalid"] * 3
    assert len(waits) == 2
    assert not caught.value.may_have_been_billed


@pytest.mark.parametrize(
    "base_url",
    ["https://xn--zz.example:443/" + "a" * 70_000, "https://xn--/", "https://xn--a.example"],
    ids=["long", "no name", "no such name"],
)
def test_an_address_that_httpx_cannot_use(open_client: Open, call: Call, base_url: str) -> None:
    """An address that cannot be parsed is a setting that cannot work."""
    with pytest.raises(tree.ConfigurationError, match="base_url"):
        call(open_client(base_url), "generate", "a fox")


def test_the_sandbox_needs_nothing(call: Call) -> None:
    """`sandbox=True` answers without key and socket, costs nothing, and repeats as ever."""
    slept: list[float] = []

    async def asleep(seconds: float) -> None:
        slept.append(seconds)

    begun = time.monotonic()
    client = QwenImageClient(sandbox=True, sleep=slept.append, asleep=asleep)
    result = call(client, "generate", "a fox", size="512*512")
    assert (result.sandbox, result.cost_usd) == (True, 0)
    with pytest.raises(tree.RateLimitError):
        call(client, "generate", "sandbox:429")
    assert sum(slept) == pytest.approx(2.0, abs=time.monotonic() - begun)


def test_the_sandbox_wins_over_the_callers_client(call: Call) -> None:
    """With `sandbox=True` nothing goes through a client of the caller's."""
    with httpx.Client(transport=httpx.MockTransport(_never)) as own:
        client = QwenImageClient(sandbox=True, http_client=own)
        assert call(client, "generate", "a fox").sandbox


def _never(request: httpx.Request) -> httpx.Response:
    raise AssertionError(request.url)


def test_attempts_and_waits_are_logged(
    open_client: Open, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    """Each attempt and wait leaves a line, at DEBUG and INFO of the one logger."""
    caplog.set_level(logging.DEBUG, logger="langchain_qwen_image")
    with LoopbackServer(answer(429, b"", Retry_After="3"), answer()) as gateway:
        call(open_client(gateway.base_url), "generate", "a fox")
    ours = [record for record in caplog.records if record.name == "langchain_qwen_image"]
    assert [record.levelname for record in ours] == ["DEBUG", "DEBUG", "INFO", "DEBUG", "DEBUG"]
    assert "next in 3.0 s" in ours[2].getMessage()
    assert "Signature" not in caplog.text


def test_our_logger_is_quiet(open_client: Open, capsys: pytest.CaptureFixture[str]) -> None:
    """A call prints nothing by default."""
    with LoopbackServer(answer(429, b"", Retry_After="3"), answer(200, SUCCESS)) as gateway:
        open_client(gateway.base_url).generate("a fox")
    assert capsys.readouterr() == ("", "")
