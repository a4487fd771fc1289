"""Graphs of LangGraph in either world, with a checkpointer in memory or in a file."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiosqlite
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from scripted_model import drawing

THREAD: Any = {"configurable": {"thread_id": "one"}}


class Program:
    """A program that runs a graph: it is built anew for each step, as after a restart.

    Attributes:
        graph: Makes the graph, given a checkpointer.
        is_async: Whether it runs on an event loop.
    """

    def __init__(
        self, graph: Callable[[Any], Any], *, is_async: bool = False, file: Path | None = None
    ) -> None:
        """Choose the world, and a file for the checkpoints, in place of the memory."""
        self.graph = graph
        self.is_async = is_async
        self._file = file
        self._memory = InMemorySaver()

    def invoke(self, given: Any, config: Any = THREAD, **options: Any) -> Any:
        """Run the graph."""
        if self.is_async:
            return asyncio.run(self.ainvoke(given, config, **options))
        if self._file is None:
            return self.graph(self._memory).invoke(given, config, **options)
        with SqliteSaver.from_conn_string(str(self._file)) as saver:
            return self.graph(saver).invoke(given, config, **options)

    async def ainvoke(self, given: Any, config: Any = THREAD, **options: Any) -> Any:
        """Run the graph on the running loop."""
        if self._file is None:
            return await self.graph(self._memory).ainvoke(given, config, **options)
        # In autocommit: LangGraph may cancel a write, whose transaction would lock the file as long
        # as a traceback holds its cursor.
        async with aiosqlite.connect(self._file, isolation_level=None) as connection:
            graph = self.graph(AsyncSqliteSaver(connection))
            return await graph.ainvoke(given, config, **options)

    def before(self, node: str) -> Any:
        """Return the latest checkpoint from which that node runs next."""
        return self._look(
            lambda graph: next(
                one.config for one in graph.get_state_history(THREAD) if node in one.next
            )
        )

    def fork(self, config: Any, values: Any) -> Any:
        """Change the state of a checkpoint, and return the new one."""
        return self._look(lambda graph: graph.update_state(config, values))

    def _look(self, look: Callable[[Any], Any]) -> Any:
        if self._file is None:
            return look(self.graph(self._memory))
        with SqliteSaver.from_conn_string(str(self._file)) as saver:
            return look(self.graph(saver))


def tool_graph(
    tools: list[Any], checkpointer: Any, *, interrupt_before: Any = None, **node: Any
) -> Any:
    """Return a graph of one node, which runs the tools that the last message asks for."""
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode(tools, handle_tool_errors=False), **node)
    graph.add_edge(START, "tools")
    return graph.compile(checkpointer=checkpointer, interrupt_before=interrupt_before)


def asking(*calls: Any) -> Any:
    """Return the state of a graph in which a model has just asked for these calls."""
    return {"messages": [AIMessage("", tool_calls=list(calls))]}


def drawn(state: Any) -> list[Any]:
    """Return the artifacts of the tool messages of a state that are of images."""
    messages = [one for one in state["messages"] if isinstance(one, ToolMessage)]
    return [one.artifact for one in messages if one.artifact is not None]


class RepeatedStep:
    """A step of a thread that calls a tool, and fails the first time, so that it runs again.

    Attributes:
        messages: What the tool said, each time.
        events: What it told while it worked.
    """

    def __init__(self, tool: BaseTool, prompt: str = "a fox") -> None:
        """Take the tool, and what it is to draw."""
        self.messages: list[Any] = []
        self.events: list[Any] = []
        self._tool = tool
        self._prompt = prompt
        graph = StateGraph(MessagesState)
        graph.add_node("draw", self._draw)
        graph.add_edge(START, "draw")
        self._graph: Any = graph.compile(checkpointer=InMemorySaver())

    def fail(self, **config: Any) -> None:
        """Run it for the first time."""
        with suppress(LookupError):
            self._run({"messages": []}, config)

    def resume(self, **config: Any) -> Any:
        """Run it again, and return what the tool said."""
        self._run(None, config)
        return self.messages[-1]

    def _draw(self, _: Any) -> None:
        self.messages.append(self._tool.invoke(drawing(self._prompt)))
        if len(self.messages) == 1:
            raise LookupError("broken")

    def _run(self, given: Any, config: dict[str, Any]) -> None:
        self.events.clear()
        for event in self._graph.stream(given, {**THREAD, **config}, stream_mode="custom"):
            self.events.append(event)
