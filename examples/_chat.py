"""What the chats share: an agent with a budget, and what it tells while it answers."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

from _scripted import make_parser, open_model, passes_on
from langchain.agents import create_agent
from langchain.agents.middleware import ToolErrorMiddleware
from langgraph.checkpoint.memory import InMemorySaver

from langchain_qwen_image import Budget, ImageGenerationResult, QwenImageError, QwenImageTool

Part = tuple[str, Any]
STREAM: Any = {"stream_mode": ["custom", "updates"]}


class Chat:
    """An agent that generates images for up to $1, with the options of the command line."""

    def __init__(self, description: str, **settings: Any) -> None:
        """Read the options; `settings` are those of the tool."""
        parser = make_parser(description)
        parser.add_argument("--port", type=int, default=8000, help="where the page is (8000)")
        given = parser.parse_args()
        self.port = given.port
        self.budget = Budget(max_usd=1)
        self.tool = QwenImageTool(
            sandbox=not given.live,
            save_to="images",
            size="768*768",
            budget=self.budget,
            progress_seconds=1,
            **{name: value.format(port=given.port) for name, value in settings.items()},
        )
        self.agent: Any = create_agent(
            open_model(given.model, passes_on),
            [self.tool],
            middleware=[ToolErrorMiddleware(_explain)],
            checkpointer=InMemorySaver(),
        )

    def reply(self, text: str, thread: str) -> Iterator[Part]:
        """Answer in a thread, and yield what to show: its kind, and a text or a result."""
        for mode, item in self.agent.stream(*_asked(text, thread), **STREAM):
            yield from self._parts(mode, item)
        yield "spent", self.spent

    async def areply(self, text: str, thread: str) -> AsyncIterator[Part]:
        """Async twin of `reply`."""
        async for mode, item in self.agent.astream(*_asked(text, thread), **STREAM):
            for part in self._parts(mode, item):
                yield part
        yield "spent", self.spent

    @property
    def spent(self) -> str:
        """What all threads have spent."""
        return f"${self.budget.spent_usd:.3f} of $1 spent"

    def _parts(self, mode: str, item: Any) -> Iterator[Part]:
        if mode == "custom":  # an event of the tool
            yield "progress", f"Image: {item['stage']}, {item['seconds']:.0f} s"
            return
        for update in item.values():
            for message in (update or {}).get("messages", []):
                for result in ImageGenerationResult.all_from(message):
                    yield "image", result
                if message.type == "tool" and message.status == "error":
                    yield "error", message.text
                if message.type == "ai" and message.text:
                    yield "text", message.text


def as_text(kind: str, value: Any) -> str:
    """Return a part as text: of an image, what to write below it."""
    if kind == "image":
        return f"{value.prompt} — ${value.cost_usd:.3f}"
    return f"⚠️ {value}" if kind == "error" else str(value)


def as_json(kind: str, value: Any) -> str:
    """Return a part as JSON for a page: its kind, its text, and the address of an image."""
    url = value.image.public_url if kind == "image" else None
    return json.dumps({"kind": kind, "text": as_text(kind, value), "url": url})


def _asked(text: str, thread: str) -> tuple[Any, Any]:
    return {"messages": [("user", text)]}, {"configurable": {"thread_id": thread}}


def _explain(error: Exception, request: Any) -> str | None:
    """Let errors that only the operator can fix be read too, instead of ending the run."""
    return str(error) if isinstance(error, QwenImageError) else None
