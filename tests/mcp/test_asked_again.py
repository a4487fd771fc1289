"""A client that gives up and asks again gets the image that was paid for, and pays once."""

import asyncio
import json
import random
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from books import books
from held import HeldServer
from mcp import Client, MCPError
from mcp_programs import ERAS, FOX, McpProgram, programs
from thinned import thinned
from waiting import await_until

from langchain_qwen_image import QwenImageGenerator
from langchain_qwen_image.account.account import Account
from langchain_qwen_image.mcp.approval import Ask
from langchain_qwen_image.mcp.server import make_server

eras = pytest.mark.parametrize("era", ERAS)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldServer]:
    """Point servers at a gateway that holds its answers back, with a key."""
    with HeldServer() as server:
        monkeypatch.setenv("PIXAZO_BASE_URL", server.base_url)
        monkeypatch.setenv("PIXAZO_API_KEY", "test-key-0123456789abcdef")
        yield server


@pytest.fixture
def servers(tmp_path: Path, held: HeldServer) -> Iterator[list[McpProgram]]:
    """Start two servers that share a folder, and so an account."""
    with programs(tmp_path / "out", 2, "--ask", "never") as started:
        yield started


class Image:
    """What a result says of its image."""

    def __init__(self, result: Any) -> None:
        assert not result.is_error, result.content[0].text
        self.id = result.structured_content["images"][0]["id"]
        self.was_paid_before = result.structured_content["replayed"]


def images_in(folder: Path) -> list[str]:
    """Return the names of the images in a folder."""
    return sorted(path.stem for path in folder.glob("*.png"))


def rows_of(folder: Path) -> list[str]:
    """Return the states of the calls of a folder's account."""
    return [call.state for call in Account(books(folder)).calls()]


async def give_up(client: Client, held: HeldServer, posts: int) -> None:
    """Call, and time out while the gateway holds its answer."""
    call = asyncio.ensure_future(client.call_tool("generate_image", FOX))
    await await_until(lambda: len(held.posts) == posts)
    call.cancel()
    await asyncio.wait([call])


@eras
@pytest.mark.parametrize("second", [0, 1], ids=["same server", "another server"])
async def test_what_was_given_up_is_paid_for_once(
    servers: list[McpProgram], held: HeldServer, tmp_path: Path, era: str, second: int
) -> None:
    """One row, one image, one POST; asked for again after that, it is another image."""
    async with servers[0].client(era) as first, servers[1].client(era) as other:
        await give_up(first, held, 1)
        client = (first, other)[second]
        again = asyncio.ensure_future(client.call_tool("generate_image", FOX))
        await asyncio.sleep(0.3)
        held.release()
        image = Image(await again)
        assert image.was_paid_before
        assert (len(held.posts), rows_of(tmp_path / "out")) == (1, ["saved"])
        assert [image.id in name for name in images_in(tmp_path / "out")] == [True]
        for client in (first, other):
            assert Image(await client.call_tool("generate_image", FOX)).id != image.id
        assert len(held.posts) == 3


async def test_servers_of_one_database_agree(
    held: HeldServer, tmp_path: Path, database_url: str
) -> None:
    """With the account in PostgreSQL it is the same: one row, one image, one POST, then another."""
    env = {"QWEN_IMAGE_DATABASE": database_url}
    with programs(tmp_path / "out", 2, "--ask", "never", env=env) as started:
        one, two = started
        async with one.client(ERAS[0]) as first, two.client(ERAS[1]) as other:
            await give_up(first, held, 1)
            again = asyncio.ensure_future(other.call_tool("generate_image", FOX))
            await asyncio.sleep(0.3)
            held.release()
            assert Image(await again).was_paid_before
            with closing(Account(database_url)) as account:
                assert [call.state for call in account.calls()] == ["saved"]
            assert len(held.posts) == 1
            assert not Image(await first.call_tool("generate_image", FOX)).was_paid_before
    assert len(held.posts) == 2


@eras
async def test_a_timeout_of_the_client_is_giving_up(
    servers: list[McpProgram], held: HeldServer, tmp_path: Path, era: str
) -> None:
    """The SDK's own timeout, however early it strikes, leaves one POST."""
    async with servers[0].client(era) as client:
        for _ in range(2):
            with pytest.raises(MCPError, match=r"(?i)time"):
                await client.call_tool("generate_image", FOX, read_timeout_seconds=0.7)
        again = asyncio.ensure_future(client.call_tool("generate_image", FOX))
        await await_until(lambda: held.posts)
        held.release()
        Image(await again)
    assert (len(held.posts), len(images_in(tmp_path / "out"))) == (1, 1)


@eras
async def test_a_result_that_came_after_its_client_had_gone(
    servers: list[McpProgram], held: HeldServer, tmp_path: Path, era: str
) -> None:
    """It is saved, waits for who asks again, and a server of its own hands it out once."""
    async with servers[0].client(era) as first, servers[1].client(era) as other:
        await give_up(first, held, 1)
        held.release()
        await await_until(lambda: rows_of(tmp_path / "out") == ["saved"])
        fresh = await first.call_tool("generate_image", {**FOX, "new_image": True})
        assert not Image(fresh).was_paid_before
        assert Image(await other.call_tool("generate_image", FOX)).was_paid_before
        assert not Image(await first.call_tool("generate_image", FOX)).was_paid_before
    assert len(held.posts) == 3


async def test_of_two_that_ask_again_one_gets_it_and_one_buys(
    servers: list[McpProgram], held: HeldServer, tmp_path: Path
) -> None:
    """An image is not given to two clients, whichever servers they ask."""
    async with servers[0].client(ERAS[0]) as first, servers[1].client(ERAS[1]) as other:
        await give_up(first, held, 1)
        calls = [
            asyncio.ensure_future(client.call_tool("generate_image", FOX))
            for client in (first, other)
        ]
        await await_until(lambda: len(held.posts) == 2)
        held.release()
        got = [Image(result) for result in await asyncio.gather(*calls)]
    assert sorted(image.was_paid_before for image in got) == [False, True]
    assert len({image.id for image in got}) == len(held.posts) == 2


async def test_a_wait_that_ends_too_early_buys_nothing(
    held: HeldServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told that the image is not there yet, a client asks again, and gets it in the end."""
    settings = {"base_url": held.base_url, "api_key": "test-key", "save_to": tmp_path / "out"}
    slow, hasty = (QwenImageGenerator(**settings, timeout=seconds) for seconds in (240, 0.2))
    async with (
        Client(make_server(slow, Ask.NEVER), mode=ERAS[1]) as first,
        Client(make_server(hasty, Ask.NEVER), mode=ERAS[1]) as other,
    ):
        await give_up(first, held, 1)
        for _ in range(2):
            early: Any = await other.call_tool("generate_image", FOX)
            assert early.is_error
            assert "Call again later with the same arguments" in early.content[0].text
        held.release()
        await await_until(lambda: rows_of(tmp_path / "out") == ["saved"])
        assert Image(await other.call_tool("generate_image", FOX)).was_paid_before
    assert len(held.posts) == 1


@pytest.mark.parametrize("end", thinned(["stdin", "SIGTERM", "SIGINT"], quick=2))
async def test_a_server_that_is_told_to_end_waits_for_what_is_paid_for(
    servers: list[McpProgram], held: HeldServer, tmp_path: Path, end: str
) -> None:
    """The image is saved before it ends, and another server gives it to who asks again."""
    async with servers[0].client(ERAS[0]) as client:
        call = asyncio.ensure_future(client.call_tool("generate_image", FOX))
        await await_until(lambda: held.posts)
        if end == "stdin":
            servers[0].close_input()
        else:
            servers[0].process.send_signal(signal.Signals[end])
        await await_until(lambda: "Waiting for 1 image" in servers[0].complained)
        held.release()
        status = await asyncio.to_thread(servers[0].wait)
        await asyncio.wait([call])
    assert status == {"stdin": 0, "SIGTERM": 143, "SIGINT": 130}[end]
    assert rows_of(tmp_path / "out") == ["saved"]
    async with servers[1].client(ERAS[1]) as other:
        assert Image(await other.call_tool("generate_image", FOX)).was_paid_before
    assert len(held.posts) == 1


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
async def test_however_often_clients_give_up(
    servers: list[McpProgram], held: HeldServer, tmp_path: Path, seed: int
) -> None:
    """Each image is one POST and one row, and goes to its buyer and one other client at most."""
    held.release()
    chance = random.Random(seed)
    got: Counter[str] = Counter()
    async with servers[0].client(ERAS[0]) as first, servers[1].client(ERAS[1]) as other:

        async def ask(client: Client) -> None:
            for _ in range(12):
                call = asyncio.ensure_future(client.call_tool("generate_image", FOX))
                await asyncio.wait([call], timeout=chance.choice((0.02, 0.1, 0.3, 60)))
                call.cancel()
                await asyncio.wait([call])
                if not call.cancelled():
                    got[Image(call.result()).id] += 1

        await asyncio.gather(*map(ask, (first, first, other, other)))
        await await_until(lambda: "sent" not in rows_of(tmp_path / "out"))
        while Image(await first.call_tool("generate_image", FOX)).was_paid_before:
            pass
    rows = Counter(rows_of(tmp_path / "out"))
    assert len(held.posts) == rows["saved"] == len(images_in(tmp_path / "out"))
    assert set(rows) <= {"saved", "asked"}
    assert max(got.values()) <= 2
    assert len(held.posts) <= 49


async def test_what_could_not_be_written_was_not_delivered(
    servers: list[McpProgram], held: HeldServer, tmp_path: Path
) -> None:
    """A client that reads no more ends its server, and its image is for who asks again."""
    client, _ = servers
    assert client.process.stdin is not None
    assert client.process.stdout is not None
    info = {"name": "by hand", "version": "1"}
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": info}
    call = {"name": "generate_image", "arguments": FOX}
    for number, method, params in ((1, "initialize", hello), (2, "tools/call", call)):
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        client.process.stdin.write(json.dumps(request).encode() + b"\n")
        client.process.stdin.flush()
        if number == 1:
            assert b"serverInfo" in await asyncio.to_thread(client.process.stdout.readline)
    await await_until(lambda: held.posts)
    client.process.stdout.close()
    held.release()
    assert await asyncio.to_thread(client.wait) == 0
    async with servers[1].client(ERAS[1]) as other:
        assert Image(await other.call_tool("generate_image", FOX)).was_paid_before
    assert len(held.posts) == 1


async def test_a_second_signal_leaves_at_once(
    servers: list[McpProgram], held: HeldServer, tmp_path: Path
) -> None:
    """What is out then is in the account as sent, for `recover` to list."""
    async with servers[0].client(ERAS[0]) as client:
        call = asyncio.ensure_future(client.call_tool("generate_image", FOX))
        await await_until(lambda: held.posts)
        servers[0].process.send_signal(signal.SIGTERM)
        await await_until(lambda: "Waiting for 1 image" in servers[0].complained)
        servers[0].process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(servers[0].wait) == 143
        await asyncio.wait([call])
    assert rows_of(tmp_path / "out")[0] in ("sent", "unknown")
