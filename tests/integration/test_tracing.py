"""What LangSmith is told: the cost of each call, and no link that is alive."""

import asyncio
import contextlib
import json
import re
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from conftest import Call
from graphs import RepeatedStep
from held import HeldServer
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers import LangChainTracer
from langsmith import Client
from langsmith.anonymizer import create_anonymizer
from loopback import LoopbackServer, answer
from PIL import Image
from scripted_model import ScriptedModel, asks_for
from waiting import await_until

from langchain_qwen_image import QwenImageGenerator, QwenImageTool, errors
from langchain_qwen_image.sandbox import SandboxServer

CALL = {"name": "generate_image", "id": "call_1", "type": "tool_call"}


class Collector:
    """A LangSmith of our own on loopback, and the tracer that reports to it."""

    def __init__(self, server: LoopbackServer, **settings: Any) -> None:
        self._server = server
        client = Client(server.base_url, api_key="k", auto_batch_tracing=False, info={}, **settings)
        self.config: Any = {"callbacks": [LangChainTracer(client=client, project_name="p")]}

    def uploaded(self) -> str:
        """Return every byte that was uploaded."""
        return b"\n".join(self._server.requests).decode()

    def forget(self) -> None:
        """Begin anew."""
        self._server.requests.clear()

    def runs(self) -> dict[str, dict[str, Any]]:
        """Return the runs by their names, each as its last upload leaves it."""
        runs: dict[str, dict[str, Any]] = {}
        for request in self._server.requests:
            head, _, body = request.partition(b"\r\n\r\n")
            if head.startswith((b"POST /runs", b"PATCH /runs")) and body:
                sent = json.loads(body)
                key = sent.get("id") or head.split()[1].decode().rpartition("/")[2]
                known = {name: one for name, one in sent.items() if one is not None}
                runs.setdefault(key, {}).update(known)
        return {run["name"]: run for run in runs.values()}


@pytest.fixture
def smith() -> Iterator[Collector]:
    """Serve a LangSmith that takes everything."""
    with LoopbackServer(answer(200, {})) as server:
        yield Collector(server)


def cost(run: dict[str, Any]) -> float | None:
    """Return the cost that a run reports."""
    usage = run["extra"]["metadata"].get("usage_metadata", {})
    spent: float | None = usage.get("total_cost")
    return spent


def generator_on(server: SandboxServer | HeldServer, **settings: Any) -> QwenImageGenerator:
    """Return a generator that talks to the server and does not repeat."""
    return QwenImageGenerator(
        base_url=server.base_url, api_key="test-key-t", max_retries=0, **settings
    )


def tool_on(server: SandboxServer, **settings: Any) -> QwenImageTool:
    """Return a tool that does."""
    return QwenImageTool(base_url=server.base_url, api_key="test-key-t", max_retries=0, **settings)


@pytest.mark.parametrize(
    ("name", "spent"),
    [
        pytest.param("ok", 0.045, id="success"),
        pytest.param("two-images", 0.09, id="two images"),
        pytest.param("image-404", 0.045, id="paid, not fetched"),
        pytest.param("500", 0.045, id="500, may have been billed"),
        pytest.param("drop", 0.045, id="dropped, may have been billed"),
        pytest.param("malformed", 0.045, id="malformed, may have been billed"),
        pytest.param("moderation", None, id="refused"),
        pytest.param("429", None, id="429"),
        pytest.param("401", None, id="401"),
    ],
)
@pytest.mark.parametrize("face", ["tool", "generator"])
def test_each_run_reports_what_it_cost(
    server: SandboxServer,
    smith: Collector,
    call: Call,
    tmp_path: Path,
    name: str,
    spent: float | None,
    face: str,
) -> None:
    """The cost is on the run of the call, also where an image may have been billed for nothing."""
    prompt = f"sandbox:{name}"
    with contextlib.suppress(errors.QwenImageError):
        if face == "tool":
            tool = tool_on(server, save_to=tmp_path)
            call(tool, "invoke", {**CALL, "args": {"prompt": prompt}}, smith.config)
        else:
            call(generator_on(server, save_to=tmp_path), "invoke", prompt, smith.config)
    (run,) = smith.runs().values()
    assert run["run_type"] == "tool"
    assert cost(run) == spent
    metadata = run["extra"]["metadata"]
    assert (metadata["ls_provider"], metadata["ls_model_name"]) == ("pixazo", "qwen-image")


@pytest.mark.parametrize("prompt", ["a fox", "sandbox:500"])
def test_the_sandbox_reports_no_cost(smith: Collector, call: Call, prompt: str) -> None:
    """Placeholders cost nothing, whatever becomes of the call."""
    with contextlib.suppress(errors.ServerError):
        call(QwenImageGenerator(sandbox=True), "invoke", prompt, smith.config)
    (run,) = smith.runs().values()
    assert cost(run) is None


@pytest.mark.parametrize(
    ("prompt", "spent"), [("a fox", 0.045), ("sandbox:drop", 0.045)], ids=["bought", "lost"]
)
def test_a_repeated_tool_call_reports_no_cost(
    server: SandboxServer, smith: Collector, tmp_path: Path, prompt: str, spent: float
) -> None:
    """The run that sent the POST has its cost; the same call of a step that runs again has none."""
    step = RepeatedStep(tool_on(server, save_to=tmp_path), prompt)
    step.fail(**smith.config)
    assert cost(smith.runs()["generate_image"]) == spent
    smith.forget()
    step.resume(**smith.config)
    assert cost(smith.runs()["generate_image"]) is None
    assert server.gateway.post_count == 1


async def test_a_cancelled_call_reports_its_cost(smith: Collector) -> None:
    """A call that is cancelled after its POST left is paid for, and its run says so."""
    with HeldServer() as server:
        generator = generator_on(server)
        task = asyncio.create_task(generator.ainvoke("a fox", smith.config))
        await await_until(lambda: server.gateway.post_count)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        (run,) = smith.runs().values()
        assert cost(run) == 0.045
        await generator.aclose()


def test_ctrl_c_reports_its_cost(
    server: SandboxServer, smith: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C after the POST left leaves a run that says what it may have cost."""

    def pressed(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("langchain_qwen_image.pipeline.sender.parse_response", pressed)
    with pytest.raises(KeyboardInterrupt):
        tool_on(server).invoke({**CALL, "args": {"prompt": "a fox"}}, smith.config)
    (run,) = smith.runs().values()
    assert cost(run) == 0.045


def test_the_key_is_in_no_trace(server: SandboxServer, smith: Collector, call: Call) -> None:
    """What is uploaded of a call, failed or not, does not hold the key."""
    tool = tool_on(server)
    for name in ("ok", "500"):
        call(tool, "invoke", {**CALL, "args": {"prompt": f"sandbox:{name}"}}, smith.config)
    assert "generate_image" in smith.runs()
    assert "test-key-t" not in smith.uploaded()


@pytest.mark.parametrize("saved", [True, False], ids=["saved", "not saved"])
@pytest.mark.parametrize("face", ["tool", "generator"])
@pytest.mark.parametrize("name", ["ok", "two-images", "data-uri"])
def test_our_own_run_holds_no_signature(
    server: SandboxServer,
    smith: Collector,
    call: Call,
    tmp_path: Path,
    face: str,
    saved: bool,
    name: str,
) -> None:
    """The run of a call names the image, by path or by a link without its secret; no bytes."""
    settings = {"save_to": tmp_path} if saved else {}
    prompt = f"sandbox:{name}"
    if face == "tool":
        tool = tool_on(server, **settings)
        call(tool, "invoke", {**CALL, "args": {"prompt": prompt}}, smith.config)
    else:
        call(generator_on(server, **settings), "invoke", prompt, smith.config)
    uploaded = smith.uploaded()
    assert "Signature" not in uploaded
    assert "base64," not in uploaded
    (run,) = smith.runs().values()
    assert '"images"' in json.dumps(run["outputs"])


def test_a_chain_of_a_saved_image_holds_no_signature(
    server: SandboxServer, smith: Collector, call: Call, tmp_path: Path
) -> None:
    """With `save_to`, also what the runs around the call upload is without the secret."""
    chain = (
        RunnableLambda(lambda text: f"a {text}")
        | generator_on(server, save_to=tmp_path)
        | RunnableLambda(lambda result: result)
    )
    result = call(chain, "invoke", "fox", smith.config)
    assert "Signature=" in result.image.url
    assert "RunnableSequence" in smith.runs()
    assert result.image.path in smith.uploaded()
    assert "Signature" not in smith.uploaded()


def test_an_agent_with_saved_images_holds_no_signature(
    server: SandboxServer, smith: Collector, call: Call, tmp_path: Path
) -> None:
    """With `save_to`, neither the agent's state nor its messages carry the secret of a link."""
    model = ScriptedModel(turns=[asks_for("a fox"), AIMessage("Here.")])
    agent = create_agent(model, [tool_on(server, save_to=tmp_path)])
    call(agent, "invoke", {"messages": [("human", "Draw a fox.")]}, smith.config)
    assert {"LangGraph", "generate_image"} <= set(smith.runs())
    assert ".png" in smith.uploaded()
    assert "Signature" not in smith.uploaded()


def test_an_anonymizer_takes_what_is_left(server: SandboxServer, call: Call) -> None:
    """Where an image is not saved the model must read its link; this hides it from LangSmith."""
    hidden = create_anonymizer([{"pattern": r"\?[^\s\"']*Signature=[^\s\"']*", "replace": ""}])
    with LoopbackServer(answer(200, {})) as collecting:
        smith = Collector(collecting, anonymizer=hidden)
        chain = tool_on(server) | RunnableLambda(lambda message: message)
        message = call(chain, "invoke", {**CALL, "args": {"prompt": "a fox"}}, smith.config)
        assert "Signature=" in message.content
        assert "/images/" in smith.uploaded()
        assert "Signature" not in smith.uploaded()


class AttachmentCollector(Collector):
    """A LangSmith that takes runs in parts, the only way in which attachments come."""

    def __init__(self, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LANGSMITH_DISABLE_RUN_COMPRESSION", "true")
        self._server = server
        batches: Any = {
            "use_multipart_endpoint": True,
            "size_limit": 100,
            "size_limit_bytes": 2**24,
            "scale_up_nthreads_limit": 1,
            "scale_up_qsize_trigger": 1000,
            "scale_down_nempty_trigger": 4,
        }
        info: Any = {"batch_ingest_config": batches}
        self._client = Client(server.base_url, api_key="k", info=info)
        tracer = LangChainTracer(client=self._client, project_name="p")
        self.config = {"callbacks": [tracer]}

    def attachments(self) -> dict[str, tuple[str, bytes]]:
        """Return the attachments that were uploaded: their types and bytes by their names."""
        self._client.flush()
        found = {}
        for request in self._server.requests:
            head, _, body = request.partition(b"\r\n\r\n")
            boundary = re.search(rb"boundary=\"?([\w-]+)", head)
            for part in body.split(b"--" + boundary[1]) if boundary else ():
                fields, _, content = part.partition(b"\r\n\r\n")
                named = re.search(rb'name="attachment\.[\w-]+\.([^"]+)"', fields)
                if named:
                    kind = re.search(rb"Content-Type: ([\w/]+)", fields)
                    assert kind
                    found[named[1].decode()] = (kind[1].decode(), content.removesuffix(b"\r\n"))
        return found

    def close(self) -> None:
        """End the threads of the client."""
        self._client.cleanup()


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[AttachmentCollector]:
    """Serve a LangSmith that takes attachments."""
    with LoopbackServer(answer(202, {})) as server:
        collector = AttachmentCollector(server, monkeypatch)
        yield collector
        collector.close()


@pytest.mark.parametrize("face", ["tool", "generator", "bulk"])
def test_a_small_copy_is_attached(
    server: SandboxServer, parts: AttachmentCollector, call: Call, tmp_path: Path, face: str
) -> None:
    """Where asked for, the run has a small JPEG of the image: not its file, no link, no key."""
    settings: Any = {"trace_thumbnails": True, "save_to": tmp_path, "size": "512*512"}
    if face == "tool":
        call(tool_on(server, **settings), "invoke", {**CALL, "args": {"prompt": "a"}}, parts.config)
    elif face == "generator":
        call(generator_on(server, **settings), "invoke", "a fox", parts.config)
    else:
        list(generator_on(server, **settings).generate_many(["a fox"], config=parts.config))
    (path,) = tmp_path.glob("*.png")
    ((name, (mime_type, small)),) = parts.attachments().items()
    assert mime_type == "image/jpeg"
    with Image.open(BytesIO(small)) as opened:
        assert opened.size == (384, 384)
    assert name.removeprefix("image-") in path.name
    uploaded = b"".join(parts._server.requests)
    for secret in (path.read_bytes()[:64], b"Signature", b"test-key-t"):
        assert secret not in uploaded


@pytest.mark.parametrize(
    ("settings", "prompt"),
    [
        pytest.param({"save_to": "images"}, "a fox", id="not asked for"),
        pytest.param({"trace_thumbnails": True}, "a fox", id="not saved"),
        pytest.param({"trace_thumbnails": True, "save_to": "i"}, "sandbox:500", id="no image"),
        pytest.param({"trace_thumbnails": True, "save_to": "i"}, "sandbox:expired", id="lost"),
    ],
)
def test_nothing_is_attached(
    server: SandboxServer,
    parts: AttachmentCollector,
    call: Call,
    tmp_path: Path,
    settings: dict[str, Any],
    prompt: str,
) -> None:
    """Without the setting, and of an image that would have to be fetched for it, nothing is."""
    if "save_to" in settings:
        settings = {**settings, "save_to": tmp_path / settings["save_to"]}
    with contextlib.suppress(errors.QwenImageError):
        call(generator_on(server, **settings), "invoke", prompt, parts.config)
    fetched = [one for one in server.requests if one.method == "GET"]
    assert parts.attachments() == {}
    assert len(fetched) <= 1


def test_a_copy_that_cannot_be_made_loses_no_image(
    server: SandboxServer,
    parts: AttachmentCollector,
    call: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever fails about the copy is a warning in the log; the call has its result."""
    one = tool_on(server, trace_thumbnails=True, save_to=tmp_path)
    monkeypatch.setitem(sys.modules, "PIL", None)
    message = call(one, "invoke", {**CALL, "args": {"prompt": "a fox"}}, parts.config)
    assert message.status == "success"
    assert len(list(tmp_path.glob("*.png"))) == server.gateway.post_count == 1
    assert "is not attached to its run" in caplog.text
    assert parts.attachments() == {}


def test_a_client_that_sends_run_by_run_gets_the_run(
    server: SandboxServer, smith: Collector, call: Call, tmp_path: Path
) -> None:
    """The run and its cost come also where LangSmith takes no attachments."""
    call(
        generator_on(server, trace_thumbnails=True, save_to=tmp_path),
        "invoke",
        "a fox",
        smith.config,
    )
    assert cost(smith.runs()["QwenImageGenerator"]) == 0.045


@pytest.mark.parametrize("face", [QwenImageTool, QwenImageGenerator])
def test_copies_need_pillow(face: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Pillow the setting is refused at once, with what to install; off, it is not asked."""
    monkeypatch.setitem(sys.modules, "PIL", None)
    face(trace_thumbnails=False)
    with pytest.raises(errors.ConfigurationError, match=r"langchain-qwen-image\[view\]"):
        face(trace_thumbnails=True)


def test_without_tracing_no_copy_is_made(
    server: SandboxServer, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no run is traced nobody would see the copy."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr("langchain_qwen_image.integration.tracing._attach", refuse)
    call(generator_on(server, trace_thumbnails=True, save_to=tmp_path), "invoke", "a fox")
