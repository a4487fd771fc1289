"""What LangGraph cannot tell to be the same step, or is another one, is a new image."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from graphs import Program, asking, drawn, tool_graph
from held import HeldServer
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool as as_tool
from langgraph.graph import START, MessagesState, StateGraph
from scripted_model import ScriptedModel, asks_for, drawing
from waiting import wait_until

from langchain_qwen_image import QwenImageTool

ASK: Any = {"messages": [("user", "Draw.")]}
FOX = drawing("a fox")


def all_paid(*artifacts: Any) -> bool:
    """Say whether these are as many images, each paid for."""
    images = {artifact["images"][0]["id"] for artifact in artifacts}
    told = [(artifact["replayed"], artifact["cost_usd"]) for artifact in artifacts]
    return len(images) == len(artifacts) and told == [(False, 0.045)] * len(artifacts)


@pytest.fixture
def program(program_of: Callable[..., Program], keyed_tool: QwenImageTool) -> Program:
    """Return a program of one node, which runs the tool."""
    return program_of(partial(tool_graph, [keyed_tool]))


def test_later_turn(program: Program, held: HeldServer) -> None:
    """The next turn of a thread, with equal id and arguments: 2 POSTs."""
    first = drawn(program.invoke(asking(FOX)))
    assert all_paid(*drawn(program.invoke(asking(FOX))))
    assert len(first) == 1
    assert held.gateway.post_count == 2


def test_later_turn_of_an_agent(
    program_of: Callable[..., Program], keyed_tool: QwenImageTool, held: HeldServer
) -> None:
    """The next turn of an agent, with equal arguments and an id of its own: 2 POSTs."""
    turns = [asks_for("a fox"), AIMessage("Here."), asks_for("a fox", start=2)]
    program = program_of(
        lambda saver: create_agent(ScriptedModel(turns=turns), [keyed_tool], checkpointer=saver)
    )
    program.invoke(ASK)
    assert all_paid(*drawn(program.invoke(ASK)))
    assert held.gateway.post_count == 2


def test_other_thread(program: Program, held: HeldServer) -> None:
    """Another thread of the same graph, with equal id and arguments: 2 POSTs."""
    artifacts = drawn(program.invoke(asking(FOX)))
    artifacts += drawn(program.invoke(asking(FOX), {"configurable": {"thread_id": "two"}}))
    assert all_paid(*artifacts)
    assert held.gateway.post_count == 2


def test_time_travel(program: Program, held: HeldServer) -> None:
    """A step that is run again from an old checkpoint: a new image each time."""
    artifacts = drawn(program.invoke(asking(FOX)))
    before = program.before("tools")
    for _ in range(2):
        artifacts += drawn(program.invoke(None, before))
    assert all_paid(*artifacts)
    assert held.gateway.post_count == 3


def test_fork(program: Program, held: HeldServer) -> None:
    """A fork of an old checkpoint by `update_state`: a new image, and one payment for it."""
    artifacts = drawn(program.invoke(asking(FOX)))
    fork = program.fork(program.before("tools"), {"messages": []})
    artifacts += drawn(program.invoke(None, fork))
    assert all_paid(*artifacts)
    assert held.gateway.post_count == 2


def test_subgraph_without_a_checkpointer(
    program_of: Callable[..., Program], keyed_tool: QwenImageTool, held: HeldServer
) -> None:
    """A subgraph with `checkpointer=False` starts anew when its step runs again: 2 POSTs."""
    failures = ["broken"]

    @as_tool
    def breaks() -> str:
        """Break."""
        wait_until(lambda: held.gateway.post_count)
        if failures:
            raise LookupError(failures.pop())
        return "whole"

    def build(saver: Any) -> Any:
        graph = StateGraph(MessagesState)
        graph.add_node("inner", tool_graph([keyed_tool, breaks], False))
        graph.add_edge(START, "inner")
        return graph.compile(checkpointer=saver)

    program = program_of(build)
    both = asking(FOX, {"name": "breaks", "args": {}, "id": "call_9", "type": "tool_call"})
    with pytest.raises(LookupError):
        program.invoke(both)
    assert all_paid(*drawn(program.invoke(None)))
    assert held.gateway.post_count == 2


def test_switched_off(
    program_of: Callable[..., Program], make_tool: Callable[..., QwenImageTool], held: HeldServer
) -> None:
    """With `idempotency=False` the same id and arguments twice in one message: 2 POSTs."""
    program = program_of(partial(tool_graph, [make_tool(idempotency=False)]))
    assert all_paid(*drawn(program.invoke(asking(FOX, FOX))))
    assert held.gateway.post_count == 2


def test_key_of_a_chain(program: Program, held: HeldServer) -> None:
    """A key in the configuration is the generator's: two tool calls under it are 2 POSTs."""
    chained = {"configurable": {"thread_id": "one", "idempotency_key": "order-17"}}
    calls = (drawing("a fox"), drawing("an owl", id="call_2"))
    assert all_paid(*drawn(program.invoke(asking(*calls), chained)))
    assert held.gateway.post_count == 2


def test_without_a_tool_call(
    program_of: Callable[..., Program], keyed_tool: QwenImageTool, held: HeldServer
) -> None:
    """Called in a node with arguments alone, the tool makes a new image each time: 2 POSTs."""

    def node(state: Any) -> None:
        for _ in range(2):
            keyed_tool.invoke({"prompt": "a fox"})

    def build(saver: Any) -> Any:
        graph = StateGraph(MessagesState)
        graph.add_node("node", node)
        graph.add_edge(START, "node")
        return graph.compile(checkpointer=saver)

    program_of(build).invoke({"messages": []})
    assert held.gateway.post_count == 2
