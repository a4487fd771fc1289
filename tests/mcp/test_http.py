"""The server over streamable HTTP: who may call it, and what was delivered."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from books import books
from held import HeldServer
from mcp import Client
from mcp.types import ElicitResult
from mcp_programs import ERAS, FOX
from waiting import PATIENCE, await_until

from langchain_qwen_image import Account, Budget, QwenImageGenerator
from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.mcp.approval import Ask
from langchain_qwen_image.mcp.http import Listener, serve_http
from langchain_qwen_image.mcp.server import make_server

eras = pytest.mark.parametrize("era", ERAS)
KEY = "test-key-0123456789abcdef"
CALL = {"name": "generate_image", "arguments": FOX}


@pytest.fixture
def held() -> Iterator[HeldServer]:
    """Serve a gateway that holds its answers back."""
    with HeldServer() as server:
        yield server


@asynccontextmanager
async def served(held: HeldServer, folder: Path) -> AsyncIterator[Listener]:
    """Serve on a free port of this machine, in this process."""
    generator = QwenImageGenerator(
        base_url=held.base_url, api_key=KEY, save_to=folder, budget=Budget(max_usd=1)
    )
    listener, stop = Listener(0), asyncio.Event()
    serving = asyncio.ensure_future(serve_http(make_server(generator, Ask.AUTO), listener, stop))
    try:
        yield listener
    finally:
        stop.set()
        await serving
        await generator.aclose()


def paid_before(result: Any) -> bool:
    """Say whether a result is an image that was paid for earlier."""
    assert not result.is_error, result.content[0].text
    replayed: bool = result.structured_content["replayed"]
    return replayed


@eras
async def test_a_connection_that_is_gone_leaves_the_image_for_who_asks_again(
    held: HeldServer, tmp_path: Path, era: str
) -> None:
    """One POST for a client that gave up and asked again; after that one, another image."""
    async with served(held, tmp_path / "out") as listener:
        async with Client(listener.url, mode=era) as client:
            call = asyncio.ensure_future(client.call_tool("generate_image", FOX))
            await await_until(lambda: held.posts)
            call.cancel()
            await asyncio.wait([call])
        async with Client(listener.url, mode=era) as client:
            again = asyncio.ensure_future(client.call_tool("generate_image", FOX))
            await asyncio.sleep(0.2)
            held.release()
            assert paid_before(await again)
            assert not paid_before(await client.call_tool("generate_image", FOX))
    assert len(held.posts) == 2
    assert [call.state for call in Account(books(tmp_path / "out")).calls()] == ["saved"] * 2


@eras
async def test_a_person_is_asked_over_http_too(held: HeldServer, tmp_path: Path, era: str) -> None:
    """In the older protocol on the stream of the call, in the later one as its answer."""
    held.release()
    asked: list[str] = []

    async def decline(_: Any, params: Any) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action="decline")

    async with (
        served(held, tmp_path / "out") as listener,
        Client(listener.url, mode=era, elicitation_callback=decline) as client,
    ):
        result: Any = await client.call_tool("generate_image", FOX)
    assert (result.is_error, len(asked), len(held.posts)) == (True, 1, 0)


async def test_a_dropped_stream_is_no_delivery(held: HeldServer, tmp_path: Path) -> None:
    """A client of the older protocol that only hangs up has cancelled nothing, and got nothing."""
    folder = tmp_path / "out"
    async with served(held, folder) as listener, httpx.AsyncClient(timeout=PATIENCE) as http:
        session = await opened(http, listener.url)
        request = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": CALL}
        async with http.stream("POST", listener.url, json=request, headers=session) as stream:
            assert stream.status_code == 200
            await await_until(lambda: held.posts)
        await asyncio.sleep(0.2)
        held.release()
        await await_until(lambda: Account(books(folder)).totals().spent_images)
        async with Client(listener.url, mode=ERAS[1]) as client:
            assert paid_before(await client.call_tool("generate_image", FOX))
    assert len(held.posts) == 1


async def opened(http: httpx.AsyncClient, url: str, **headers: str) -> dict[str, str]:
    """Open a session of the older protocol, and return the headers of its requests."""
    given = {"accept": "application/json, text/event-stream", **headers}
    hello = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "by hand", "version": "1"},
    }
    request = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    answer = await http.post(url, json=request, headers=given)
    if answer.status_code != 200:
        return {"status": str(answer.status_code)}
    return {**given, "mcp-session-id": answer.headers["mcp-session-id"]}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"host": "pictures.example"}, 421, id="rebound-name"),
        pytest.param({"host": "127.0.0.1:1"}, 421, id="another-port"),
        pytest.param({"origin": "https://pictures.example"}, 403, id="a-web-page"),
        pytest.param({"origin": "null"}, 403, id="a-sandboxed-page"),
        pytest.param({"origin": "http://localhost:3000"}, 403, id="another-local-page"),
        pytest.param({"origin": "http://127.0.0.1.pictures.example"}, 403, id="like-loopback"),
        pytest.param({"content-type": "text/plain"}, 400, id="a-form-of-a-page"),
    ],
)
async def test_web_pages_spend_nothing(
    held: HeldServer, tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    """`Host` and `Origin` are checked in both eras, with a session and without: no POST leaves."""
    held.release()
    modern = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": ERAS[1],
        "mcp-method": "tools/call",
        "mcp-name": "generate_image",
    }
    envelope = {
        "io.modelcontextprotocol/protocolVersion": ERAS[1],
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    body = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": CALL}
    one_request = {**body, "params": {**CALL, "_meta": envelope}}
    async with served(held, tmp_path / "out") as listener, httpx.AsyncClient() as http:
        session = await opened(http, listener.url)
        for given, content in ((session, body), (modern, one_request), ({}, body)):
            said = await http.post(
                listener.url,
                content=json.dumps(content),
                headers={"content-type": "application/json", **given, **headers},
            )
            assert said.status_code == status
        if "content-type" not in headers:
            assert (await opened(http, listener.url, **headers))["status"] == str(status)
        assert not held.posts
        for given, content in (
            (session, body),
            (modern, one_request),
        ):
            own = {"origin": f"http://localhost:{listener.port}", **given}
            said = await http.post(listener.url, json=content, headers=own, timeout=PATIENCE)
            assert said.status_code == 200
    assert len(held.posts) == 2


async def test_a_port_that_is_taken_is_named() -> None:
    """The error says which, and that another one may be chosen."""
    taken = Listener(0)
    with pytest.raises(ConfigurationError, match=f"Port {taken.port} of this machine"):
        Listener(taken.port)
    taken.socket.close()
