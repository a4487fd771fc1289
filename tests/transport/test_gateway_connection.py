"""Requests to one gateway: through our pools, or the caller's clients, in both worlds."""

import asyncio
import threading
import time
from typing import Any

import httpx
import pytest
from conftest import Call as Twin
from loopback import SUCCESS, LoopbackServer, answer
from waiting import PATIENCE

from langchain_qwen_image.errors import ConfigurationError, MalformedResponseError
from langchain_qwen_image.transport.answer import MAX_ANSWER_BYTES, answer_cap
from langchain_qwen_image.transport.call import Call
from langchain_qwen_image.transport.gateway import GatewayConnection
from langchain_qwen_image.wire.request import WireRequest

HEADERS = {"Ocp-Apim-Subscription-Key": "k"}


def call_of() -> Call:
    """Return a call with time enough."""
    return Call(time.monotonic() + 60)


@pytest.mark.parametrize("name", ["post", "get"])
def test_a_request_is_answered(call: Twin, name: str) -> None:
    """POST and GET go over the same pool, one request each."""
    with LoopbackServer() as gateway:
        connection = GatewayConnection()
        url = f"{gateway.base_url}/a"
        if name == "post":
            got = call(connection, name, WireRequest(url, HEADERS, b"{}"), call_of(), 60)
        else:
            got = call(connection, name, url, HEADERS, call_of(), 60)
        assert (got.status, len(gateway.requests)) == (200, 1)
        assert gateway.requests[0].startswith(name.upper().encode())
        connection.close()


async def test_a_blocking_client_serves_asyncio_in_a_thread(library: Any) -> None:
    """With only a blocking client of the caller's, the event loop goes on while it waits."""
    asked, go_on = threading.Event(), threading.Event()

    def say(_: bytes) -> bytes:
        asked.set()
        assert go_on.wait(PATIENCE)
        return answer()

    with LoopbackServer(say, answer()) as gateway, library.Client() as own:
        connection = GatewayConnection(http_client=own)
        wire = WireRequest(f"{gateway.base_url}/a", HEADERS, b"{}")
        task = asyncio.create_task(connection.apost(wire, call_of(), 60))
        await asyncio.to_thread(asked.wait)
        go_on.set()
        assert (await task).status == 200
        got = await connection.aget(f"{gateway.base_url}/b", HEADERS, call_of(), 60)
        assert got.status == 200


@pytest.mark.parametrize("name", ["post", "get"])
def test_a_blocking_request_needs_a_blocking_client(name: str) -> None:
    """With only an async client of the caller's, a blocking request says what is missing."""
    own = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200)))
    connection: Any = GatewayConnection(http_async_client=own)
    wire = WireRequest("https://gateway.example/a", HEADERS, b"{}")
    args = (wire,) if name == "post" else (wire.url, HEADERS)
    with pytest.raises(ConfigurationError, match="needs http_client="):
        getattr(connection, name)(*args, call_of(), 60)


def test_an_inline_image_of_the_largest_size_fits(
    call: Twin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cap of an answer grows with the largest image; what is larger is not held."""
    assert answer_cap(1) == MAX_ANSWER_BYTES
    assert answer_cap(300 * 1024 * 1024) > 300 * 1024 * 1024 * 4 // 3
    monkeypatch.setattr("langchain_qwen_image.transport.answer.MAX_ANSWER_BYTES", 1000)
    for size, fits in ((1500, True), (1501, False)):
        connection = GatewayConnection(max_image_bytes=1000)
        body = (str(SUCCESS).encode() * 9)[:size]
        with LoopbackServer(answer(200, body)) as gateway:
            wire = WireRequest(f"{gateway.base_url}/a", HEADERS, b"{}")
            if fits:
                assert call(connection, "post", wire, call_of(), 60).body == body
            else:
                with pytest.raises(MalformedResponseError, match="larger than 1500 bytes"):
                    call(connection, "post", wire, call_of(), 60)
            assert len(gateway.posts) == 1
            connection.close()
