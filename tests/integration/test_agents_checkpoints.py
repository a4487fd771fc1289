"""Agents that are checkpointed: what comes back after a restart, and how much is stored."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from conftest import Call
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool
from langchain_core.tools import tool as as_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from scripted_model import ScriptedModel, asks_for

from langchain_qwen_image import ImageGenerationResult, QwenImageTool
from langchain_qwen_image.sandbox import SandboxServer

KEY = "test-key-of-the-checkpoints"
THREAD: Any = {"configurable": {"thread_id": "one"}}
PROCESS = """
import asyncio, json, sys
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.types import Command
from scripted_model import ScriptedModel, asks_for, looks
from langchain_qwen_image import QwenImageToolkit
world, step, file, base_url = sys.argv[1:]
thread = {"configurable": {"thread_id": "one"}}
given = {
    "ask": {"messages": [("user", "Draw.")]},
    "approve": Command(resume={"decisions": [{"type": "approve"}]}),
    "look": {"messages": [("user", "Look.")]},
}[step]

def agent_of(saver):
    drawing = asks_for("a fox, 一只狐狸", size="512*512")
    return create_agent(
        ScriptedModel(turns=[drawing, AIMessage("Here it is."), looks]),
        QwenImageToolkit(base_url=base_url, save_to="images").get_tools(),
        middleware=[HumanInTheLoopMiddleware(interrupt_on={"generate_image": True})],
        checkpointer=saver,
    )

def run():
    with SqliteSaver.from_conn_string(file) as saver:
        agent = agent_of(saver)
        return agent.get_state(thread).values, agent.invoke(given, thread)

async def arun():
    async with AsyncSqliteSaver.from_conn_string(file) as saver:
        agent = agent_of(saver)
        return (await agent.aget_state(thread)).values, await agent.ainvoke(given, thread)

states = run() if world == "sync" else asyncio.run(arun())
print(json.dumps([
    [one.model_dump() for one in state.get("messages", []) if isinstance(one, ToolMessage)]
    for state in states
]))
"""


def _process(world: str, step: str, folder: Path, server: SandboxServer) -> tuple[Any, Any]:
    """Run one step in a process of its own, where every warning is an error.

    Returns the tool messages that the process found, and those that it left.
    """
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROCESS, world, step, "t.db", server.base_url],
        cwd=folder,
        env={
            **os.environ,
            "LANGGRAPH_STRICT_MSGPACK": "true",
            "PIXAZO_API_KEY": KEY,
            "PYTHONPATH": str(Path(__file__).parents[1]),
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.stderr == ""
    found, left = json.loads(run.stdout)
    return found, left


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    "worlds",
    [
        pytest.param(["sync", "async", "sync"], id="both"),
        pytest.param(["sync"] * 3, id="sync"),
        pytest.param(["async"] * 3, id="async"),
    ],
)
def test_conversation_goes_on_in_other_processes(
    worlds: list[str], server: SandboxServer, tmp_path: Path
) -> None:
    """Asked, approved and looked at in three processes under strict msgpack: one POST.

    The artifact comes back equal and with no warning, and the last process still finds the image.
    """
    asked, approved, looked_at = worlds
    assert _process(asked, "ask", tmp_path, server) == ([], [])
    assert server.gateway.post_count == 0
    _, (drawn,) = _process(approved, "approve", tmp_path, server)
    found, (again, looked) = _process(looked_at, "look", tmp_path, server)
    assert found == [again] == [drawn]
    result = ImageGenerationResult.from_artifact(drawn["artifact"])
    assert result.prompt == "a fox, 一只狐狸"
    assert (tmp_path / str(result.image.path)).read_bytes().startswith(b"\x89PNG")
    assert [block["type"] for block in looked["content"]] == ["text", "image"]
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
    (saved,) = _artifacts(agent.get_state(THREAD).values)
    assert saved == given
    assert json.loads(json.dumps(saved)) == given
    assert ImageGenerationResult.from_artifact(saved) == ImageGenerationResult.from_artifact(given)


PROMPT = (
    "Image {}: an old lighthouse on a cliff at dusk, waves breaking below, oil painting with "
    "thick strokes, warm light in one window, gulls, a path with one walker seen from behind."
)


@as_tool("generate_image")
def text_only(prompt: str) -> str:
    """Do as little as a tool can: what is stored then is LangGraph's own."""
    return "Done."


def _stored_in_file(file: Path) -> tuple[int, int]:
    """Return the bytes of a thread's last checkpoint in SQLite, and of all that is stored."""
    with closing(sqlite3.connect(file)) as database:
        return database.execute(
            "SELECT (SELECT length(checkpoint) FROM checkpoints ORDER BY checkpoint_id DESC),"
            " sum(length(checkpoint) + length(metadata))"
            " + (SELECT coalesce(sum(length(value)), 0) FROM writes) FROM checkpoints"
        ).fetchone()


def _stored_in_memory(saver: InMemorySaver) -> tuple[int, int]:
    """Return the same of a checkpointer in memory, which stores each value once a version."""
    found = saver.get_tuple(THREAD)
    assert found is not None
    by_id = [entries for thread in saver.storage.values() for entries in thread.values()]
    every = [typed for entries in by_id for entry in entries.values() for typed in entry[:2]]
    every += saver.blobs.values()
    every += [write[2] for step in saver.writes.values() for write in step.values()]
    return len(saver.serde.dumps_typed(found.checkpoint)[1]), sum(len(typed[1]) for typed in every)


def _agent_of_four_turns(tool: BaseTool, saver: Any) -> Any:
    turns: list[Any] = []
    for number in range(1, 5):
        turns += [asks_for(PROMPT.format(number), start=number), AIMessage("Here it is.")]
    return create_agent(ScriptedModel(turns=turns), [tool], checkpointer=saver)


class Conversation:
    """Four questions to an agent, each answered with an image, in either world."""

    def __init__(self, tool: BaseTool, file: Path | None, **settings: Any) -> None:
        self._tool, self._file, self._settings = tool, file, settings

    def stored(self) -> tuple[int, int]:
        if self._file is None:
            saver = InMemorySaver()
            self._ask(_agent_of_four_turns(self._tool, saver))
            return _stored_in_memory(saver)
        with SqliteSaver.from_conn_string(str(self._file)) as file:
            self._ask(_agent_of_four_turns(self._tool, file))
        return _stored_in_file(self._file)

    async def astored(self) -> tuple[int, int]:
        if self._file is None:
            saver = InMemorySaver()
            await self._aask(_agent_of_four_turns(self._tool, saver))
            return _stored_in_memory(saver)
        async with AsyncSqliteSaver.from_conn_string(str(self._file)) as file:
            await self._aask(_agent_of_four_turns(self._tool, file))
        return _stored_in_file(self._file)

    def _ask(self, agent: Any) -> None:
        for _ in range(4):
            agent.invoke({"messages": [HumanMessage("Draw.")]}, THREAD, **self._settings)

    async def _aask(self, agent: Any) -> None:
        for _ in range(4):
            await agent.ainvoke({"messages": [HumanMessage("Draw.")]}, THREAD, **self._settings)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Give a folder whose name is short: it is in each checkpoint, many times."""
    with TemporaryDirectory(prefix="q-") as name:
        yield Path(name).resolve()


@pytest.mark.parametrize("in_file", [True, False], ids=["sqlite", "memory"])
@pytest.mark.parametrize("saved", [True, False], ids=["saved", "links-only"])
def test_four_turns_are_small(
    saved: bool, in_file: bool, server: SandboxServer, short_path: Path, call: Call
) -> None:
    """Four turns with an image each are under 50 kB of a checkpoint, of which an image is 2 kB.

    The history of all twenty checkpoints is larger with any tool, so it is held to what one that
    answers with a word leaves; with one checkpoint a turn all of it is under 50 kB.
    """
    tool = QwenImageTool(
        base_url=server.base_url, api_key=KEY, save_to=short_path / "images" if saved else None
    )

    def stored(tool: BaseTool, **settings: Any) -> tuple[int, int]:
        file = short_path / f"{tool.__class__.__name__}{len(settings)}.db" if in_file else None
        last, history = call(Conversation(tool, file, **settings), "stored")
        return last, history

    last, history = stored(tool)
    last_of_text, history_of_text = stored(text_only)
    assert last_of_text < last < 50_000
    assert last - last_of_text < 4 * 2_000
    assert history - history_of_text < (50_000 if saved else 80_000)
    assert stored(tool, durability="exit")[1] < 50_000
    assert server.gateway.post_count == 8
