"""`_run` and `_arun` as other frameworks and subclasses call them: with the arguments by name."""

import inspect
from typing import Annotated, Any

import pytest
from conftest import Call
from graphs import RepeatedStep
from held import HeldServer
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolCallId
from pydantic import BaseModel, Field
from scripted_model import drawing

from langchain_qwen_image import QwenImageInput, QwenImageTool, errors
from langchain_qwen_image.sandbox import SandboxServer
from langchain_qwen_image.view import ViewImageTool


def on(server: SandboxServer, kind: type[QwenImageTool] = QwenImageTool, **more: Any) -> Any:
    """Return a tool of a kind that talks to the server."""
    return kind(**{"base_url": server.base_url, "api_key": "test-key", "max_retries": 0} | more)


def sent(server: SandboxServer) -> dict[str, Any]:
    """Return what the only POST asked for, flat."""
    (body,) = [one.body for one in server.requests if one.method == "POST"]
    return {"prompt": body["input"]["messages"][0]["content"][0]["text"], **body["parameters"]}


class Host:
    """A framework that calls a tool's methods itself."""

    def __init__(self, tool: BaseTool) -> None:
        self.call, self.acall = tool._run, tool._arun


class ByKeywords(QwenImageTool):
    """Takes the rest as it comes."""

    def _run(self, prompt: str, **kwargs: Any) -> Any:
        return super()._run(prompt=f"{prompt}, oil", **kwargs)


class ByNames(QwenImageTool):
    """Names everything, as LangChain's own tools do."""

    def _run(
        self,
        prompt: str,
        negative_prompt: str = "",
        prompt_extend: bool = True,
        watermark: bool = True,
        size: str = "1328*1328",
        run_manager: Any = None,
    ) -> Any:
        return super()._run(
            f"{prompt}, oil", negative_prompt, prompt_extend, watermark, size,
            run_manager=run_manager,
        )  # fmt: skip


class PromptAlone(QwenImageTool):
    """Takes a prompt, and the run's configuration, and says the size."""

    def _run(self, prompt: str, config: RunnableConfig) -> Any:
        assert "callbacks" in config
        return super()._run(prompt=f"{prompt}, oil", size="512*512")


class WithCallId(QwenImageTool):
    """Asks LangChain for the id of the tool call."""

    def _run(
        self, prompt: str, tool_call_id: Annotated[str, InjectedToolCallId], **kwargs: Any
    ) -> Any:
        assert tool_call_id == "call_1"
        return super()._run(prompt=f"{prompt}, oil", **kwargs)


class InBothWorlds(ByKeywords):
    """Has its own way in asyncio, too."""

    async def _arun(self, prompt: str, **kwargs: Any) -> Any:
        return await QwenImageTool._arun(self, prompt=f"{prompt}, oil", **kwargs)


class Oil:
    """A mixin, put before a tool."""

    def _run(self, prompt: str, **kwargs: Any) -> Any:
        return super()._run(prompt=f"{prompt}, oil", **kwargs)  # type: ignore[misc]


class Mixed(Oil, QwenImageTool):
    """Has its `_run` from a mixin."""


class Styled(BaseModel):
    """Arguments of a host's own."""

    prompt: str = Field(min_length=1)
    style: str = "oil"
    size: str = "512*512"


class WithSchema(QwenImageTool):
    """Has a schema and a description in the class, with an argument that we do not know."""

    args_schema: type[BaseModel] = Styled
    description: str = "Draws in a style."

    def _run(self, prompt: str, style: str, size: str) -> Any:
        return super()._run(prompt=f"{prompt}, {style}", size=size)


SUBCLASSES = [
    ByKeywords, ByNames, PromptAlone, WithCallId, InBothWorlds, Mixed, WithSchema
]  # fmt: skip
by_kind = pytest.mark.parametrize("kind", SUBCLASSES, ids=lambda kind: kind.__name__)


def test_a_host_calls_it_by_name(server: SandboxServer, call: Call) -> None:
    """`_run(prompt=…)` draws once, and returns what a model reads and what a program gets."""
    output = call(Host(on(server)), "call", prompt="a fox", size="512x512", watermark=None)
    content, artifact = output
    assert content == str(output)
    assert content.startswith("Done: 1 image generated, 512×512.")
    assert artifact["prompt"] == "a fox"
    assert sent(server)["size"] == "512*512"
    assert server.gateway.post_count == 1


def test_the_signature_names_the_arguments() -> None:
    """Hosts read from it what to hand over: the prompt must be given, the others may be."""
    for method in (QwenImageTool._run, QwenImageTool._arun):
        _, *named = list(inspect.signature(method).parameters.values())[:6]
        assert [one.name for one in named] == list(QwenImageInput.model_fields)
        assert [one.default for one in named] == [inspect.Parameter.empty, *[None] * 4]


def test_a_prompt_alone_may_go_by_position(server: SandboxServer, call: Call) -> None:
    """The first argument is the prompt."""
    call(Host(on(server)), "call", "a fox")
    assert sent(server)["prompt"] == "a fox"


def test_the_operator_wins_over_a_host(server: SandboxServer, call: Call) -> None:
    """What is set on the tool is sent as it is set, for every caller."""
    call(Host(on(server, size="512*512")), "call", prompt="a fox", size="1024*1024")
    assert sent(server)["size"] == "512*512"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        pytest.param({"prompt": "a fox", "n": 2}, errors.InvalidRequestError, id="unknown"),
        pytest.param({"prompt": " "}, errors.InvalidRequestError, id="blank"),
        pytest.param({"prompt": "a fox", "size": "9*9"}, errors.InvalidRequestError, id="size"),
        pytest.param({"prompt": "sandbox:500"}, errors.ServerError, id="server"),
        pytest.param({"prompt": "sandbox:401"}, errors.AuthenticationError, id="key"),
    ],
)
def test_a_host_gets_every_error(
    server: SandboxServer, call: Call, arguments: dict[str, Any], error: type[Exception]
) -> None:
    """Called by name, the tool raises."""
    with pytest.raises(error):
        call(Host(on(server)), "call", **arguments)
    assert server.gateway.post_count == (error is not errors.InvalidRequestError)


@by_kind
def test_a_subclass_changes_the_arguments(
    kind: type[QwenImageTool], server: SandboxServer, call: Call
) -> None:
    """A `_run` of one's own that calls ours is obeyed in both worlds, and paid for once."""
    message = call(on(server, kind), "invoke", drawing("a fox"))
    assert (message.status, message.artifact["prompt"]) == ("success", "a fox, oil")
    assert sent(server)["prompt"] == "a fox, oil"
    assert server.gateway.post_count == 1


@by_kind
@pytest.mark.parametrize(
    ("prompt", "posts"),
    [pytest.param("", 0, id="refused"), pytest.param("sandbox:500", 1, id="500")],
)
def test_a_subclass_s_errors_are_read_by_the_model(
    kind: type[QwenImageTool], prompt: str, posts: int, server: SandboxServer, call: Call
) -> None:
    """The rule for errors holds for a subclass, and a program still gets the exception."""
    tool = on(server, kind)
    message = call(tool, "invoke", drawing(prompt))
    assert (message.status, message.tool_call_id) == ("error", "call_1")
    assert server.gateway.post_count <= posts
    if kind is not WithCallId:
        with pytest.raises(errors.QwenImageError):
            call(tool, "invoke", {"prompt": prompt})


def test_a_subclass_may_catch_our_errors(server: SandboxServer, call: Call) -> None:
    """`super()._run(…)` raises, so a subclass can try something else."""

    class Careful(QwenImageTool):
        def _run(self, prompt: str, **kwargs: Any) -> Any:
            try:
                return super()._run(prompt=prompt, **kwargs)
            except errors.ContentRejectedError:
                return super()._run(prompt="a calm lake", **kwargs)

    message = call(on(server, Careful), "invoke", drawing("sandbox:moderation"))
    assert message.artifact["prompt"] == "a calm lake"


def test_a_class_s_own_schema_and_description_stay() -> None:
    """What a subclass says in its class is not written over by ours."""
    tool = WithSchema(sandbox=True)
    assert (tool.args_schema, tool.description) == (Styled, "Draws in a style.")
    tool.price_usd = 1.0
    assert (tool.args_schema, tool.description) == (Styled, "Draws in a style.")


@by_kind
def test_a_subclass_s_call_is_paid_for_once(
    kind: type[QwenImageTool], held: HeldServer, tmp_path: Any
) -> None:
    """A step that runs again has the key of the first time: 1 POST."""
    step = RepeatedStep(on(held, kind, save_to=tmp_path / "images"))
    step.fail()
    assert step.resume().artifact["replayed"]
    assert held.gateway.post_count == 1
    assert {event["tool_call_id"] for event in step.events} == {"call_1"}


def test_a_tool_inside_a_tool_has_its_own_run(server: SandboxServer, call: Call) -> None:
    """A tool that another one calls does not take the other's call for its own."""
    inner = on(server)

    class Outer(QwenImageTool):
        def _run(self, prompt: str) -> Any:
            with pytest.raises(errors.InvalidRequestError):
                inner.invoke({"prompt": ""})
            assert inner.invoke({"prompt": "a fox"}).startswith("Done")
            return inner._run(prompt=prompt)

    assert call(on(server, Outer), "invoke", drawing("")).status == "error"
    assert call(on(server, Outer), "invoke", drawing("an owl")).status == "success"


def test_view_image_by_name(server: SandboxServer, call: Call, tmp_path: Any) -> None:
    """`view_image` takes its argument by name, and ignores what else a host hands over."""
    made = on(server, save_to=tmp_path).invoke(drawing("a fox", size="512*512")).artifact
    view = ViewImageTool(save_to=tmp_path)
    blocks = call(Host(view), "call", image=made["images"][0]["id"], reason="curious")
    assert [block["type"] for block in blocks] == ["text", "image"]
    with pytest.raises(errors.InvalidRequestError):
        call(Host(view), "call", image="zzzzzzzz")
