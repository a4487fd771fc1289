"""When a request leaves: noticed, or stopped, before its first byte is written."""

import asyncio
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from loopback import LoopbackServer, answer, self_signed

from langchain_qwen_image.errors import ConnectionFailedError
from langchain_qwen_image.transport.answer import RawAnswer
from langchain_qwen_image.transport.call import Call, CallAbandonedError, LeaseOverError
from langchain_qwen_image.transport.pool import AsyncPool, Pool
from langchain_qwen_image.transport.post import apost, post
from langchain_qwen_image.transport.routes import (
    callers_async_client,
    callers_client,
    own_async_client,
    own_client,
)
from langchain_qwen_image.wire.request import WireRequest

START = "http11.send_request_headers.started"
Send = Callable[[list[Call], str], list[RawAnswer | Exception]]


class Traced:
    """A request as httpcore shows it."""

    def __init__(self, method: bytes) -> None:
        """Take the method."""
        self.method = method


def test_the_answer_has_its_own_time() -> None:
    """When the request leaves, the deadline is set to the seconds of the answer, once."""
    call = Call(time.monotonic() + 1, answer_within=500)
    before = call.deadline
    call.trace(START, {"request": Traced(b"POST")})
    assert call.left
    assert call.deadline > before + 400
    set_once = call.deadline
    call.trace(START, {"request": Traced(b"POST")})
    assert call.deadline == set_once


def test_an_abandoned_call_does_not_leave() -> None:
    """A request that nobody waits for is stopped where its headers would be sent."""
    call = Call(time.monotonic() + 50)
    call.abandoned = True
    call.trace("connection.connect_tcp.started", {})
    with pytest.raises(CallAbandonedError):
        call.trace(START, {"request": Traced(b"POST")})
    assert not call.left


def test_a_call_that_has_left_goes_on() -> None:
    """Once a request has left it is not stopped, abandoned or not, nor when it is sent again."""
    call = Call(time.monotonic() + 50)
    call.trace(START, {"request": Traced(b"POST")})
    call.abandoned = True
    call.trace("http11.send_request_body.started", {"request": Traced(b"POST")})
    call.trace(START, {"request": Traced(b"POST")})
    assert call.left


class Rest:
    """What is left of a lease."""

    def __init__(self, seconds: float) -> None:
        """Take the seconds."""
        self.seconds = seconds

    def rest(self) -> float:
        """Return the seconds."""
        return self.seconds


def test_a_call_leaves_within_its_lease() -> None:
    """A request leaves only where its whole answer fits into what is left of the lease."""
    lease = Rest(239.9)
    call = Call(time.monotonic() + 50, answer_within=240, lease=lease)
    with pytest.raises(LeaseOverError):
        call.trace(START, {"request": Traced(b"POST")})
    assert not call.left
    lease.seconds = 240
    call.trace(START, {"request": Traced(b"POST")})
    assert call.left
    lease.seconds = 0
    call.trace(START, {"request": Traced(b"POST")})


def test_a_proxys_connect_is_not_the_request() -> None:
    """A tunnel may be asked for, and the request in it still not leave."""
    call = Call(time.monotonic() + 50)
    call.trace(START, {"request": Traced(b"CONNECT")})
    assert not call.left
    call.abandoned = True
    with pytest.raises(CallAbandonedError):
        call.trace(START, {"request": Traced(b"POST")})


def test_over_http2_a_request_leaves_the_same_way() -> None:
    """A caller's client may speak HTTP/2; its headers are noticed too."""
    call = Call(time.monotonic() + 50)
    call.trace("http2.send_request_headers.started", {"request": Traced(b"POST")})
    assert call.left


def new_call(*, abandoned: bool = False) -> Call:
    """Return a call with time enough."""
    call = Call(time.monotonic() + 60, answer_within=60)
    call.abandoned = abandoned
    return call


@pytest.fixture(
    params=["own", "own async", "httpx", "httpx async", "httpx2", "httpx2 async"],
)
def send(request: pytest.FixtureRequest) -> Send:
    """Send calls one after another over one pool or client, and return what came of each."""
    library: Any = {"httpx2": httpx2}.get(request.param.split()[0], httpx)

    def run(calls: list[Call], base_url: str) -> list[RawAnswer | Exception]:
        wire = WireRequest(f"{base_url}/a", {"Ocp-Apim-Subscription-Key": "k"}, b"{}")
        if request.param.endswith("async"):
            return asyncio.run(arun(calls, wire, base_url))
        outcomes: list[RawAnswer | Exception] = []
        pool, client = Pool(), library.Client()
        for call in calls:
            try:
                if request.param == "own":
                    with pool.lease(base_url) as transport:
                        outcomes.append(post(own_client, transport, wire, call, 60))
                else:
                    outcomes.append(post(callers_client, client, wire, call, 60))
            except ConnectionFailedError as error:
                outcomes.append(error)
        pool.close()
        client.close()
        return outcomes

    async def arun(
        calls: list[Call], wire: WireRequest, base_url: str
    ) -> list[RawAnswer | Exception]:
        outcomes: list[RawAnswer | Exception] = []
        pool, client = AsyncPool(), library.AsyncClient()
        for call in calls:
            try:
                if request.param == "own async":
                    async with pool.lease(base_url) as transport:
                        outcomes.append(await apost(own_async_client, transport, wire, call, 60))
                else:
                    outcomes.append(await apost(callers_async_client, client, wire, call, 60))
            except ConnectionFailedError as error:
                outcomes.append(error)
        await pool.aclose()
        await client.aclose()
        return outcomes

    return run


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ssl.SSLContext:
    """Return a server's TLS context whose certificate this process trusts."""
    context, certificate = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return context


def check(outcomes: list[RawAnswer | Exception], calls: list[Call]) -> None:
    """Check that the second of three calls was stopped, and the others answered."""
    first, stopped, last = outcomes
    assert isinstance(first, RawAnswer)
    assert isinstance(last, RawAnswer)
    assert isinstance(stopped, ConnectionFailedError)
    assert "before its request was sent; nothing was bought" in str(stopped)
    assert not stopped.is_retryable
    assert not stopped.may_have_been_billed
    assert [call.left for call in calls] == [True, False, True]
    assert calls[0].answer is first


def test_a_stopped_request_sends_no_byte(send: Send) -> None:
    """On a connection that is used again nothing of it is written, and the next call works."""
    calls = [new_call(), new_call(abandoned=True), new_call()]
    with LoopbackServer(answer()) as gateway:
        check(send(calls, gateway.base_url), calls)
        assert len(gateway.requests) == 2


def test_a_stopped_request_is_not_sent_through_a_tunnel(
    send: Send, trusted: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through a proxy's CONNECT the same: the tunnel may be opened, the request does not leave."""
    calls = [new_call(), new_call(abandoned=True), new_call()]
    with LoopbackServer(answer(), tls=trusted, tunnels=True) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.base_url)
        check(send(calls, "https://gateway.test"), calls)
        assert len(proxy.posts) == 2


def test_a_first_request_that_is_stopped(send: Send) -> None:
    """On a new connection no byte is written either."""
    calls = [new_call(abandoned=True)]
    with LoopbackServer(answer()) as gateway:
        (stopped,) = send(calls, gateway.base_url)
        assert isinstance(stopped, ConnectionFailedError)
        assert gateway.requests == []


def test_after_a_sleep_nothing_is_sent(send: Send) -> None:
    """What slept between its books and its POST is an error that may be repeated."""
    late = Call(time.monotonic() + 50, answer_within=240, lease=Rest(0))
    with LoopbackServer() as gateway:
        (stopped,) = send([late], gateway.base_url)
        assert isinstance(stopped, ConnectionFailedError)
        assert stopped.is_retryable
        assert "nothing was sent" in str(stopped)
        assert gateway.requests == []
