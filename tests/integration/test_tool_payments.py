"""One tool call of one step of a thread is paid for once, counted at the gateway."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from graphs import THREAD, Program, asking, drawn, tool_graph
from held import HeldServer
from keyed_tools import Stores
from langchain.agents import create_agent
from langchain.agents.middleware import ToolRetryMiddleware, wrap_tool_call
from langchain_core.messages import AIMessage
from langchain_core.tools import tool as as_tool
from langgraph.types import Command, RetryPolicy, interrupt
from scripted_model import ScriptedModel, drawing
from waiting import await_until, wait_until

from langchain_qwen_image import QwenImageTool

ASK: Any = {"messages": [("user", "Draw.")]}
FOX = drawing("a fox")
BREAK: Any = {"name": "breaks", "args": {}, "id": "call_9", "type": "tool_call"}


def posts(held: HeldServer) -> int:
    """Return how many POSTs came, once no call is under way."""
    return int(held.gateway.post_count)


def breaks_once(until: Callable[[], object]) -> Any:
    """Return a tool that fails once, when something has come."""
    failures = ["broken"]

    @as_tool
    def breaks() -> str:
        """Break."""
        wait_until(until)
        if failures:
            raise LookupError(failures.pop())
        return "whole"

    return breaks


def is_saved(tool: QwenImageTool) -> bool:
    """Say whether an image is in the books as saved."""
    account = tool.pipeline.account
    return account is not None and any(account.calls(states={"saved"}))


def once_paid(*artifacts: Any) -> bool:
    """Say whether these are one image, for which one call has paid, or one that is gone."""
    images = {artifact["images"][0]["id"] for artifact in artifacts}
    costs = sorted(artifact["cost_usd"] for artifact in artifacts)
    told = [artifact["replayed"] == (artifact["cost_usd"] == 0) for artifact in artifacts]
    return len(images) == 1 and costs[:-1] == [0.0] * (len(costs) - 1) and all(told)


def test_resumed_step(
    program_of: Callable[..., Program], keyed_tool: QwenImageTool, held: HeldServer
) -> None:
    """A step that failed after paying, and is resumed with None: 1 POST."""
    program = program_of(
        partial(tool_graph, [keyed_tool, breaks_once(lambda: is_saved(keyed_tool))])
    )
    with pytest.raises(LookupError):
        program.invoke(asking(FOX, BREAK))
    (artifact,) = drawn(program.invoke(None))
    assert (artifact["replayed"], artifact["cost_usd"]) == (True, 0.0)
    assert posts(held) == 1


@pytest.mark.parametrize("settled", [False, True], ids=["under-way", "answered"])
async def test_resumed_after_its_sibling_failed(
    settled: bool, stores: Stores, keyed_tool: QwenImageTool, held: HeldServer
) -> None:
    """A call that LangGraph cancels while its POST is out, and that is resumed: 1 POST."""
    held.hold()
    turns = [AIMessage("", tool_calls=[FOX, BREAK])]
    tools = [keyed_tool, breaks_once(lambda: posts(held))]
    program = Program(
        lambda saver: create_agent(ScriptedModel(turns=turns), tools, checkpointer=saver),
        file=stores.checkpoints,
    )
    with pytest.raises(LookupError):
        await program.ainvoke(ASK)
    if settled:
        held.release()
        await await_until(lambda: list(Path(keyed_tool.save_to).glob("*.png")))
    resumed = asyncio.create_task(program.ainvoke(None))
    await asyncio.sleep(0)
    held.release()
    (artifact,) = drawn(await resumed)
    assert (artifact["replayed"], artifact["cost_usd"]) == (True, 0.0)
    assert posts(held) == 1
    await keyed_tool.aclose()


def test_resumed_after_its_loop_was_closed(
    stores: Stores, keyed_tool: QwenImageTool, held: HeldServer
) -> None:
    """A call whose loop is closed while its POST is out, and that is resumed: 1 POST.

    What `asyncio.run` cancels at its end is lost, and the model is told so.
    """
    held.hold()
    tools = [keyed_tool, breaks_once(lambda: posts(held))]
    program = Program(partial(tool_graph, tools), is_async=True, file=stores.checkpoints)
    with pytest.raises(LookupError):
        program.invoke(asking(FOX, BREAK))
    held.release()
    *_, message, _ = program.invoke(None)["messages"]
    assert message.status == "error"
    assert "The image may have been billed. Nothing was sent this time." in message.text
    assert posts(held) == 1


def test_attempts_of_a_retry_policy(
    program_of: Callable[..., Program], keyed_tool: QwenImageTool, held: HeldServer
) -> None:
    """A node that its `RetryPolicy` runs again after paying: 1 POST."""
    again = RetryPolicy(max_attempts=2, initial_interval=0.001, retry_on=LookupError)
    tools = [keyed_tool, breaks_once(lambda: is_saved(keyed_tool))]
    program = program_of(partial(tool_graph, tools, retry_policy=again))
    (artifact,) = drawn(program.invoke(asking(FOX, BREAK)))
    assert artifact["replayed"]
    assert posts(held) == 1


def test_attempts_of_a_retrying_middleware(
    program_of: Callable[..., Program], keyed_tool: QwenImageTool, held: HeldServer
) -> None:
    """A tool call that middleware makes again, because something after it failed: 1 POST."""
    failures = ["broken", "broken"]

    def failing(message: Any) -> Any:
        if failures:
            raise LookupError(failures.pop())
        return message

    @wrap_tool_call
    def breaks(request: Any, handler: Any) -> Any:
        return failing(handler(request))

    @wrap_tool_call
    async def abreaks(request: Any, handler: Any) -> Any:
        return failing(await handler(request))

    turns = [AIMessage("", tool_calls=[FOX])]
    retrying = ToolRetryMiddleware(max_retries=2, initial_delay=0, jitter=False)
    program = program_of(
        lambda saver: create_agent(
            ScriptedModel(turns=turns),
            [keyed_tool],
            middleware=[retrying, abreaks if program.is_async else breaks],
            checkpointer=saver,
        )
    )
    (artifact,) = drawn(program.invoke(ASK))
    assert artifact["replayed"]
    assert posts(held) == 1


def test_interrupt_inside_the_tool(
    program_of: Callable[..., Program], keyed_tool: QwenImageTool, held: HeldServer
) -> None:
    """A host's tool that calls ours, asks a person and is resumed with the answer: 1 POST."""

    @as_tool
    def shows(prompt: str) -> Any:
        """Draw, and ask whether it will do."""
        message = keyed_tool.invoke(drawing(prompt))
        return interrupt("Will it do?"), message.artifact

    shows.response_format = "content_and_artifact"
    call = {**FOX, "name": "shows"}
    program = program_of(partial(tool_graph, [shows]))
    assert program.invoke(asking(call))["__interrupt__"]
    (artifact,) = drawn(program.invoke(Command(resume="Yes.")))
    assert artifact["replayed"]
    assert posts(held) == 1


@pytest.mark.parametrize("agent", [False, True], ids=["node", "agent"])
@pytest.mark.parametrize("at_once", [True, False], ids=["at-once", "one-by-one"])
def test_twice_in_one_message(
    agent: bool,
    at_once: bool,
    program_of: Callable[..., Program],
    keyed_tool: QwenImageTool,
    held: HeldServer,
) -> None:
    """The same id and arguments twice in one message: 1 POST, and one of the two pays."""
    turns = [AIMessage("", tool_calls=[FOX, FOX])]
    program = program_of(
        (lambda saver: create_agent(ScriptedModel(turns=turns), [keyed_tool], checkpointer=saver))
        if agent
        else partial(tool_graph, [keyed_tool])
    )
    config = THREAD if at_once else {**THREAD, "max_concurrency": 1}
    artifacts = drawn(program.invoke(ASK if agent else asking(FOX, FOX), config))
    assert len(artifacts) == 2
    assert once_paid(*artifacts)
    assert sum(artifact["cost_usd"] for artifact in artifacts) == 0.045
    assert posts(held) == 1


def test_two_at_the_same_moment(
    program_of: Callable[..., Program], keyed_tool: QwenImageTool, held: HeldServer
) -> None:
    """Two threads, or two loops, that go on with one thread of a graph at once: 1 POST."""
    program = program_of(
        lambda saver: create_agent(
            ScriptedModel(turns=[AIMessage("", tool_calls=[FOX])]),
            [keyed_tool],
            checkpointer=saver,
            interrupt_before=["tools"],
        )
    )
    program.invoke(ASK)
    held.hold()
    with ThreadPoolExecutor(2) as threads:
        both = [threads.submit(program.invoke, None) for _ in range(2)]
        wait_until(lambda: posts(held))
        held.release()
        artifacts = [drawn(one.result())[0] for one in both]
    assert once_paid(*artifacts)
    assert sum(artifact["cost_usd"] for artifact in artifacts) == 0.045
    assert posts(held) == 1
