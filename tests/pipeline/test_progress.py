"""Progress: the stages of a call, told to callbacks and to LangGraph's stream."""

import asyncio
import contextlib
import logging
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, TypedDict

import pytest
from conftest import Call
from held import HeldServer
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.rate_limiters import BaseRateLimiter
from langgraph.graph import START, StateGraph
from pydantic import ValidationError
from waiting import await_until, wait_until

from langchain_qwen_image import QwenImageGenerator, QwenImageTool
from langchain_qwen_image.concurrency.runtime import ASYNCIO, BLOCKING, run_blocking
from langchain_qwen_image.errors import QwenImageError
from langchain_qwen_image.pipeline.progress import Progress
from langchain_qwen_image.sandbox import SandboxServer, draw_plain

KEY = "test-key-of-progress"
TOOL_CALL = {"name": "generate_image", "args": {"prompt": "a fox"}, "id": "c7", "type": "tool_call"}


class Listener(BaseCallbackHandler):
    """Keeps the custom events that it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []

    def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
        self.heard.append((name, data))


class Breaking(BaseCallbackHandler):
    """Fails at each custom event, and insists on it."""

    raise_error = True

    def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
        raise ValueError("of the listener")


class AsyncBreaking(AsyncCallbackHandler):
    """The same for asyncio."""

    raise_error = True

    async def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
        raise ValueError("of the listener")


class State(TypedDict):
    """State of the smallest graph."""

    done: bool


def tool(server: SandboxServer | HeldServer, **settings: Any) -> QwenImageTool:
    """Return a tool of that gateway."""
    return QwenImageTool(base_url=server.base_url, api_key=KEY, **settings)


def stages(heard: list[Any]) -> list[str]:
    """Return the stages of events."""
    return [event["stage"] for event in heard]


def graph_of(generator: QwenImageGenerator) -> Any:
    """Return a graph whose one node generates, in either world."""

    class Node:
        def __call__(self, state: State) -> State:
            generator.invoke("a fox")
            return {"done": True}

    graph = StateGraph(State)
    graph.add_node("draw", Node())
    graph.add_edge(START, "draw")
    return graph.compile()


@pytest.mark.parametrize(
    ("prompt", "settings", "expected"),
    [
        pytest.param("a fox", {}, "waiting sent received", id="nothing-saved"),
        pytest.param("a fox", {"save_to": "images"}, "waiting sent received saved", id="saved"),
        pytest.param(
            "sandbox:429-once a fox", {}, "waiting sent retrying sent received", id="repeated"
        ),
        pytest.param("sandbox:500", {}, "waiting sent", id="failed"),
        pytest.param("sandbox:expired", {"save_to": "i"}, "waiting sent received", id="link-dead"),
    ],
)
def test_stages(
    prompt: str,
    settings: dict[str, Any],
    expected: str,
    server: SandboxServer,
    call: Call,
    tmp_path: Any,
) -> None:
    """Callbacks hear each stage once, in order, when it happens and not before."""
    if "save_to" in settings:
        settings = {"save_to": tmp_path / settings["save_to"]}
    listener = Listener()
    asked = {**TOOL_CALL, "args": {"prompt": prompt}}
    call(tool(server, **settings), "invoke", asked, config={"callbacks": [listener]})
    assert " ".join(stages([data for _, data in listener.heard])) == expected
    assert {name for name, _ in listener.heard} == {"qwen_image"}


def test_events_name_their_call(server: SandboxServer, call: Call, tmp_path: Any) -> None:
    """Each event has the call's id, the same in all of them and in the account, and the seconds."""
    listener = Listener()
    one = tool(server, save_to=tmp_path)
    message = call(one, "invoke", TOOL_CALL, config={"callbacks": [listener]})
    events = [data for _, data in listener.heard]
    assert one.pipeline.account is not None
    (entry,) = one.pipeline.account.calls()
    assert {event["call_id"] for event in events} == {entry.id}
    assert {event["tool_call_id"] for event in events} == {"c7"}
    seconds = [event["seconds"] for event in events]
    assert seconds == sorted(seconds)
    assert seconds[0] >= 0
    (image,) = message.artifact["images"]
    assert (events[-1]["image_id"], events[-1]["path"]) == (image["id"], image["path"])
    one.close()


def test_repeat_says_why_and_when(server: SandboxServer, call: Call) -> None:
    """The stage `retrying` names the error's class and the seconds until the next attempt."""
    listener = Listener()
    generator = QwenImageGenerator(base_url=server.base_url, api_key=KEY)
    call(generator, "invoke", "sandbox:429-once", config={"callbacks": [listener]})
    (retrying,) = [data for _, data in listener.heard if data["stage"] == "retrying"]
    assert retrying["error"] == "RateLimitError"
    assert 1 <= retrying["wait_seconds"] <= 3
    assert "tool_call_id" not in retrying


@pytest.mark.parametrize("face", [QwenImageTool, QwenImageGenerator])
def test_nobody_listens(face: Any, server: SandboxServer, call: Call) -> None:
    """Outside a run's callbacks and outside a graph nothing is raised."""
    call(face(base_url=server.base_url, api_key=KEY), "invoke", "a fox")
    assert server.gateway.post_count == 1


def test_no_run_at_all(server: SandboxServer) -> None:
    """A step that is told outside any run goes nowhere."""
    assert run_blocking(Progress(BLOCKING, "call", None).tell("waiting")) is None
    assert asyncio.run(Progress(ASYNCIO, "call", None).tell("waiting")) is None


@pytest.mark.parametrize("listener", [Breaking, AsyncBreaking])
@pytest.mark.parametrize("face", [QwenImageTool, QwenImageGenerator])
def test_breaking_listener_loses_no_image(
    face: Any,
    listener: Any,
    server: SandboxServer,
    call: Call,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An error of a listener is logged, and the paid image is saved all the same."""
    caplog.set_level(logging.DEBUG, "langchain_qwen_image")
    one = face(base_url=server.base_url, api_key=KEY, save_to=tmp_path)
    call(one, "invoke", "a fox", config={"callbacks": [listener()]})
    assert len(list(tmp_path.glob("*.png"))) == 1
    assert caplog.text.count("ValueError") >= 4, "one for each stage, of ours or LangChain's"
    assert server.gateway.post_count == 1


def test_graph_streams_the_stages(server: SandboxServer, call: Call) -> None:
    """`stream_mode="custom"` of a graph yields the same events that callbacks hear."""
    generator = QwenImageGenerator(base_url=server.base_url, api_key=KEY)
    graph = graph_of(generator)
    if getattr(call, "__name__", "") == "call_async":

        async def collect() -> list[Any]:
            return [one async for one in graph.astream({"done": False}, stream_mode="custom")]

        events = asyncio.run(collect())
    else:
        events = list(graph.stream({"done": False}, stream_mode="custom"))
    assert stages(events) == ["waiting", "sent", "received"]
    assert {event["type"] for event in events} == {"qwen_image"}


@pytest.mark.parametrize(
    ("face", "given"), [(QwenImageTool, TOOL_CALL), (QwenImageGenerator, "a fox")]
)
async def test_events_of_astream_events(face: Any, given: Any, server: SandboxServer) -> None:
    """`astream_events` reports each stage once, in order."""
    one = face(base_url=server.base_url, api_key=KEY)
    events = [
        event
        async for event in one.astream_events(given, version="v2")
        if event["event"] == "on_custom_event"
    ]
    assert stages([event["data"] for event in events]) == ["waiting", "sent", "received"]


async def test_cancelled_call_tells_on_in_the_background(tmp_path: Any) -> None:
    """A paid call that its caller cancels still tells that its image came and is saved."""
    listener = Listener()
    with HeldServer() as server:
        one = tool(server, save_to=tmp_path)
        task = asyncio.create_task(one.ainvoke(TOOL_CALL, config={"callbacks": [listener]}))
        await await_until(lambda: server.gateway.post_count)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        server.release()
        await await_until(lambda: len(listener.heard) == 4)
        await one.aclose()
    assert stages([data for _, data in listener.heard]) == ["waiting", "sent", "received", "saved"]


class Refusing(BaseRateLimiter):
    """Lets nothing pass."""

    def acquire(self, *, blocking: bool = True) -> bool:
        raise QwenImageError("not now")

    async def aacquire(self, *, blocking: bool = True) -> bool:
        raise QwenImageError("not now")


def test_what_comes_before_a_post_comes_before_it_is_told(
    server: SandboxServer, call: Call
) -> None:
    """What must be done before a POST is done before it is told; its error keeps `sent` untold."""
    generator = QwenImageGenerator(base_url=server.base_url, api_key=KEY, rate_limiter=Refusing())
    listener = Listener()
    with pytest.raises(QwenImageError, match="not now"):
        call(generator, "invoke", "a fox", config={"callbacks": [listener]})
    assert [data["stage"] for _, data in listener.heard] == ["waiting"]
    assert server.gateway.post_count == 0


def test_langgraph_is_not_imported_for_it() -> None:
    """A generator that runs without LangGraph does not import it."""
    code = (
        "import sys; from langchain_qwen_image import QwenImageGenerator as G;"
        "G(sandbox=True).invoke('a fox'); sys.exit('langgraph' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


EVERY = 0.01
"""Seconds between events; the tests wait for events, however long they take."""


class Releasing(Listener):
    """Lets the gateway answer when `generating` was heard three times, and is slow to note it."""

    def __init__(self, server: HeldServer) -> None:
        super().__init__()
        self._server = server

    def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
        if data["stage"] == "generating":
            if stages([one for _, one in self.heard]).count("generating") == 2:
                self._server.release()
            time.sleep(EVERY * 3)  # the answer comes meanwhile
        super().on_custom_event(name, data, **kwargs)


class AsyncReleasing(AsyncCallbackHandler):
    """The same for asyncio."""

    def __init__(self, server: HeldServer) -> None:
        self._server = server
        self.heard: list[tuple[str, Any]] = []

    async def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
        if data["stage"] == "generating":
            if stages([one for _, one in self.heard]).count("generating") == 2:
                self._server.release()
            await asyncio.sleep(EVERY * 3)
        self.heard.append((name, data))


@pytest.mark.parametrize("kind", [Releasing, AsyncReleasing])
@pytest.mark.parametrize("face", [QwenImageTool, QwenImageGenerator])
def test_a_heartbeat_while_the_answer_is_waited_for(
    face: Any, kind: Any, call: Call, tmp_path: Path
) -> None:
    """With `progress_seconds` there are events after `sent`, and none once `received` is told."""
    if kind is AsyncReleasing and getattr(call, "__name__", "") != "call_async":
        pytest.skip("an asynchronous listener is for asyncio")
    with HeldServer() as server:
        listener = kind(server)
        settings: Any = {"progress_seconds": EVERY, "save_to": tmp_path}
        one = face(base_url=server.base_url, api_key=KEY, **settings)
        given = TOOL_CALL if face is QwenImageTool else "a fox"
        call(one, "invoke", given, config={"callbacks": [listener]})
        assert server.gateway.post_count == 1
        one.close()
    events = [data for _, data in listener.heard]
    heard = stages(events)
    beats = heard.count("generating")
    assert beats >= 3
    assert heard == ["waiting", "sent", *["generating"] * beats, "received", "saved"]
    assert len({event["call_id"] for event in events}) == 1
    assert all(event.get("tool_call_id") == ("c7" if face is QwenImageTool else None)
               for event in events)  # fmt: skip
    seconds = [event["seconds"] for event in events]
    assert seconds == sorted(seconds)


def test_a_graph_streams_the_heartbeat(call: Call) -> None:
    """`stream_mode="custom"` yields the heartbeat as it comes: here it lets the answer come."""
    with HeldServer() as server:
        generator = QwenImageGenerator(
            base_url=server.base_url, api_key=KEY, progress_seconds=EVERY
        )
        graph = graph_of(generator)
        heard: list[str] = []

        def note(event: Any) -> None:
            heard.append(event["stage"])
            if heard.count("generating") == 2:
                server.release()

        async def collect() -> None:
            async for event in graph.astream({"done": False}, stream_mode="custom"):
                note(event)

        if getattr(call, "__name__", "") == "call_async":
            asyncio.run(collect())
        else:
            for event in graph.stream({"done": False}, stream_mode="custom"):
                note(event)
        generator.close()
    beats = heard.count("generating")
    assert beats >= 2
    assert heard == ["waiting", "sent", *["generating"] * beats, "received"]


def test_a_heartbeat_of_a_queued_answer(call: Call) -> None:
    """While a queued answer is asked for the heartbeat goes on, and `queued` is told once."""
    listener = Listener()
    with SandboxServer(draw=draw_plain) as server:
        generator = QwenImageGenerator(
            base_url=server.base_url, api_key=KEY, progress_seconds=EVERY
        )
        call(generator, "invoke", "sandbox:queued", config={"callbacks": [listener]})
        generator.close()
    heard = stages([data for _, data in listener.heard])
    after = heard[heard.index("queued") + 1 :]
    assert after == [*["generating"] * (len(after) - 1), "received"]
    assert len(after) > 1


@pytest.mark.parametrize("scenario", ["timeout", "429-once", "500"])
def test_a_heartbeat_ends_with_its_attempt(
    call: Call, server: SandboxServer, scenario: str
) -> None:
    """A call that fails, or waits for its next attempt, is told of no more."""
    listener = Listener()
    one = QwenImageGenerator(
        base_url=server.base_url,
        api_key=KEY,
        progress_seconds=EVERY,
        timeout=0.3 if scenario == "timeout" else 60,
    )
    with contextlib.suppress(QwenImageError):
        call(one, "invoke", f"sandbox:{scenario}", config={"callbacks": [listener]})
    ended = len(listener.heard)
    time.sleep(EVERY * 10)
    assert len(listener.heard) == ended
    heard = stages([data for _, data in listener.heard])
    if scenario == "timeout":
        assert "generating" in heard
    if scenario == "429-once":
        assert heard[heard.index("retrying") + 1] == "sent"


async def test_a_heartbeat_ends_when_nobody_waits(tmp_path: Path) -> None:
    """A cancelled call goes on to its end in the background, and its heartbeat does not."""
    listener = Listener()
    with HeldServer() as server:
        one = tool(server, save_to=tmp_path, progress_seconds=EVERY)
        task = asyncio.create_task(one.ainvoke(TOOL_CALL, config={"callbacks": [listener]}))
        await await_until(lambda: server.gateway.post_count)
        await await_until(lambda: "generating" in stages([data for _, data in listener.heard]))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        cancelled = len(listener.heard)
        await asyncio.sleep(EVERY * 10)
        assert len(listener.heard) == cancelled
        server.release()
        await await_until(lambda: len(listener.heard) == cancelled + 2)
        await one.aclose()
    assert stages([data for _, data in listener.heard])[cancelled:] == ["received", "saved"]


def test_a_heartbeat_ends_at_ctrl_c(tmp_path: Path) -> None:
    """An interrupted blocking call ends its heartbeat too; the paid image is saved."""

    class Pressing(Listener):
        def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
            super().on_custom_event(name, data, **kwargs)
            has_left = server.gateway.post_count > 0
            if data["stage"] == "generating" and has_left and not pressed.is_set():
                pressed.set()
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    pressed = threading.Event()
    listener = Pressing()
    with HeldServer() as server:
        one = tool(server, save_to=tmp_path, progress_seconds=EVERY)
        with pytest.raises(KeyboardInterrupt):
            one.invoke(TOOL_CALL, config={"callbacks": [listener]})
        interrupted = len(listener.heard)
        time.sleep(EVERY * 10)
        assert len(listener.heard) <= interrupted + 1, "one may have been under way"
        server.release()
        wait_until(lambda: "saved" in stages([data for _, data in listener.heard]))
        one.close()
    assert stages([data for _, data in listener.heard])[-2:] == ["received", "saved"]
    assert len(list(tmp_path.glob("*.png"))) == server.gateway.post_count == 1


class BreakingLater(Releasing):
    """Fails at each event, and lets the gateway answer all the same."""

    raise_error = True

    def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
        super().on_custom_event(name, data, **kwargs)
        raise ValueError("of the listener")


def test_a_heartbeat_that_breaks_loses_no_image(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listener's errors, and a system that starts no thread, do not matter to the call."""

    def refuse(*_: Any) -> Any:
        raise RuntimeError("can't start new thread")

    with HeldServer() as server:
        one = tool(server, save_to=tmp_path, progress_seconds=EVERY)
        call(one, "invoke", "a fox", config={"callbacks": [BreakingLater(server)]})
        monkeypatch.setattr("langchain_qwen_image.pipeline.progress.ThreadHeartbeat", refuse)
        monkeypatch.setattr("langchain_qwen_image.pipeline.progress.in_task", refuse)
        call(one, "invoke", "a hare")
        one.close()
    assert len(list(tmp_path.glob("*.png"))) == server.gateway.post_count == 2


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan"), "often"])
def test_progress_seconds_are_checked(seconds: Any) -> None:
    """A pause that cannot work is refused when the tool is made."""
    with pytest.raises(ValidationError, match="progress_seconds"):
        QwenImageTool(sandbox=True, progress_seconds=seconds)
