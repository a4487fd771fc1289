"""Agents that are checkpointed: what comes back after a restart, and how much is stored."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Call
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.sqlite import SqliteSaver
from scripted_model import ScriptedModel, asks_for

from langchain_qwen_image import ImageGenerationResult, QwenImageTool
from langchain_qwen_image.sandbox import SandboxServer

KEY = "test-key-of-the-checkpoints"
THREAD: Any = {"configurable": {"thread_id": "one"}}
PROCESS = """
import asyncio, json, sys
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from scripted_model import ScriptedModel, asks_for
from langchain_qwen_image import QwenImageTool
world, step, file, base_url = sys.argv[1:]
thread = {"configurable": {"thread_id": "one"}}
tool = QwenImageTool(base_url=base_url, save_to="images")
model = ScriptedModel(turns=[asks_for("a fox, 一只狐狸", size="512*512")])

def show(state):
    message, = [one for one in state["messages"] if isinstance(one, ToolMessage)]
    print(json.dumps([message.content, message.artifact]))

def run():
    with SqliteSaver.from_conn_string(file) as saver:
        agent = create_agent(model, [tool], checkpointer=saver)
        if step == "draw":
            show(agent.invoke({"messages": [("user", "Draw.")]}, thread))
        else:
            show(agent.get_state(thread).values)

async def arun():
    async with AsyncSqliteSaver.from_conn_string(file) as saver:
        agent = create_agent(model, [tool], checkpointer=saver)
        if step == "draw":
            show(await agent.ainvoke({"messages": [("user", "Draw.")]}, thread))
        else:
            show((await agent.aget_state(thread)).values)

run() if world == "sync" else asyncio.run(arun())
"""


def _process(world: str, step: str, folder: Path, server: SandboxServer) -> Any:
    """Run one step of a conversation in a process of its own, where every warning is an error."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROCESS, world, step, "t.db", server.base_url],
        cwd=folder,
        env={
            **os.environ,
            "LANGGRAPH_STRICT_MSGPACK": "true",
            "PIXAZO_API_KEY": KEY,
            "PYTHONPATH": str(Path(__file__).parent),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.stderr == ""
    return json.loads(run.stdout)


@pytest.mark.parametrize("world", ["sync", "async"])
def test_artifact_comes_back_after_a_restart(
    world: str, server: SandboxServer, tmp_path: Path
) -> None:
    """Under strict msgpack, another process reads the equal artifact, with no warning."""
    drawn = _process(world, "draw", tmp_path, server)
    assert _process(world, "read", tmp_path, server) == drawn
    result = ImageGenerationResult.from_artifact(drawn[1])
    assert result.prompt == "a fox, 一只狐狸"
    assert result.image.read() == Path(result.image.path or "").read_bytes()
    assert server.gateway.post_count == 1
    assert KEY.encode() not in (tmp_path / "t.db").read_bytes()


def _artifacts(state: Any) -> list[Any]:
    return [one.artifact for one in state["messages"] if isinstance(one, ToolMessage)]


def test_memory_gives_the_equal_artifact(server: SandboxServer, tmp_path: Path, call: Call) -> None:
    """A checkpoint in memory gives back what the tool gave, and the object made of it is equal."""
    tool = QwenImageTool(base_url=server.base_url, api_key=KEY, save_to=tmp_path)
    model = ScriptedModel(turns=[asks_for("a fox")])
    agent = create_agent(model, [tool], checkpointer=InMemorySaver())
    (given,) = _artifacts(call(agent, "invoke", {"messages": [HumanMessage("Draw.")]}, THREAD))
    (kept,) = _artifacts(agent.get_state(THREAD).values)
    assert kept == given
    assert json.loads(json.dumps(kept)) == given
    assert ImageGenerationResult.from_artifact(kept) == ImageGenerationResult.from_artifact(given)


def _bytes_of_a_thread(saver: SqliteSaver) -> int:
    """Return the size of a thread's last checkpoint."""
    found = saver.get_tuple(THREAD)
    assert found is not None
    serde: SerializerProtocol = saver.serde
    return len(serde.dumps_typed(found.checkpoint)[1])


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "links-only"])
def test_four_turns_are_small(kept: bool, server: SandboxServer, tmp_path: Path) -> None:
    """A conversation of four turns with a picture each takes less than 50 kB of a checkpoint."""
    turns: list[Any] = []
    for number in range(1, 5):
        turns += [asks_for(f"fox {number} " * 40, start=number), AIMessage("Here it is.")]
    tool = QwenImageTool(
        base_url=server.base_url, api_key=KEY, save_to=tmp_path / "images" if kept else None
    )
    with SqliteSaver.from_conn_string(str(tmp_path / "threads.db")) as saver:
        agent = create_agent(ScriptedModel(turns=turns), [tool], checkpointer=saver)
        for _ in range(4):
            state = agent.invoke({"messages": [HumanMessage("Draw.")]}, THREAD)
        assert len(_artifacts(state)) == 4
        assert 2_000 < _bytes_of_a_thread(saver) < 50_000
    assert server.gateway.post_count == 4
