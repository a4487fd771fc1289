"""The key and signed links: in no repr, message, log, traceback, pickle or copy."""

import asyncio
import copy
import gc
import json
import logging
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import conftest
import httpx
import pytest
from conftest import Call
from loopback import LoopbackServer, answer, free_port
from pydantic import SecretStr

from langchain_qwen_image import QwenImageClient
from langchain_qwen_image.account.pace import Pace
from langchain_qwen_image.errors import ConfigurationError, QwenImageError
from langchain_qwen_image.sandbox import SCENARIOS, SandboxServer, draw_plain

KEY = "sk_live_0123456789abcdef-secret"
ECHO = {"error": {"code": KEY, "message": f"No: {KEY}"}, "request_id": KEY}

_TESTS = {__file__, conftest.__file__}

_FAILING_IN_A_QUEUE = {"queued-failed", "queued-error", "queued-lost", "queued-elsewhere"}
FAILING = [
    name
    for name, scenario in SCENARIOS.items()
    if (scenario.layer not in {"success", "queue", "link"} or name in _FAILING_IN_A_QUEUE)
    and not scenario.once
    and name != "drip"
]


def at(base_url: str, **settings: Any) -> QwenImageClient:
    """Return a client that does not wait between attempts, nor for what others were told."""

    async def asleep(_: float) -> None:
        return None

    waits: Any = {"sleep": lambda _: None, "asleep": asleep, "timeout": 0.2, "pace": Pace()}
    return QwenImageClient(api_key=KEY, base_url=base_url, **{**waits, **settings})


def all_that_shows(error: BaseException) -> str:
    """Return all that a reporter of errors could print, locals of every frame but the tests'."""
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    report.stack[:] = [frame for frame in report.stack if frame.filename not in _TESTS]
    assert report.stack
    return "\n".join(
        ["".join(report.format()), str(error), repr(error), str(vars(error)), str(error.args)]
    )


@pytest.fixture(scope="module")
def gateway() -> Iterator[SandboxServer]:
    """Serve a sandbox gateway for all of these tests."""
    with SandboxServer(draw=draw_plain) as running:
        yield running


@pytest.mark.parametrize("scenario", FAILING)
def test_no_error_shows_the_key(
    gateway: SandboxServer, call: Call, caplog: pytest.LogCaptureFixture, scenario: str
) -> None:
    """No fault has the key in its message, its attributes, its frames or the logs."""
    caplog.set_level(logging.DEBUG)
    with at(gateway.base_url) as client, pytest.raises(QwenImageError) as caught:
        call(client, "generate", f"sandbox:{scenario}")
    assert KEY not in all_that_shows(caught.value)
    assert KEY not in caplog.text
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def unreachable(_: str) -> dict[str, Any]:
    """Return settings for a gateway that is not there."""
    return {"base_url": f"http://127.0.0.1:{free_port()}"}


def with_own_client(base_url: str) -> dict[str, Any]:
    """Return settings with clients of the caller's."""

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("x", request=request)

    transport = httpx.MockTransport(refuse)
    return {
        "base_url": base_url,
        "http_client": httpx.Client(transport=transport),
        "http_async_client": httpx.AsyncClient(transport=transport),
    }


@pytest.mark.parametrize("settings", [unreachable, with_own_client], ids=lambda one: one.__name__)
def test_no_connection_error_shows_the_key(
    call: Call, caplog: pytest.LogCaptureFixture, settings: Callable[[str], dict[str, Any]]
) -> None:
    """What goes wrong below HTTP does not show the key either."""
    caplog.set_level(logging.DEBUG)
    with at(**settings("http://127.0.0.1:9")) as client, pytest.raises(QwenImageError) as caught:
        call(client, "generate", "a fox")
    assert KEY not in all_that_shows(caught.value)
    assert KEY not in caplog.text


@pytest.mark.parametrize("status", [200, 400, 401, 403, 429, 500, 503])
def test_an_echoed_key_is_not_shown(
    call: Call, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """A gateway that sends the key back, in text and headers, does not make us show it."""
    caplog.set_level(logging.DEBUG)  # httpcore's own lines have an answer's headers
    said = answer(status, ECHO, X_Request_Id=KEY, Location=f"https://h/{KEY}")
    with (
        LoopbackServer(said) as server,
        at(server.base_url) as client,
        pytest.raises(QwenImageError) as caught,
    ):
        call(client, "generate", "a fox")
    assert KEY not in all_that_shows(caught.value)
    assert KEY not in caplog.text


@pytest.mark.parametrize("key", [KEY, SecretStr(KEY)], ids=["str", "SecretStr"])
def test_a_client_does_not_show_its_key(key: Any) -> None:
    """Neither repr nor str nor attributes of a client have the key."""
    client = QwenImageClient(api_key=key, base_url="https://h.example")
    assert repr(client) == "QwenImageClient(base_url='https://h.example', sandbox=False)"
    assert KEY not in str(client) + str(vars(client))


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_a_copy_reads_the_environment(
    call: Call, monkeypatch: pytest.MonkeyPatch, copied: Callable[[Any], QwenImageClient]
) -> None:
    """A copy works with the key of the environment, never with the one that was given."""
    with LoopbackServer() as server:
        client = at(server.base_url, pace=None)
        assert KEY.encode() not in pickle.dumps(client)
        again = copied(client)
        with pytest.raises(ConfigurationError):
            call(again, "generate", "a fox")
        monkeypatch.setenv("PIXAZO_API_KEY", "key-of-the-environment")
        call(again, "generate", "a fox")
        (request,) = server.requests
        again.close()
    assert b"key-of-the-environment" in request
    assert KEY.encode() not in request


def test_a_pickle_works_in_another_process() -> None:
    """A client that was pickled after a call sends from a process that has a key."""
    with LoopbackServer() as server:
        client = at(server.base_url, pace=None)
        client.generate("a fox")
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "import pickle, sys; pickle.load(sys.stdin.buffer).generate('a fox')",
            ],
            input=pickle.dumps(client),
            env={"PIXAZO_API_KEY": "key-of-the-environment"},
            capture_output=True,
            timeout=600,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert len(server.posts) == 2
        client.close()


def test_links_are_logged_without_their_query(
    gateway: SandboxServer, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    """A successful call leaves no signature in any log."""
    caplog.set_level(logging.DEBUG)
    with at(gateway.base_url) as client:
        result = call(client, "generate", "a fox")
    assert "Signature=" in result.image.url
    assert "Signature=" not in caplog.text


def test_a_malformed_answer_does_not_show_its_link(call: Call) -> None:
    """An answer that breaks off in its link does not show the signature."""
    body = json.dumps({"output": {"image": "https://h/a.png?Signature=s3cr3t"}})[:-4].encode()
    with (
        LoopbackServer(answer(200, body)) as server,
        at(server.base_url) as client,
        pytest.raises(QwenImageError) as caught,
    ):
        call(client, "generate", "a fox")
    assert "s3cr" not in all_that_shows(caught.value)


def test_a_cancelled_call_does_not_show_the_key(caplog: pytest.LogCaptureFixture) -> None:
    """What becomes of a cancelled call is told without the key."""
    caplog.set_level(logging.DEBUG)
    with LoopbackServer(answer(401, ECHO)) as server:

        async def run() -> None:
            async with at(server.base_url) as client:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(client.agenerate("a fox"), 0)
                await asyncio.sleep(0.05)

        asyncio.run(run())
    gc.collect()
    assert KEY not in caplog.text
