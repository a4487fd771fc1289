"""Keys of tool calls: what they are made from, and what LangGraph calls a step that runs again."""

from collections.abc import Mapping
from typing import Any

import pytest
from conftest import Call
from graphs import THREAD, asking, tool_graph
from hypothesis import given
from hypothesis import strategies as st
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool as as_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import RetryPolicy
from scripted_model import ScriptedModel, drawing

from langchain_qwen_image.integration.tool_keys import tool_call_key
from langchain_qwen_image.schemas import QwenImageInput

FOX = QwenImageInput(prompt="a fox")
CALL = drawing("a fox")


def config_of(thread: Any = "one", namespace: Any = "tools:17", **more: Any) -> dict[str, Any]:
    """Return what LangGraph hands to a tool."""
    return {"configurable": {"thread_id": thread, "checkpoint_ns": namespace, **more}}


def test_the_same_call_has_the_same_key() -> None:
    """The key depends on its parts alone: it is as good in another process, and next year."""
    known = "tool-9a928e8e2bf2bc66357538dddf957c661c5dca71a9cb9bb357f2d421b1c3efb5"
    assert tool_call_key(config_of(), "call_1", FOX) == known


@pytest.mark.parametrize(
    ("config", "tool_call_id", "arguments"),
    [
        pytest.param(config_of("two"), "call_1", FOX, id="thread"),
        pytest.param(config_of(namespace="tools:18"), "call_1", FOX, id="step"),
        pytest.param(config_of(), "call_2", FOX, id="tool-call"),
        pytest.param(config_of(), "call_1", QwenImageInput(prompt="an owl"), id="prompt"),
        pytest.param(
            config_of(), "call_1", QwenImageInput(prompt="a fox", size="512*512"), id="size"
        ),
    ],
)
def test_each_part_makes_another_key(
    config: dict[str, Any], tool_call_id: str, arguments: QwenImageInput
) -> None:
    """Another thread, step, call, prompt or parameter is another image."""
    assert tool_call_key(config, tool_call_id, arguments) not in (
        None,
        tool_call_key(config_of(), "call_1", FOX),
    )


def test_each_tool_has_its_own_keys() -> None:
    """Models that count the calls of each tool from the start call two tools by one id."""
    keys = {tool_call_key(config_of(), "call_1", FOX, tool=name) for name in ("draw", "paint")}
    assert len(keys | {tool_call_key(config_of(), "call_1", FOX)}) == 3


def test_what_is_left_out_is_as_sent() -> None:
    """A default that a model spells out makes no other image."""
    spelled = QwenImageInput(prompt="a fox", negative_prompt="", size="1328*1328", watermark=True)
    assert tool_call_key(config_of(), "1", spelled) == tool_call_key(config_of(), "1", FOX)


@pytest.mark.parametrize(
    ("config", "tool_call_id"),
    [
        pytest.param(config_of(), None, id="no-tool-call"),
        pytest.param(config_of(), "", id="empty-id"),
        pytest.param(config_of(None), "call_1", id="no-thread"),
        pytest.param(config_of(""), "call_1", id="empty-thread"),
        pytest.param(config_of(namespace=None), "call_1", id="no-graph"),
        pytest.param(config_of(namespace=""), "call_1", id="no-step"),
        pytest.param(config_of(__pregel_checkpointer=None), "call_1", id="no-checkpointer"),
        pytest.param({"configurable": {}}, "call_1", id="nothing-configured"),
        pytest.param({}, "call_1", id="empty"),
        pytest.param(None, "call_1", id="no-run"),
    ],
)
def test_what_cannot_be_known_again_has_no_key(
    config: Mapping[str, Any] | None, tool_call_id: str | None
) -> None:
    """Without a tool call or a checkpointer there is no key."""
    assert tool_call_key(config, tool_call_id, FOX) is None


_texts = st.text(min_size=1)


@given(_texts, _texts, _texts, _texts, _texts, _texts)
def test_parts_do_not_run_into_each_other(
    thread: str, step: str, call: str, thread_2: str, step_2: str, call_2: str
) -> None:
    """Two keys are equal only if all of their parts are."""
    parts, others = (thread, step, call), (thread_2, step_2, call_2)
    keys = [tool_call_key(config_of(t, s), c, FOX) for t, s, c in (parts, others)]
    assert (keys[0] == keys[1]) == (parts == others)


class Keys:
    """A tool in place of ours, which notes the keys of its calls, and fails where it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.seen: list[str | None] = []

        @as_tool("generate_image")
        def draw(prompt: str, config: RunnableConfig) -> str:
            """Note the key."""
            nonlocal failures
            self.seen.append(tool_call_key(config, "call_1", QwenImageInput(prompt=prompt)))
            if failures:
                failures -= 1
                raise ValueError("broken")
            return "Done."

        self.tool = draw


def agent_of(keys: Keys, checkpointer: Any) -> Any:
    """Return an agent whose model asks twice for the same in one message."""
    turns = [AIMessage("", tool_calls=[CALL, CALL])]
    return create_agent(ScriptedModel(turns=turns), [keys.tool], checkpointer=checkpointer)


def is_one_key(keys: Keys, calls: int) -> bool:
    """Say whether there were so many calls, all of one key."""
    return len(keys.seen) == calls and len(set(keys.seen)) == 1 and keys.seen[0] is not None


@pytest.mark.parametrize("agent", [False, True], ids=["node", "agent"])
def test_calls_of_one_message_share_the_step(agent: bool, call: Call) -> None:
    """The same call twice in a message has one key, be it run in one task or in two."""
    keys = Keys()
    given: Any = {"messages": [("user", "Draw.")]} if agent else asking(CALL, CALL)
    graph = agent_of(keys, InMemorySaver()) if agent else tool_graph([keys.tool], InMemorySaver())
    call(graph, "invoke", given, THREAD)
    assert is_one_key(keys, 2)


def test_attempts_of_a_step_share_it(call: Call) -> None:
    """An attempt of a `RetryPolicy`, and a resumed step, have the key of the first one."""
    keys = Keys(failures=3)
    policy = RetryPolicy(max_attempts=2, initial_interval=0.001, retry_on=ValueError)
    graph = tool_graph([keys.tool], InMemorySaver(), retry_policy=policy)
    with pytest.raises(ValueError, match="broken"):
        call(graph, "invoke", asking(CALL), THREAD)
    call(graph, "invoke", None, THREAD)
    assert is_one_key(keys, 4)


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_steps_of_one_run_have_their_own(durability: str, call: Call) -> None:
    """A graph that comes back to the same node with an equal call is at another step each time."""
    keys = Keys()
    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda _: asking(CALL))
    graph.add_node("tools", ToolNode([keys.tool]))
    graph.add_edge(START, "model")
    graph.add_edge("model", "tools")
    graph.add_conditional_edges("tools", lambda _: "model" if len(keys.seen) < 3 else "__end__")
    built = graph.compile(checkpointer=InMemorySaver())
    call(built, "invoke", {"messages": []}, THREAD, durability=durability)
    assert len(set(keys.seen)) == len(keys.seen) == 3
    assert None not in keys.seen


def test_tasks_of_a_loop_are_steps_of_their_own() -> None:
    """Called in a `@task`, each turn of a loop has its key, and keeps it when it runs again."""
    keys = Keys(failures=1)

    @task
    def draw() -> str:
        return str(keys.tool.invoke(CALL).text)

    @entrypoint(checkpointer=InMemorySaver())
    def loop(turns: int) -> list[str]:
        return [draw().result() for _ in range(turns)]

    with pytest.raises(ValueError, match="broken"):
        loop.invoke(2, THREAD)
    assert loop.invoke(None, THREAD) == ["Done.", "Done."]
    first, again, second = keys.seen
    assert again == first != second


def test_turns_of_a_loop_in_one_step_are_one() -> None:
    """Called in a loop inside a node, with one id, every turn has the same key: it is one image."""
    keys = Keys()

    @entrypoint(checkpointer=InMemorySaver())
    def loop(turns: int) -> int:
        for _ in range(turns):
            keys.tool.invoke(CALL)
        return turns

    loop.invoke(2, THREAD)
    assert is_one_key(keys, 2)


@pytest.mark.parametrize("thread", [THREAD, None], ids=["thread", "no-thread"])
def test_without_a_checkpointer_there_is_no_key(thread: Any, call: Call) -> None:
    """A thread's name alone is not enough: LangGraph hands it over without a checkpointer, too."""
    keys = Keys()
    call(tool_graph([keys.tool], None), "invoke", asking(CALL), thread)
    assert keys.seen == [None]
