"""A tool call that was cancelled after its POST left, and is asked for again on resuming."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from held import HeldServer
from scripted_model import drawing
from waiting import await_until

from langchain_qwen_image import QwenImageTool

SLOW = drawing("a fox")


@pytest.fixture
def server() -> Iterator[HeldServer]:
    """Serve a gateway that holds its answers back, so that a call can be cancelled meanwhile."""
    with HeldServer() as running:
        yield running


def tool_of(server: HeldServer, **settings: Any) -> QwenImageTool:
    """Return a tool of the gateway on loopback."""
    return QwenImageTool(base_url=server.base_url, api_key="test-key-resumed", **settings)


async def cancel_when_posted(tool: QwenImageTool, call: Any, server: HeldServer) -> None:
    """Call, and cancel the call when its POST has reached the gateway."""
    before = server.gateway.post_count
    task = asyncio.create_task(tool.ainvoke(call))
    await await_until(lambda: server.gateway.post_count > before)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def until_settled(tool: QwenImageTool) -> None:
    """Wait until every call that goes on in the background has ended."""
    await await_until(lambda: not tool.pipeline.shared._under_way)


async def repeated(tool: QwenImageTool, call: Any, server: HeldServer, *, settled: bool) -> Any:
    """Repeat a call, after the first one was answered or before."""
    if settled:
        server.release()
        await until_settled(tool)
        return await tool.ainvoke(call)
    task = asyncio.create_task(tool.ainvoke(call))
    for _ in range(20):
        await asyncio.sleep(0)
    server.release()
    return await task


@pytest.mark.parametrize("settled", [False, True], ids=["under-way", "answered"])
async def test_repeated_call_gets_what_was_bought(
    settled: bool, server: HeldServer, tmp_path: Path
) -> None:
    """The same call again is answered with the image that was paid for: one POST, one file."""
    tool = tool_of(server, save_to=tmp_path)
    await cancel_when_posted(tool, SLOW, server)
    message = await repeated(tool, SLOW, server, settled=settled)
    assert message.status == "success"
    assert message.artifact["prompt"] == SLOW["args"]["prompt"]
    told = [message.artifact[name] for name in ("replayed", "cost_usd", "first_cost_usd")]
    assert told == [True, 0, 0.045], "the cost was told of the call that was cancelled"
    assert len(list(tmp_path.glob("*.png"))) == 1
    assert server.gateway.post_count == 1
    await tool.aclose()


async def test_call_may_be_cancelled_again(server: HeldServer) -> None:
    """However often a call is cancelled and repeated, it is paid for once."""
    tool = tool_of(server)
    await cancel_when_posted(tool, SLOW, server)
    for _ in range(3):
        task = asyncio.create_task(tool.ainvoke(SLOW))
        for _ in range(20):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    server.release()
    assert (await tool.ainvoke(SLOW)).status == "success"
    assert server.gateway.post_count == 1


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(drawing("an owl"), id="prompt"),
        pytest.param({**SLOW, "id": "call_2"}, id="id"),
        pytest.param({**SLOW, "args": {**SLOW["args"], "size": "512*512"}}, id="size"),
        pytest.param(SLOW["args"], id="no-tool-call"),
    ],
)
async def test_another_call_is_another_image(other: Any, server: HeldServer) -> None:
    """A call that differs in its id, its arguments or has no id is paid for by itself."""
    tool = tool_of(server)
    await cancel_when_posted(tool, SLOW, server)
    server.release()
    await tool.ainvoke(other)
    assert server.gateway.post_count == 2
    await until_settled(tool)


async def test_image_is_handed_out_once(server: HeldServer) -> None:
    """Once it was handed out, the same call again is a new image."""
    tool = tool_of(server)
    await cancel_when_posted(tool, SLOW, server)
    server.release()
    for _ in range(2):
        await tool.ainvoke(SLOW)
    assert server.gateway.post_count == 2


@pytest.mark.parametrize("settled", [False, True], ids=["under-way", "answered"])
async def test_failure_that_may_be_billed_is_not_repeated(
    settled: bool, server: HeldServer
) -> None:
    """A cancelled call that failed and may have been billed fails the same way, without a POST."""
    tool = tool_of(server)
    lost = drawing("sandbox:drop")
    await cancel_when_posted(tool, lost, server)
    message = await repeated(tool, lost, server, settled=settled)
    assert message.status == "error"
    assert "may have been billed" in message.text
    assert server.gateway.post_count == 1


def test_call_of_a_loop_that_is_gone(server: HeldServer) -> None:
    """A call that ended with its event loop is not waited for: the next loop sends its own."""
    tool = tool_of(server)
    asyncio.run(cancel_when_posted(tool, SLOW, server))
    server.release()
    assert asyncio.run(tool.ainvoke(SLOW)).status == "success"
    assert server.gateway.post_count == 2
