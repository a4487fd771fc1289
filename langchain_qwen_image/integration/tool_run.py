"""What is known of a run of a tool while it lasts, for code that is not told."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import NamedTuple

from langchain_core.tools import BaseTool


class ToolRun(NamedTuple):
    """A run that LangChain makes of a tool: it has checked the arguments."""

    tool: BaseTool
    tool_call_id: str | None


_current: ContextVar[ToolRun | None] = ContextVar("qwen_image_tool_run", default=None)


@contextmanager
def noted(tool: BaseTool, tool_call_id: str | None) -> Iterator[None]:
    """Note a run for as long as the block lasts."""
    token = _current.set(ToolRun(tool, tool_call_id))
    try:
        yield
    finally:
        with suppress(ValueError):  # a coroutine that is closed from elsewhere has no part there
            _current.reset(token)


def current_run(tool: BaseTool) -> ToolRun | None:
    """Return the run of this tool that is under way here; None where a host calls it directly."""
    run = _current.get()
    return run if run is not None and run.tool is tool else None


def latest_run() -> ToolRun | None:
    """Return the run that is under way here, of whichever of our tools."""
    return _current.get()
