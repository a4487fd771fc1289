"""The key file, and the sandbox that the environment turns on."""

import logging
import os
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Call
from loopback import LoopbackServer

from langchain_qwen_image import (
    QwenImageClient,
    QwenImageGenerator,
    QwenImageTool,
    environment,
    errors,
)
from langchain_qwen_image.sandbox import SandboxServer

FACES = pytest.mark.parametrize("face", [QwenImageClient, QwenImageGenerator, QwenImageTool])
KEY = "sk_live_of_the_file"


@pytest.fixture
def key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a key where the owner's tools put it, in a home of the test's own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    file = tmp_path / ".pixazo" / "api-key"
    file.parent.mkdir()
    file.write_text(f"{KEY}\n")
    file.chmod(0o600)
    return file


def draw(face: Any, call: Call, **settings: Any) -> Any:
    """Generate with one of the faces."""
    one = face(**settings)
    return call(one, "generate" if face is QwenImageClient else "invoke", "a fox")


@FACES
@pytest.mark.usefixtures("key_file")
def test_the_key_file_is_used(face: Any, call: Call) -> None:
    """Without a variable the key of the file is sent."""
    with LoopbackServer() as server:
        draw(face, call, base_url=server.base_url)
        assert f"Ocp-Apim-Subscription-Key: {KEY}\r\n".encode() in server.posts[0]
    assert environment.api_key_source() == "~/.pixazo/api-key"


@pytest.mark.usefixtures("key_file")
def test_the_variable_comes_first(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable wins over the file, and a key in code over both."""
    monkeypatch.setenv("PIXAZO_API_KEY", "key-of-the-variable")
    with LoopbackServer() as server:
        draw(QwenImageGenerator, call, base_url=server.base_url)
        draw(QwenImageGenerator, call, base_url=server.base_url, api_key="key-of-code")
        first, second = server.posts
    assert b"key-of-the-variable" in first
    assert b"key-of-code" in second
    assert environment.api_key_source() == "PIXAZO_API_KEY"


@FACES
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_key_file_that_others_can_read_is_refused(
    face: Any, mode: int, call: Call, server: SandboxServer, key_file: Path
) -> None:
    """The message says how to fix it, never the key; nothing is sent."""
    key_file.chmod(mode)
    with pytest.raises(errors.ConfigurationError, match=r"chmod 600 ~/\.pixazo/api-key") as caught:
        draw(face, call, base_url=server.base_url)
    assert KEY not in str(caught.value)
    assert server.gateway.post_count == 0


@pytest.mark.parametrize("content", ["", "  \n"])
def test_an_empty_key_file_is_no_key(content: str, key_file: Path, server: SandboxServer) -> None:
    """An empty file is as good as none."""
    key_file.write_text(content)
    with pytest.raises(errors.ConfigurationError, match="No API key was found"):
        QwenImageClient(base_url=server.base_url).generate("a fox")


def test_a_key_file_does_not_disturb_the_sandbox(key_file: Path, call: Call) -> None:
    """The sandbox asks for no key, whatever the file is like."""
    key_file.chmod(0o644)
    assert draw(QwenImageGenerator, call, sandbox=True).sandbox


@pytest.mark.parametrize("value", ["1", "true", "TRUE", " 1 "])
@FACES
def test_the_variable_turns_the_sandbox_on(
    face: Any, value: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each face answers from the sandbox, without a key and at no cost."""
    monkeypatch.setenv("PIXAZO_SANDBOX", value)
    assert face().sandbox
    assert "sandbox" in str(draw(face, call)).lower()


@pytest.mark.parametrize("value", ["0", "false", "", " "])
def test_the_variable_turns_it_off(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """0, false and nothing leave it off."""
    monkeypatch.setenv("PIXAZO_SANDBOX", value)
    assert not QwenImageGenerator().sandbox


@FACES
@pytest.mark.parametrize("value", ["yes", "2", "on"])
def test_another_value_is_refused(face: Any, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A typo must not pay, nor leave a program in the sandbox unnoticed."""
    monkeypatch.setenv("PIXAZO_SANDBOX", value)
    with pytest.raises(errors.ConfigurationError, match="PIXAZO_SANDBOX must be 1, true, 0"):
        face()


@FACES
def test_an_explicit_false_wins(face: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What code says is stronger than the environment."""
    monkeypatch.setenv("PIXAZO_SANDBOX", "1")
    assert not face(sandbox=False, api_key="a-key-in-code").sandbox


@FACES
@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"api_key": "a-key-in-code"}, id="key"),
        pytest.param({"base_url": "https://gateway.example"}, id="address"),
        pytest.param({"http_client": httpx.Client()}, id="client"),
        pytest.param({"http_async_client": httpx.AsyncClient()}, id="async client"),
    ],
)
def test_it_does_not_stand_beside_a_key_in_code(
    face: Any, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who passes a key or a client means the gateway: which of both is meant must be said."""
    monkeypatch.setenv("PIXAZO_SANDBOX", "1")
    with pytest.raises(errors.ConfigurationError, match=next(iter(given))):
        face(**given)
    assert face(sandbox=True, **given).sandbox, "said in code, both may stand"


def test_it_is_announced_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning a process names the variable."""
    monkeypatch.setattr(environment, "_warned_in", set())
    monkeypatch.setenv("PIXAZO_SANDBOX", "1")
    caplog.set_level(logging.WARNING, "langchain_qwen_image")
    for _ in range(3):
        QwenImageGenerator()
    assert [record.message.count("PIXAZO_SANDBOX") for record in caplog.records] == [1]


def test_a_copy_stays_in_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of a face in the environment's sandbox is made as the face was."""
    monkeypatch.setenv("PIXAZO_SANDBOX", "1")
    monkeypatch.setenv("PIXAZO_API_KEY", "key-of-the-variable")
    assert QwenImageGenerator().model_copy(update={"size": "512*512"}).sandbox
    assert os.environ["PIXAZO_SANDBOX"] == "1"
