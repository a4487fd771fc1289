"""Progress of a request, told often enough that a host does not take it for dead.

Hosts give a tool call a minute or less, and begin anew at each sign of progress.
"""

import asyncio
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from langchain_core.callbacks import AsyncCallbackHandler
from mcp.server.session import ServerSession

from langchain_qwen_image.account.deliveries import HOLD_SECONDS
from langchain_qwen_image.mcp.tickets import Ticket
from langchain_qwen_image.pipeline.progress import EVENT

__all__ = ["Progress"]

_TICK_SECONDS = 1.5


class Progress:
    """Tells the stage of a request when it changes, and meanwhile in short intervals.

    Attributes:
        ticket: What is renewed while the request is under way.
    """

    def __init__(self, session: ServerSession) -> None:
        """Take the request's own channel; a client that wants no progress is told none."""
        self.ticket: Ticket | None = None
        self.listener = _Listener(self)
        self._session = session
        self._started = time.monotonic()
        self._told = -1.0
        self._stage = "waiting"
        self._ticking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.tell("waiting")
        self._ticking = asyncio.ensure_future(self._tick())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._ticking is not None:
            self._ticking.cancel()

    async def tell(self, stage: str) -> None:
        """Tell that a stage is reached, or goes on."""
        self._stage = stage
        seconds = time.monotonic() - self._started
        self._told = max(round(seconds, 3), self._told + 0.001)  # it has to grow
        text = f"{stage}, {seconds:.0f} s" if seconds >= 1 else stage
        with suppress(Exception):  # the client may be gone: the transport finds out
            await self._session.report_progress(self._told, message=text)

    async def _tick(self) -> None:
        renew_at = HOLD_SECONDS / 3
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            if self.ticket is not None and time.monotonic() - self._started >= renew_at:
                renew_at += HOLD_SECONDS / 3
                self.ticket.renew()
            await self.tell(self._stage)


class _Listener(AsyncCallbackHandler):
    """Hears the stages of a call, as LangChain's callbacks tell them."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    async def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        if name == EVENT:
            await self._progress.tell(data["stage"])
