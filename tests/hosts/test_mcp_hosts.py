"""The MCP server with real clients: the SDK's over its own stdio, and LangChain's in an agent."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from books import books
from held import HeldServer
from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp_programs import ERAS, FOX
from scripted_model import ScriptedModel, asks_for
from waiting import await_until

from langchain_qwen_image import Account, ImageGenerationResult

# What the clients and their libraries warn of is theirs.
pytestmark = [pytest.mark.hosts, pytest.mark.filterwarnings("default")]

THREAD: Any = {"configurable": {"thread_id": "t"}}


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldServer]:
    """Serve a gateway that holds its answers back."""
    with HeldServer() as server:
        yield server


def command(gateway: HeldServer, folder: Path, *options: str) -> dict[str, Any]:
    """Return how a host starts the server."""
    return {
        "command": sys.executable,
        "args": ["-m", "langchain_qwen_image", "mcp", "--save-to", str(folder), *options],
        "env": {
            "PATH": os.environ["PATH"],
            "HOME": os.environ["HOME"],
            "PIXAZO_BASE_URL": gateway.base_url,
            "PIXAZO_API_KEY": "test-key-0123456789abcdef",
        },
    }


@pytest.mark.parametrize("era", ERAS)
async def test_the_sdks_client_that_times_out_and_asks_again_pays_once(
    held: HeldServer, tmp_path: Path, era: str
) -> None:
    """One row, one image, one POST, by two servers; then another image."""
    started = StdioServerParameters(**command(held, tmp_path / "out", "--ask", "never"))
    async with (
        Client(stdio_client(started), mode=era) as first,
        Client(stdio_client(started), mode=era) as other,
    ):
        call = asyncio.ensure_future(first.call_tool("generate_image", FOX))
        await await_until(lambda: held.posts)
        call.cancel()
        await asyncio.wait([call])
        again = asyncio.ensure_future(other.call_tool("generate_image", FOX))
        await asyncio.sleep(0.5)
        held.release()
        got: Any = await again
        assert got.structured_content["replayed"]
        calls = list(Account(books(tmp_path / "out")).calls())
        assert (len(held.posts), [call.state for call in calls]) == (1, ["saved"])
        fresh: Any = await other.call_tool("generate_image", FOX)
        assert not fresh.structured_content["replayed"]
    assert len(held.posts) == 2


@asynccontextmanager
async def agent(gateway: HeldServer, folder: Path, *options: str) -> AsyncIterator[Any]:
    """Make LangChain's agent that has the server's tools, by LangChain's own adapter."""
    mcp = pytest.importorskip("langchain.mcp", exc_type=ImportError)
    config = {"mcpServers": {"qwen-image": command(gateway, folder, *options)}}
    async with mcp.MCPAdapter(config) as adapter:
        tools = await adapter.list_tools()
        model = ScriptedModel(turns=[asks_for("a red fox", size="512*512")])
        yield create_agent(model, tools=tools, checkpointer=InMemorySaver())


async def test_langchains_agent_gets_image_sentence_and_artifact(
    held: HeldServer, tmp_path: Path
) -> None:
    """The model reads sentence and small copy, and no address; the program gets the artifact."""
    held.release()
    async with agent(held, tmp_path / "out", "--ask", "never") as graph:
        state = await graph.ainvoke({"messages": [("user", "Draw a fox.")]}, THREAD)
    message = state["messages"][2]
    assert message.status == "success"
    assert [block["type"] for block in message.content] == ["text", "image"]
    assert all("url" not in block for block in message.content)
    artifact = message.artifact["structured_content"]
    assert ImageGenerationResult.from_artifact(artifact).image.read()
    assert len(held.posts) == 1


@pytest.mark.parametrize(
    ("action", "status", "posts"), [("accept", "success", 1), ("decline", "error", 0)]
)
async def test_the_question_of_the_server_interrupts_langchains_graph(
    held: HeldServer, tmp_path: Path, action: str, status: str, posts: int
) -> None:
    """A person resumes the graph; nothing is sent before, and once at most after."""
    held.release()
    async with agent(held, tmp_path / "out", "--ask", "always") as graph:
        state = await graph.ainvoke({"messages": [("user", "Draw a fox.")]}, THREAD)
        [waits] = state["__interrupt__"]
        [question] = waits.value["requests"]
        assert "$0.045" in question["message"]
        assert not held.posts
        answers = {question["key"]: {"action": action}}
        state = await graph.ainvoke(Command(resume={"responses": answers}), THREAD)
    assert state["messages"][2].status == status
    assert len(held.posts) == posts


async def test_a_call_that_langchains_agent_gives_up_is_paid_for_once(
    held: HeldServer, tmp_path: Path
) -> None:
    """A run that is cancelled and asked again gets the image that was paid for."""
    async with agent(held, tmp_path / "out", "--ask", "never") as graph:
        run = asyncio.ensure_future(graph.ainvoke({"messages": [("user", "A fox.")]}, THREAD))
        await await_until(lambda: held.posts)
        run.cancel()
        await asyncio.wait([run])
        again = asyncio.ensure_future(
            graph.ainvoke({"messages": [("user", "A fox.")]}, {"configurable": {"thread_id": "u"}})
        )
        await asyncio.sleep(0.5)
        held.release()
        state = await again
    assert state["messages"][2].artifact["structured_content"]["replayed"]
    assert len(held.posts) == 1
