"""Connections: reused, one set per loop, closed without being asked, and none of a parent's."""

import asyncio
import copy
import gc
import json
import os
import pickle
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
import warm
from conftest import Call
from loopback import SUCCESS
from waiting import wait_until

from langchain_qwen_image import QwenImageClient, QwenImageTool
from langchain_qwen_image.errors import ConfigurationError, QwenImageError, RequestTimeoutError
from langchain_qwen_image.sandbox import SandboxServer

_BODY = json.dumps(SUCCESS).encode()
_KEY = "sk_live_test-key-0123456789"


class _Recorder(ThreadingHTTPServer):
    """Answers each POST with a success and a cookie, and notes connections and heads."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.heads: list[list[tuple[str, str]]] = []
        self.peers: set[Any] = set()
        self.base_url = f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Recorder

    def do_POST(self) -> None:
        self.server.heads.append(self.headers.items())
        self.server.peers.add(self.client_address)
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(_BODY)))
        self.send_header("Set-Cookie", "session=1; Path=/")
        self.end_headers()
        self.wfile.write(_BODY)

    def log_message(self, *_: object) -> None:
        return None


@pytest.fixture
def recorder() -> Iterator[_Recorder]:
    """Serve on loopback."""
    with _Recorder() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_headers_are_the_documents(recorder: _Recorder, call: Call) -> None:
    """What leaves is the document's headers, our name, and HTTP's own; no cookie comes back."""
    client = QwenImageClient(base_url=recorder.base_url, api_key=_KEY)
    for _ in range(2):
        call(client, "generate", "a fox")
    client.close()
    for head in recorder.heads:
        sent = {name.lower(): value for name, value in head}
        assert set(sent) - {"host", "content-length"} == {
            "content-type",
            "cache-control",
            "ocp-apim-subscription-key",
            "user-agent",
            "accept-encoding",
        }
        assert sent["content-type"] == "application/json"
        assert sent["cache-control"] == "no-cache"
        assert sent["ocp-apim-subscription-key"] == _KEY
        assert sent["user-agent"].startswith("langchain-qwen-image/")


def test_connection_is_reused(recorder: _Recorder, slow_clock: None) -> None:
    """Calls in a row share a connection, on either twin."""
    client = QwenImageClient(base_url=recorder.base_url, api_key=_KEY)
    for _ in range(5):
        client.generate("a fox")
    assert len(recorder.peers) == 1

    async def five() -> None:
        for _ in range(5):
            await client.agenerate("a fox")

    asyncio.run(five())
    assert len(recorder.peers) == 2
    client.close()


async def test_connections_never_exceed_the_calls(recorder: _Recorder, slow_clock: None) -> None:
    """Calls in waves of 25 open no more connections than calls were in flight at once."""
    client = QwenImageClient(base_url=recorder.base_url, api_key=_KEY)
    for _ in range(4):
        await asyncio.gather(*(client.agenerate("a fox") for _ in range(25)))
    assert len(recorder.peers) <= 25
    await client.aclose()


def test_idle_connection_is_not_trusted(
    recorder: _Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection idle for longer than a few seconds is not used for a paid POST."""
    client = QwenImageClient(base_url=recorder.base_url, api_key=_KEY)
    client.generate("a fox")
    real = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + 5)
    client.generate("a fox")
    assert len(recorder.peers) == 2
    client.close()


def test_many_loops_and_threads(recorder: _Recorder) -> None:
    """One tool works from loops in a row and from threads, and each call is one POST."""
    tool = QwenImageTool(base_url=recorder.base_url, api_key=_KEY)

    def work() -> None:
        for _ in range(3):
            asyncio.run(tool.ainvoke("a"))
            tool.invoke("b")

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(3):
        asyncio.run(tool.ainvoke("c"))
    assert len(recorder.heads) == 6 * 3 * 2 + 3


def test_nothing_needs_closing(recorder: _Recorder) -> None:
    """A tool that is used on both twins and dropped leaves no `ResourceWarning`."""
    tool = QwenImageTool(base_url=recorder.base_url, api_key=_KEY)
    tool.invoke("a")
    asyncio.run(tool.ainvoke("b"))
    del tool
    gc.collect()


def test_closed_client_works_again(recorder: _Recorder) -> None:
    """After closing, by `with` or by hand, a call opens new connections."""
    with QwenImageClient(base_url=recorder.base_url, api_key=_KEY) as client:
        client.generate("a")
    client.generate("b")

    async def both() -> None:
        async with client:
            await client.agenerate("c")
        await client.agenerate("d")
        await client.aclose()

    asyncio.run(both())
    assert len(recorder.peers) == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_forked_child_opens_its_own(recorder: _Recorder) -> None:
    """A forked child sends on a connection of its own, and the parent goes on."""
    program = """
import os, sys
from langchain_qwen_image import QwenImageClient
client = QwenImageClient(base_url=sys.argv[1], api_key="test-key-0123456789")
client.generate("parent")
child = os.fork()
client.generate("both")
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
os._exit(0)
"""
    run = warm.run([sys.executable, "-W", "error", "-c", program, recorder.base_url])
    assert (run.returncode, run.stderr) == (0, "")
    assert (len(recorder.heads), len(recorder.peers)) == (3, 2)


def test_own_clients_are_used_and_left_open(recorder: _Recorder) -> None:
    """The caller's clients carry the POST, with what they add, and stay open."""
    seen: list[str] = []
    with httpx.Client(event_hooks={"request": [lambda request: seen.append("sync")]}) as own:
        client = QwenImageClient(base_url=recorder.base_url, api_key=_KEY, http_client=own)
        client.generate("a")
        asyncio.run(client.agenerate("b"))
        client.close()
        assert not own.is_closed
    assert seen == ["sync", "sync"]


async def test_own_async_client(recorder: _Recorder) -> None:
    """An async client alone serves `agenerate`; a blocking call says what is missing."""
    async with httpx.AsyncClient() as own:
        client = QwenImageClient(base_url=recorder.base_url, api_key=_KEY, http_async_client=own)
        await client.agenerate("a")
        with pytest.raises(ConfigurationError, match="http_client"):
            client.generate("b")
        await client.aclose()
        assert not own.is_closed
    assert len(recorder.heads) == 1


def test_environment_proxy_is_honoured(
    recorder: _Recorder, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy of the environment carries the POST."""
    monkeypatch.setenv("HTTP_PROXY", recorder.base_url)
    monkeypatch.setattr("langchain_qwen_image.pipeline.sender.checked_base_url", lambda url: url)
    client = QwenImageClient(base_url="http://gateway.example", api_key=_KEY)
    call(client, "generate", "a fox")
    client.close()
    assert dict(recorder.heads[0])["Host"] == "gateway.example"


def test_dripping_head_ends_at_the_deadline(call: Call) -> None:
    """An answer whose head comes a byte at a time ends when `timeout` is over, in either twin."""
    with SandboxServer(drip_seconds=0.05) as server:
        client = QwenImageClient(base_url=server.base_url, api_key=_KEY, timeout=0.4)
        with pytest.raises(RequestTimeoutError):
            call(client, "generate", "sandbox:drip")
        wait_until(lambda: server.gateway.post_count)
        assert server.gateway.post_count == 1
        client.close()


@pytest.mark.parametrize("scenario", ["401", "500", "timeout", "drop", "malformed", "truncated"])
def test_traceback_does_not_show_the_key(server: SandboxServer, scenario: str, call: Call) -> None:
    """Not even a traceback with all local variables shows the key."""
    client = QwenImageClient(base_url=server.base_url, api_key=_KEY, timeout=0.3)
    with pytest.raises(QwenImageError) as caught:
        call(client, "generate", f"sandbox:{scenario}")
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert _KEY not in "".join(told.format())
    client.close()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_copy_reads_the_environment(
    recorder: _Recorder, copied: Any, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy carries no key; it reads the environment at its first call."""
    client = QwenImageClient(base_url=recorder.base_url, api_key=_KEY)
    twin = copied(client)
    assert _KEY.encode() not in pickle.dumps(client)
    with pytest.raises(ConfigurationError, match=r"PIXAZO_API_KEY.*api_key.*sandbox"):
        call(twin, "generate", "a fox")
    monkeypatch.setenv("PIXAZO_API_KEY", "another-key")
    call(twin, "generate", "a fox")
    twin.close()
    assert dict(recorder.heads[0])["Ocp-Apim-Subscription-Key"] == "another-key"


def test_logs_are_without_key_and_signature(
    server: SandboxServer, call: Call, caplog: pytest.LogCaptureFixture, tmp_path: Any
) -> None:
    """At DEBUG, on every logger, neither the key nor a link's signature is said."""
    caplog.set_level("DEBUG")
    tool = QwenImageTool(base_url=server.base_url, api_key=_KEY, save_to=tmp_path)
    call(tool, "invoke", "a fox")
    tool.close()
    assert "langchain_qwen_image" in {record.name for record in caplog.records}
    assert _KEY not in caplog.text
    assert "Signature=" not in caplog.text
