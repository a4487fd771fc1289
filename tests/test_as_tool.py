"""`as_tool()` of both faces: a tool of the same settings, not LangChain's guess at one."""

import copy
from typing import Any

import pytest
from conftest import Call
from pydantic import BaseModel
from scripted_model import drawing

from langchain_qwen_image import Budget, QwenImageGenerator, QwenImageTool, errors
from langchain_qwen_image.sandbox import SandboxServer

FACES = [QwenImageGenerator, QwenImageTool]
each_face = pytest.mark.parametrize("kind", FACES, ids=lambda kind: kind.__name__)


def on(server: SandboxServer, kind: Any, **more: Any) -> Any:
    """Return a face that talks to the server."""
    return kind(base_url=server.base_url, api_key="test-key", **more)


class Short(BaseModel):
    """A schema of the caller's own."""

    prompt: str
    size: str = "512*512"


@each_face
def test_it_is_a_tool_of_the_same_settings(
    kind: Any, server: SandboxServer, call: Call, tmp_path: Any
) -> None:
    """The model reads a sentence, the program gets the artifact, and what is set is fixed."""
    budget = Budget(max_images=1)
    face = on(server, kind, size="512*512", save_to=tmp_path, budget=budget, timeout=9)
    tool = face.as_tool()
    assert type(tool) is QwenImageTool
    assert (tool.name, tool.timeout, tool.budget) == ("generate_image", 9, budget)
    assert list(tool.args) == ["prompt", "negative_prompt", "prompt_extend", "watermark"]
    message = call(tool, "invoke", drawing("a fox", size="1024*1024"))
    assert message.artifact["parameters"]["size"] == "512*512"
    assert message.content.startswith("Done: 1 image generated, 512×512 image/png. Saved as ")
    with pytest.raises(errors.BudgetExceededError):
        call(face, "invoke", {"prompt": "an owl"})
    assert server.gateway.post_count == 1


@each_face
def test_it_takes_what_langchain_s_takes(kind: Any, server: SandboxServer, call: Call) -> None:
    """Name, description, schema and types of arguments are those that are given."""
    face = on(server, kind)
    tool = face.as_tool(Short, name="draw", description="Draws.")
    assert (tool.name, tool.description, list(tool.args)) == ("draw", "Draws.", ["prompt", "size"])
    message = call(tool, "invoke", {**drawing("a fox"), "name": "draw"})
    assert (message.name, message.artifact["parameters"]["size"]) == ("draw", "512*512")
    tool = face.as_tool(arg_types={"prompt": str, "watermark": bool})
    assert (list(tool.args), tool.name) == (["prompt", "watermark"], "generate_image")
    message = call(tool, "invoke", drawing("a fox"))
    assert (message.status, "watermark is missing" in message.content) == ("error", True)


@each_face
def test_it_shares_key_connections_and_what_is_under_way(kind: Any, server: SandboxServer) -> None:
    """It is the same pipeline, whichever face uses it first, and a changed setting parts them."""
    face = on(server, kind)
    tool = face.as_tool()
    assert tool.pipeline is face.pipeline
    assert tool.api_key is face.api_key
    tool.timeout = 9
    assert tool.pipeline is not face.pipeline


@each_face
def test_the_sandbox_of_the_environment_stays_one(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PIXAZO_SANDBOX takes no key, so none is handed on; copies are as before."""
    monkeypatch.setenv("PIXAZO_API_KEY", "test-key")
    monkeypatch.setenv("PIXAZO_SANDBOX", "1")
    tool = kind().as_tool()
    assert tool.invoke({"prompt": "a fox"}).startswith("Done")
    assert kind(sandbox=False).as_tool().api_key.get_secret_value() == "test-key"
    for made in (tool.model_copy(), tool.model_copy(deep=True), copy.deepcopy(tool)):
        assert made.invoke({"prompt": "a fox"}).startswith("Done")


def test_a_renamed_generator_is_a_tool_of_that_name() -> None:
    """LangChain calls a tool as its runnable is called."""
    assert QwenImageGenerator(sandbox=True, name="draw").as_tool().name == "draw"
    assert QwenImageGenerator(sandbox=True, name=None).as_tool().name == "generate_image"
