"""Answers over a real connection: what is read of them, and which of them are whole."""

import asyncio
import gzip
import json
import time
import zlib
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import httpx
import httpx2
import pytest
from loopback import SUCCESS, LoopbackServer, answer

from langchain_qwen_image.errors import (
    ConfigurationError,
    ConnectionFailedError,
    MalformedResponseError,
    RequestTimeoutError,
)
from langchain_qwen_image.transport.answer import MAX_ERROR_BYTES, RawAnswer
from langchain_qwen_image.transport.call import Call
from langchain_qwen_image.transport.pool import AsyncPool, Pool
from langchain_qwen_image.transport.post import afetch_answer, apost, fetch_answer, post
from langchain_qwen_image.transport.routes import (
    callers_async_client,
    callers_client,
    own_async_client,
    own_client,
)
from langchain_qwen_image.wire.request import WireRequest

JSON = json.dumps(SUCCESS).encode()
KEY = {"Ocp-Apim-Subscription-Key": "k"}
SECONDS: Any = {"seconds": 60}
Ask = Callable[..., RawAnswer]


def call_of(seconds: float = 60) -> Call:
    """Return a call that must end within so many seconds."""
    return Call(time.monotonic() + seconds)


def ask_own(base_url: str, call: Call, **limits: Any) -> RawAnswer:
    """Send one POST over a pool of ours."""
    pool = Pool()
    try:
        with pool.lease(base_url) as transport:
            return post(own_client, transport, wire_of(base_url), call, **SECONDS | limits)
    finally:
        pool.close()


def ask_own_async(base_url: str, call: Call, **limits: Any) -> RawAnswer:
    """Send the same in asyncio."""

    async def run() -> RawAnswer:
        async with AsyncPool().lease(base_url) as transport:
            return await apost(
                own_async_client, transport, wire_of(base_url), call, **{"seconds": 60} | limits
            )

    return asyncio.run(run())


def ask_callers(library: Any, base_url: str, call: Call, **limits: Any) -> RawAnswer:
    """Send one POST through a client of the caller's."""
    with library.Client() as client:
        return post(callers_client, client, wire_of(base_url), call, **SECONDS | limits)


def ask_callers_async(library: Any, base_url: str, call: Call, **limits: Any) -> RawAnswer:
    """Send the same in asyncio."""

    async def run() -> RawAnswer:
        async with library.AsyncClient() as client:
            return await apost(
                callers_async_client, client, wire_of(base_url), call, **{"seconds": 60} | limits
            )

    return asyncio.run(run())


def wire_of(base_url: str) -> WireRequest:
    """Return a request."""
    return WireRequest(f"{base_url}/a", KEY, b"{}")


WAYS = {
    "own": ask_own,
    "own async": ask_own_async,
    "httpx": partial(ask_callers, httpx),
    "httpx async": partial(ask_callers_async, httpx),
    "httpx2": partial(ask_callers, httpx2),
    "httpx2 async": partial(ask_callers_async, httpx2),
}


@pytest.fixture(params=list(WAYS.values()), ids=list(WAYS))
def ask(request: pytest.FixtureRequest) -> Ask:
    """Send one POST, on each of the six ways."""
    way: Ask = request.param
    return way


def chunked(*pieces: bytes, ends: bool) -> bytes:
    """Return an answer in chunks, with or without its last one."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    end = b"0\r\n\r\n" if ends else b""
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + end


def longer(body: bytes, label: str = "identity") -> bytes:
    """Return an answer that announces a few bytes more than come."""
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body) + 7}\r\nContent-Encoding: {label}\r\n"
    return head.encode() + b"\r\n" + body


WHOLE = [
    pytest.param(chunked(JSON, ends=False), JSON, id="last chunk missing"),
    pytest.param(chunked(JSON[:40], JSON[40:], b"\n", ends=False), JSON + b"\n", id="two chunks"),
    pytest.param(longer(JSON), JSON, id="length too large"),
    pytest.param(longer(gzip.compress(JSON)[:-8], "gzip"), JSON, id="gzip without its end"),
    pytest.param(b"HTTP/1.1 200 OK\r\n\r\n" + JSON, JSON, id="until the connection closes"),
]


@pytest.mark.parametrize(("said", "body"), WHOLE)
def test_what_is_whole_by_its_content_is_an_answer(ask: Ask, said: bytes, body: bytes) -> None:
    """JSON that closes was not cut, however the connection ended; it was asked for once."""
    with LoopbackServer(said, hangs_up=True) as gateway:
        got = ask(gateway.base_url, call_of())
        assert len(gateway.posts) == 1
    assert (got.status, got.body) == (200, body)


CUT = [
    pytest.param(chunked(JSON[:-1], ends=False), id="in a chunk"),
    pytest.param(longer(JSON[:-1]), id="in the body"),
    pytest.param(longer(gzip.compress(JSON)[:-20], "gzip"), id="in a gzip stream"),
    pytest.param(longer(b""), id="before the body"),
    pytest.param(longer(b"17"), id="a number"),
    pytest.param(longer(b"<html>"), id="a page"),
    pytest.param(longer(b"\x89PNG\r\n\x1a\n...."), id="an image"),
]


@pytest.mark.parametrize("said", CUT)
def test_what_is_cut_is_an_error(ask: Ask, said: bytes) -> None:
    """An answer that is cut may have been billed; what came of it is with the call."""
    call = call_of()
    with LoopbackServer(said, hangs_up=True) as gateway:
        with pytest.raises(RequestTimeoutError, match="may have been billed") as caught:
            ask(gateway.base_url, call)
        assert len(gateway.posts) == 1
    assert caught.value.status_code == 200
    assert caught.value.__context__ is None
    assert call.answer is not None
    assert call.answer.status == 200


def test_what_came_whole_before_the_deadline_is_an_answer(ask: Ask) -> None:
    """A connection that stays open after a whole answer ends at the deadline, with the answer."""
    with LoopbackServer(longer(JSON)) as gateway:
        assert ask(gateway.base_url, call_of(1.5), seconds=1.5).body == JSON


deflate = zlib.compressobj(wbits=-15)
RAW_DEFLATE = deflate.compress(JSON) + deflate.flush()
CODED = [
    pytest.param(gzip.compress(JSON), "gzip", id="gzip"),
    pytest.param(gzip.compress(JSON), "x-gzip", id="x-gzip"),
    pytest.param(gzip.compress(JSON), "GZIP, identity", id="capitals"),
    pytest.param(gzip.compress(JSON), None, id="unannounced gzip"),
    pytest.param(gzip.compress(JSON), "br", id="gzip as br"),
    pytest.param(gzip.compress(JSON[:9]) + gzip.compress(JSON[9:]), "gzip", id="two members"),
    pytest.param(gzip.compress(JSON)[:-8] + b"12345678", "gzip", id="wrong checksum"),
    pytest.param(gzip.compress(JSON) + b"\0\0\0", "gzip", id="padded"),
    pytest.param(zlib.compress(JSON), "deflate", id="zlib"),
    pytest.param(RAW_DEFLATE, "deflate", id="raw deflate"),
    pytest.param(gzip.compress(JSON), "deflate", id="gzip as deflate"),
    pytest.param(JSON, "gzip", id="plain as gzip"),
    pytest.param(JSON, "deflate", id="plain as deflate"),
    pytest.param(JSON, "br", id="plain as br"),
    pytest.param(JSON, "zstd", id="plain as zstd"),
    pytest.param(JSON, "aws-chunked", id="plain as aws-chunked"),
    pytest.param(JSON, "gzip, gzip", id="plain as gzip twice"),
    pytest.param(JSON, "utf-8", id="plain as utf-8"),
    pytest.param(JSON, "", id="empty"),
    pytest.param(JSON, "identity", id="identity"),
]


@pytest.mark.parametrize(("raw", "label"), CODED)
def test_the_bytes_say_how_they_are_coded(ask: Ask, raw: bytes, label: str | None) -> None:
    """Whatever is announced, a body that we can read is read."""
    headers = {} if label is None else {"Content_Encoding": label}
    with LoopbackServer(answer(200, raw, **headers)) as gateway:
        assert ask(gateway.base_url, call_of()).body == JSON


BROTLI = b"\x0b\x05\x80a fox in the snow\x03"
UNREADABLE = [
    pytest.param(BROTLI, "br", "encoded as br", id="br"),
    pytest.param(b"\x28\xb5\x2f\xfd\x04\x00", "zstd", "encoded as zstd", id="zstd"),
    pytest.param(gzip.compress(gzip.compress(JSON)), "gzip, gzip", "more than once", id="twice"),
    pytest.param(gzip.compress(gzip.compress(JSON)), "gzip", "more than once", id="said once"),
    pytest.param(gzip.compress(zlib.compress(JSON)), "deflate, gzip", "more than once", id="two"),
    pytest.param(gzip.compress(JSON)[:12] + b"\xff" * 40, "gzip", "not what", id="damaged"),
]


@pytest.mark.parametrize(("raw", "label", "told"), UNREADABLE)
def test_what_cannot_be_decoded_is_an_error(ask: Ask, raw: bytes, label: str, told: str) -> None:
    """One coding at most is undone; the rest may be billed, and its raw bytes stay at hand."""
    call = call_of()
    with LoopbackServer(answer(200, raw, Content_Encoding=label)) as gateway:
        with pytest.raises(MalformedResponseError, match=told) as caught:
            ask(gateway.base_url, call)
        assert len(gateway.posts) == 1
    assert caught.value.may_have_been_billed
    assert call.answer is not None
    assert call.answer.body == raw


@pytest.mark.parametrize(("raw", "label", "told"), UNREADABLE)
def test_an_error_that_cannot_be_decoded_has_no_text(
    ask: Ask, raw: bytes, label: str, told: str
) -> None:
    """What is compressed in a way that we do not read is in no message."""
    with LoopbackServer(answer(500, raw, Content_Encoding=label)) as gateway:
        got = ask(gateway.base_url, call_of())
    assert (got.status, got.body) == (500, b"")


@cache
def _bomb(times: int) -> bytes:
    raw = b"\0" * (64 * 1024 * 1024)
    for _ in range(times):
        raw = gzip.compress(raw, 1)
    return raw


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("times", [1, 2])
def test_a_bomb_is_not_unpacked(ask: Ask, status: int, times: int) -> None:
    """No more is decoded than is wanted: of an error the beginning, of a success the cap."""
    call = call_of()
    with LoopbackServer(answer(status, _bomb(times), Content_Encoding="gzip")) as gateway:
        if status == 200:
            with pytest.raises(MalformedResponseError):
                ask(gateway.base_url, call, max_bytes=1_000_000)
        else:
            ask(gateway.base_url, call)
    assert call.answer is not None
    assert len(call.answer.body) <= 1_000_000


@pytest.mark.parametrize("coded", [False, True], ids=["plain", "gzip"])
def test_an_error_is_read_up_to_a_cap(ask: Ask, coded: bool) -> None:
    """Of an answer that is no success only the beginning is read, and the connection is closed."""
    text = json.dumps({"error": "No."}).encode() + b" " * 10_000_000
    raw = gzip.compress(text) if coded else text
    label = "gzip" if coded else "identity"
    with LoopbackServer(answer(400, raw, Content_Encoding=label)) as gateway:
        got = ask(gateway.base_url, call_of())
    assert got.status == 400
    assert got.body == text[:MAX_ERROR_BYTES]


def test_a_success_is_read_up_to_its_cap(ask: Ask) -> None:
    """A success may be as large as the cap, and not a byte larger, as sent or decoded."""
    body = b'"' + b"x" * 98 + b'"'
    with LoopbackServer(answer(200, body)) as gateway:
        assert ask(gateway.base_url, call_of(), max_bytes=100).body == body
    for raw in (body + b" ", gzip.compress(body + b" ")):
        with LoopbackServer(answer(200, raw)) as gateway:
            with pytest.raises(MalformedResponseError, match="larger than 100 bytes"):
                ask(gateway.base_url, call_of(), max_bytes=100)
            assert len(gateway.posts) == 1


def test_a_large_answer_arrives_whole(ask: Ask) -> None:
    """Megabytes come through, compressed or not."""
    body = json.dumps({"images": ["x" * 3_000_000]}).encode()
    for raw in (body, gzip.compress(body)):
        with LoopbackServer(answer(200, raw)) as gateway:
            got = ask(gateway.base_url, call_of())
        assert got.body == body
        assert got.is_large


@pytest.mark.parametrize("label", ["gzip", "br", None])
def test_a_transport_that_plays_decoded_bodies(label: str | None, library: Any) -> None:
    """A test transport, and a hook that has read the body, leave a body that is taken as it is."""
    headers = {} if label is None else {"Content-Encoding": label}
    raw = gzip.compress(JSON) if label == "gzip" else JSON
    transport = library.MockTransport(lambda _: library.Response(200, headers=headers, content=raw))

    async def aread(response: Any) -> None:
        await response.aread()

    async def run(hooks: Any) -> RawAnswer:
        client = library.AsyncClient(transport=transport, event_hooks={"response": hooks})
        return await apost(callers_async_client, client, wire_of("https://h"), call_of(), 60)

    for hooks in ([], [library.Response.read]):
        client = library.Client(transport=transport, event_hooks={"response": hooks})
        got = post(callers_client, client, wire_of("https://h"), call_of(), 60)
        assert (got.status, got.body) == (200, JSON)
    for ahooks in ([], [aread]):
        assert asyncio.run(run(ahooks)).body == JSON


@pytest.mark.parametrize("status", [401, 429, 503])
def test_a_hook_that_raises_for_the_status(status: int, library: Any) -> None:
    """A hook of the caller's that raises for a refusal does not make a doubt of it."""

    async def araise(response: Any) -> None:
        response.raise_for_status()

    async def run(base_url: str) -> RawAnswer:
        async with library.AsyncClient(event_hooks={"response": [araise]}) as client:
            return await apost(callers_async_client, client, wire_of(base_url), call_of(), 60)

    with LoopbackServer(answer(status, b"No.")) as gateway:
        hook = library.Response.raise_for_status
        with library.Client(event_hooks={"response": [hook]}) as client:
            got = post(callers_client, client, wire_of(gateway.base_url), call_of(), 60)
        assert got.status == status
        assert asyncio.run(run(gateway.base_url)).status == status


def test_a_transport_that_sends_again_leaves_a_doubt(library: Any) -> None:
    """Where a request has left, a later failure to connect does not mean that nothing was sent."""

    class SendsAgain(library.HTTPTransport):  # type: ignore[misc]
        def handle_request(self, request: Any) -> Any:
            try:
                return super().handle_request(request)
            except library.RemoteProtocolError:
                raise library.ConnectError("refused") from None

    with LoopbackServer(b"") as gateway, library.Client(transport=SendsAgain()) as client:
        with pytest.raises(RequestTimeoutError) as caught:
            post(callers_client, client, wire_of(gateway.base_url), call_of(), 60)
        assert len(gateway.posts) == 1
    assert caught.value.may_have_been_billed
    assert not caught.value.is_retryable


Fetch = Callable[[str, str], RawAnswer]


def fetch_own(base_url: str, url: str) -> RawAnswer:
    """Ask once over a pool of ours."""
    pool = Pool()
    try:
        with pool.lease(base_url) as transport:
            return fetch_answer(own_client, transport, url, KEY, call_of(), 60)
    finally:
        pool.close()


def fetch_own_async(base_url: str, url: str) -> RawAnswer:
    """Ask the same in asyncio."""

    async def run() -> RawAnswer:
        async with AsyncPool().lease(base_url) as transport:
            return await afetch_answer(own_async_client, transport, url, KEY, call_of(), 60)

    return asyncio.run(run())


def fetch_callers(library: Any, base_url: str, url: str) -> RawAnswer:
    """Ask through a client of the caller's, which would follow redirects."""
    with library.Client(follow_redirects=True) as client:
        return fetch_answer(callers_client, client, url, KEY, call_of(), 60)


def fetch_callers_async(library: Any, base_url: str, url: str) -> RawAnswer:
    """Ask the same in asyncio."""

    async def run() -> RawAnswer:
        async with library.AsyncClient(follow_redirects=True) as client:
            return await afetch_answer(callers_async_client, client, url, KEY, call_of(), 60)

    return asyncio.run(run())


@pytest.fixture(
    params=[
        fetch_own,
        fetch_own_async,
        partial(fetch_callers, httpx),
        partial(fetch_callers_async, httpx),
        partial(fetch_callers, httpx2),
        partial(fetch_callers_async, httpx2),
    ],
    ids=list(WAYS),
)
def fetch(request: pytest.FixtureRequest) -> Fetch:
    """Ask by GET, on each of the six ways."""
    way: Fetch = request.param
    return way


def test_a_get_carries_the_key_and_no_body(fetch: Fetch) -> None:
    """A GET is asked with the headers that are given, and its answer is read as any other."""
    with LoopbackServer(answer(200, gzip.compress(JSON), Content_Encoding="x-gzip")) as gateway:
        got = fetch(gateway.base_url, f"{gateway.base_url}/v2/status/1?a=b")
        (request,) = gateway.requests
    assert got.body == JSON
    assert request.startswith(b"GET /v2/status/1?a=b HTTP/1.1\r\n")
    assert b"\r\nocp-apim-subscription-key: k\r\n" in request.lower()
    assert request.endswith(b"\r\n\r\n")
    assert b"content-length" not in request.lower()


def test_a_get_follows_no_redirect(fetch: Fetch) -> None:
    """The key does not travel to where a redirect leads."""
    with LoopbackServer() as elsewhere:
        said = answer(302, b"", Location=f"{elsewhere.base_url}/a")
        with LoopbackServer(said) as gateway:
            assert fetch(gateway.base_url, f"{gateway.base_url}/v2").status == 302
        assert elsewhere.requests == []


@pytest.mark.parametrize(
    "said", [b"", longer(JSON[:-9]), b"HTTP/1.1 200"], ids=["dropped", "cut", "in the head"]
)
def test_a_get_without_an_answer_may_be_repeated(fetch: Fetch, said: bytes) -> None:
    """A GET buys nothing: whatever fails, asking again is free, and the error says so."""
    with LoopbackServer(said, hangs_up=True) as gateway:
        with pytest.raises(ConnectionFailedError, match="is free of charge") as caught:
            fetch(gateway.base_url, f"{gateway.base_url}/v2")
        assert len(gateway.requests) == 1
    assert caught.value.is_retryable
    assert not caught.value.may_have_been_billed


def test_a_get_of_what_is_no_address(fetch: Fetch) -> None:
    """An address that cannot be asked for is an error before anything is sent."""
    with LoopbackServer() as gateway:
        with pytest.raises(ConfigurationError, match="nothing was sent"):
            fetch(gateway.base_url, "https://gateway.example:port/")
        assert gateway.requests == []
