"""Progress of a call, for its listeners: LangChain's callbacks and LangGraph's stream.

Outside a run no event is sent. A listener that fails never makes a call fail.
"""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal, NotRequired, Protocol, Unpack

from langchain_core.callbacks import adispatch_custom_event, dispatch_custom_event
from langchain_core.runnables.config import var_child_runnable_config
from typing_extensions import TypedDict

from langchain_qwen_image.concurrency.runtime import Runtime
from langchain_qwen_image.pipeline.cancellation import CallState
from langchain_qwen_image.pipeline.heartbeat import Heartbeat, ThreadHeartbeat, in_task

EVENT: Literal["qwen_image"] = "qwen_image"
"""Name of the custom events, and `type` of what a LangGraph stream yields."""

Stage = Literal["waiting", "sent", "generating", "retrying", "queued", "received", "saved"]

_WAITS = ("sent", "queued")

logger = logging.getLogger("langchain_qwen_image")


class ProgressDetails(TypedDict, total=False):
    """What only some stages say.

    Attributes:
        error: `retrying`: class name of what an attempt met.
        wait_seconds: `retrying`: seconds until the next attempt.
        cost_usd: `received`: what the call cost, US dollars; 0 where another call had paid.
        replayed: `received`: whether another call had paid.
        image_id: `saved`: short id of the image.
        path: `saved`: its path or store key; where `public_url` is used, always the key.
        public_url: `saved`: address at which a browser sees it, where it has one.
    """

    error: str
    wait_seconds: float
    cost_usd: float
    replayed: bool
    image_id: str
    path: str
    public_url: str


class ProgressEvent(ProgressDetails):
    """One step of a call, as JSON.

    Attributes:
        type: Always `qwen_image`.
        stage: `waiting` at the start, before budget and rate limiter; `sent` as a POST leaves;
            `generating` every `progress_seconds` while its answer is waited for; `retrying` when
            it bought nothing and is to be repeated; `received` when the image is paid for and
            booked; `saved` when its file is written.
        seconds: Time since the call began, in seconds.
        call_id: The call's id, the same in the account.
        tool_call_id: The id of the model's tool call, where there was one.
    """

    type: Literal["qwen_image"]
    stage: Stage
    seconds: float
    call_id: str
    tool_call_id: NotRequired[str]


class _Saved(Protocol):
    id: str
    public_url: str | None

    @property
    def told_path(self) -> str | None: ...


def saved_details(image: _Saved) -> ProgressDetails:
    """Return what the stage `saved` says of an image."""
    details = ProgressDetails(image_id=image.id, path=image.told_path or "")
    if image.public_url is not None:
        details["public_url"] = image.public_url
    return details


class Progress:
    """Tells the stages of one call."""

    def __init__(
        self,
        runtime: Runtime,
        call_id: str,
        call_state: CallState | None,
        seconds: float | None = None,
    ) -> None:
        """Begin to count the seconds.

        Args:
            runtime: The world of the call.
            call_id: The call's id.
            call_state: Its state; when nobody waits for it any more, `generating` ends.
            seconds: How often `generating` is told while an answer is waited for; None for never.
        """
        self._runtime = runtime
        self._call_state = call_state or CallState()
        self._names = {"call_id": call_id}
        if self._call_state.tool_call_id:
            self._names["tool_call_id"] = self._call_state.tool_call_id
        self._seconds = seconds
        self._heartbeat: Heartbeat | None = None
        self._started = time.monotonic()

    async def tell(self, stage: Stage, **details: Unpack[ProgressDetails]) -> None:
        """Tell a stage to those who listen."""
        await self.rest()
        await self._say(stage, **details)
        if self._seconds is not None and stage in _WAITS:
            with _harmless():
                self._heartbeat = await self._runtime.either(
                    ThreadHeartbeat, in_task, self._seconds, self._beat
                )

    async def rest(self) -> None:
        """Tell no `generating` any more, and wait for one that is being told."""
        heartbeat, self._heartbeat = self._heartbeat, None
        if heartbeat is not None:
            heartbeat.end()
            await self._runtime.either(heartbeat.wait, heartbeat.await_end)

    async def _beat(self) -> bool:
        if self._call_state.abandoned:
            return False
        await self._say("generating")
        return True

    async def _say(self, stage: Stage, **details: Unpack[ProgressDetails]) -> None:
        event: Any = {
            "type": EVENT,
            "stage": stage,
            "seconds": round(time.monotonic() - self._started, 3),
            **self._names,
            **details,
        }
        await self._runtime.either(_tell, _atell, event)


def _tell(event: ProgressEvent) -> None:
    if _has_listeners():
        with _harmless():
            dispatch_custom_event(EVENT, event)
    _stream(event)


async def _atell(event: ProgressEvent) -> None:
    if _has_listeners():
        with _harmless():
            await adispatch_custom_event(EVENT, event)
    _stream(event)


def _has_listeners() -> bool:
    """Say whether callbacks listen to the current run; asking is a hundred times cheaper."""
    config = var_child_runnable_config.get()
    callbacks: Any = config and config.get("callbacks")
    return bool(getattr(callbacks, "handlers", callbacks))


def _stream(event: ProgressEvent) -> None:
    """Write to LangGraph's custom stream, if this runs inside a graph."""
    graph = sys.modules.get("langgraph.config")
    if graph is None or var_child_runnable_config.get() is None:
        return
    with _harmless():
        write = None
        with suppress(KeyError):  # a run, but no graph
            write = graph.get_stream_writer()
        if write is not None:
            write(event)


@contextmanager
def _harmless() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a listener's: the image is paid for, and must not be lost by it
        logger.debug("progress could not be told: %s", type(error).__name__)
