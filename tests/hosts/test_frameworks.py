"""Agent frameworks that call `_run` themselves: each draws once, and obeys schema and settings."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import pytest
from frameworks import Told, autogen, google_adk
from pydantic import BaseModel, Field

from langchain_qwen_image import QwenImageGenerator, QwenImageTool, errors
from langchain_qwen_image.sandbox import SandboxServer

# What the frameworks and their libraries warn of is theirs.
pytestmark = [pytest.mark.hosts, pytest.mark.filterwarnings("default")]

Framework = Callable[..., Awaitable[Told]]
FRAMEWORKS = {"google-adk": google_adk, "autogen": autogen}


@pytest.fixture(params=FRAMEWORKS.values(), ids=FRAMEWORKS)
def ask(request: pytest.FixtureRequest) -> Framework:
    """Give each framework."""
    framework: Framework = request.param
    return framework


def settings(server: SandboxServer, **more: Any) -> dict[str, Any]:
    """Return settings of a tool that talks to the server."""
    return {"base_url": server.base_url, "api_key": "test-key", "max_retries": 0, **more}


def sent(server: SandboxServer) -> dict[str, Any]:
    """Return what the only POST asked for, flat."""
    (body,) = [one.body for one in server.requests if one.method == "POST"]
    return {"prompt": body["input"]["messages"][0]["content"][0]["text"], **body["parameters"]}


async def test_it_is_drawn_once(ask: Framework, server: SandboxServer, tmp_path: Any) -> None:
    """The model sees all arguments, null counts as not given, and it reads the sentence."""
    tool = QwenImageTool(**settings(server, save_to=tmp_path))
    told = await ask(tool, {"prompt": "a fox", "negative_prompt": None, "size": "512x512"})
    assert list(told.schema["properties"]) == list(tool.args)
    assert told.schema["required"] == ["prompt"]
    assert told.read.startswith("Done: 1 image generated, 512×512 image/png. Saved as ")
    assert "Default: 1328*1328." in told.schema["properties"]["size"]["description"]
    assert (sent(server)["prompt"], sent(server)["size"]) == ("a fox", "512*512")
    assert len(list(tmp_path.glob("*.png"))) == 1


async def test_settings_win(ask: Framework, server: SandboxServer) -> None:
    """What is set on a generator is fixed on its tool."""
    tool = QwenImageGenerator(**settings(server, size="512*512", watermark=False)).as_tool()
    told = await ask(tool, {"prompt": "a fox"})
    assert not {"size", "watermark"} & set(told.schema["properties"])
    assert {"size": "512*512", "watermark": False}.items() <= sent(server).items()


class Icon(BaseModel):
    """A schema of the host's own, with a field that the gateway does not know."""

    prompt: str = Field(max_length=40)
    size: Literal["512*512", "768*768"] = "512*512"
    reason: str = Field(description="Why it is drawn.")


async def test_a_schema_of_one_s_own_is_obeyed(ask: Framework, server: SandboxServer) -> None:
    """Its default is sent, its own field is not, and nothing is sent against its limits."""
    tool = QwenImageTool(**settings(server, args_schema=Icon))
    told = await ask(tool, {"prompt": "a fox " * 20, "reason": "logo"})
    assert "40 characters" in (str(told.raised) if told.raised else told.read)
    told = await ask(tool, {"prompt": "a fox", "reason": "logo"})
    assert set(told.schema["properties"]) == {"prompt", "size", "reason"}
    assert sent(server)["size"] == "512*512"


class PromptAlone(BaseModel):
    """A schema without optional arguments."""

    prompt: str = Field(description="What to draw.")


class Woodcut(QwenImageTool):
    """A subclass in the usual form."""

    def _run(self, prompt: str, **kwargs: Any) -> Any:
        return super()._run(prompt=f"{prompt}, woodcut", **kwargs)


async def test_a_subclass_is_obeyed(ask: Framework, server: SandboxServer) -> None:
    """What a subclass makes of the prompt is drawn."""
    await ask(Woodcut(**settings(server)), {"prompt": "a fox"})
    assert sent(server)["prompt"] == "a fox, woodcut"


@pytest.mark.parametrize(
    ("arguments", "posts"),
    [
        pytest.param({}, 0, id="no prompt"),
        pytest.param({"prompt": " "}, 0, id="blank"),
        pytest.param({"prompt": "a fox", "size": "9*9"}, 0, id="size"),
        pytest.param({"prompt": "sandbox:500"}, 1, id="server"),
        pytest.param({"prompt": "sandbox:401"}, 1, id="key"),
    ],
)
async def test_nothing_is_paid_for_twice_after_an_error(
    ask: Framework, arguments: dict[str, Any], posts: int, server: SandboxServer
) -> None:
    """An error is told to the model or ends the run, and is not repeated."""
    told = await ask(QwenImageTool(**settings(server)), arguments)
    assert told.is_error or isinstance(told.raised, errors.QwenImageError)
    assert server.gateway.post_count == posts


async def test_adk_s_callback_tells_the_model(server: SandboxServer) -> None:
    """With `on_tool_error_callback` an agent of ADK's goes on."""

    def tell(tool: Any, args: Any, tool_context: Any, error: Exception) -> Any:
        return {"error": str(error)} if isinstance(error, errors.QwenImageError) else None

    tool = QwenImageTool(**settings(server))
    told = await google_adk(tool, {"prompt": "sandbox:500"}, on_tool_error_callback=tell)
    assert told.is_error
    assert "may have been billed" in told.read
    assert server.gateway.post_count == 1


@pytest.mark.parametrize(
    "more",
    [
        pytest.param(
            {"negative_prompt": "", "prompt_extend": True, "watermark": False, "size": "512*512"},
            id="all set",
        ),
        pytest.param({"args_schema": PromptAlone, "size": "512*512"}, id="own schema"),
    ],
)
def test_smolagents(more: dict[str, Any], server: SandboxServer) -> None:
    """It takes a tool whose arguments are all required, and calls it by a dict."""
    smolagents = pytest.importorskip("smolagents")
    tool = smolagents.Tool.from_langchain(QwenImageTool(**settings(server, **more)))
    assert list(tool.inputs) == ["prompt"]
    assert tool(prompt="a fox").startswith("Done: 1 image generated, 512×512.")
    assert server.gateway.post_count == 1


def test_smolagents_refuses_optional_arguments(server: SandboxServer) -> None:
    """It knows no argument that may be null; the page on agents says so."""
    smolagents = pytest.importorskip("smolagents")
    with pytest.raises(AssertionError, match="should have keys 'type'"):
        smolagents.Tool.from_langchain(QwenImageTool(**settings(server)))
