"""Without a key, equal tool calls that are under way in this process are one call."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from graphs import Program, asking, drawn, tool_graph
from held import HeldServer
from scripted_model import drawing
from waiting import wait_until

from langchain_qwen_image import QwenImageTool

FOX = drawing("a fox")
Ask = Callable[[QwenImageTool, Any], Any]


def in_a_thread(tool: QwenImageTool, call: Any) -> Any:
    """Call in this thread."""
    return tool.invoke(call)


def on_a_loop(tool: QwenImageTool, call: Any) -> Any:
    """Call on a loop of its own."""
    return asyncio.run(tool.ainvoke(call))


def in_a_graph(tool: QwenImageTool, call: Any) -> Any:
    """Call in a graph without a checkpointer, for which a thread is named all the same."""
    thread: Any = {"configurable": {"thread_id": "one"}}
    return tool_graph([tool], None).invoke(asking(call), thread)["messages"][-1]


@pytest.fixture(params=[True, False], ids=["account", "no-account"])
def make(request: pytest.FixtureRequest, held: HeldServer, tmp_path: Path) -> Any:
    """Return what makes tools, with an account and without."""
    account = tmp_path / "a.db" if request.param else None
    return partial(QwenImageTool, base_url=held.base_url, api_key="test-key", account=account)


def both(tool: QwenImageTool, asks: tuple[Ask, Ask], calls: Any, held: HeldServer) -> list[Any]:
    """Make two calls at the same moment, and return their artifacts."""
    held.hold()
    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(ask, tool, one) for ask, one in zip(asks, calls, strict=True)]
        wait_until(lambda: held.gateway.post_count == 2 or _waiting(tool) == 2)
        held.release()
        return [one.result().artifact for one in asked]


def _waiting(tool: QwenImageTool) -> int:
    return max((one.waiting for one in list(tool.pipeline.shared._under_way.values())), default=0)


@pytest.mark.parametrize(
    "asks",
    [
        pytest.param((in_a_thread, in_a_thread), id="threads"),
        pytest.param((on_a_loop, on_a_loop), id="loops"),
        pytest.param((in_a_thread, on_a_loop), id="both"),
        pytest.param((in_a_graph, in_a_graph), id="graphs"),
    ],
)
def test_equal_calls_are_joined(asks: tuple[Ask, Ask], make: Any, held: HeldServer) -> None:
    """The same id and arguments at once: 1 POST; once more after the end: another."""
    tool = make()
    artifacts = both(tool, asks, (FOX, FOX), held)
    assert sorted(one["cost_usd"] for one in artifacts) == [0.0, 0.045]
    assert sorted(one["replayed"] for one in artifacts) == [False, True]
    assert held.gateway.post_count == 1
    assert asks[0](tool, FOX).artifact["cost_usd"] == 0.045
    assert held.gateway.post_count == 2
    tool.close()


@pytest.mark.parametrize(
    ("other", "settings"),
    [
        pytest.param(FOX, {"idempotency": False}, id="switched-off"),
        pytest.param(drawing("a fox", id="call_2"), {}, id="other-id"),
        pytest.param(drawing("an owl"), {}, id="other-prompt"),
    ],
)
def test_other_calls_are_not(other: Any, settings: Any, make: Any, held: HeldServer) -> None:
    """Switched off, and with another id or other arguments: 2 POSTs."""
    tool = make(**settings)
    artifacts = both(tool, (in_a_thread, on_a_loop), (FOX, other), held)
    assert [one["cost_usd"] for one in artifacts] == [0.045, 0.045]
    assert held.gateway.post_count == 2
    tool.close()


def test_calls_without_an_id_are_not(make: Any, held: HeldServer) -> None:
    """Models that give no ids mean each call: 2 POSTs."""
    tool = make()
    nameless = drawing("a fox", id="")
    artifacts = both(tool, (in_a_thread, in_a_thread), (nameless, nameless), held)
    assert [one["cost_usd"] for one in artifacts] == [0.045, 0.045]
    assert held.gateway.post_count == 2
    tool.close()


def test_two_threads_of_a_graph_are_two(held: HeldServer) -> None:
    """Under a checkpointer the thread tells calls apart, also without an account: 2 POSTs.

    Models in scripts and tests count their calls from one: equal ids are no rarity.
    """
    tool = QwenImageTool(base_url=held.base_url, api_key="test-key")
    program = Program(partial(tool_graph, [tool]))
    held.hold()
    with ThreadPoolExecutor(2) as threads:
        threads_of: list[Any] = [{"configurable": {"thread_id": name}} for name in ("one", "two")]
        asked = [threads.submit(program.invoke, asking(FOX), thread) for thread in threads_of]
        wait_until(lambda: held.gateway.post_count == 2)
        held.release()
        artifacts = [artifact for one in asked for artifact in drawn(one.result())]
    assert [one["cost_usd"] for one in artifacts] == [0.045, 0.045]
    tool.close()


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_twice_in_one_message_without_an_account(is_async: bool, held: HeldServer) -> None:
    """Under a checkpointer, and at once, the same call twice in a message is one: 1 POST."""
    tool = QwenImageTool(base_url=held.base_url, api_key="test-key")
    held.hold()
    program = Program(partial(tool_graph, [tool]), is_async=is_async)
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(program.invoke, asking(FOX, FOX))
        wait_until(lambda: _waiting(tool) == 2)
        held.release()
        artifacts = drawn(asked.result())
    assert sorted(one["cost_usd"] for one in artifacts) == [0.0, 0.045]
    assert held.gateway.post_count == 1
    tool.close()
