"""A host's own `args_schema` is applied first; what we do not know is dropped on the way."""

from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from conftest import Call
from graphs import asking, drawn
from langchain.agents import AgentState, create_agent
from langchain.tools import ToolRuntime
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tools import InjectedToolArg, InjectedToolCallId
from langgraph.graph import START, StateGraph
from langgraph.prebuilt import InjectedState, InjectedStore, ToolNode
from langgraph.store.memory import InMemoryStore
from pydantic import BaseModel, ConfigDict, Field, field_validator
from scripted_model import ScriptedModel, asks_for, drawing

from langchain_qwen_image import QwenImageInput, QwenImageTool, errors
from langchain_qwen_image.sandbox import SandboxServer

LONG = "a fox in the snow, " * 9


class Small(BaseModel):
    """Arguments with defaults, limits, a validator and a field of the host's own."""

    prompt: str = Field(max_length=40)
    size: Literal["512*512", "768*768"] = "512*512"
    watermark: bool = False
    negative_prompt: str | None = None
    reason: str = Field(default="", max_length=5, description="Why it is drawn.")

    @field_validator("prompt")
    @classmethod
    def _no_owls(cls, prompt: str) -> str:
        if "owl" in prompt:
            raise ValueError("no owls here")
        return prompt


JSON = {
    "type": "object",
    "properties": {
        "prompt": {"type": "string", "maxLength": 40},
        "size": {"$ref": "#/$defs/size", "default": "512*512"},
        "watermark": {"type": "boolean", "default": False},
        "negative_prompt": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        "reason": {"type": "string", "maxLength": 5},
    },
    "$defs": {"size": {"enum": ["512*512", "768*768"]}},
    "required": ["prompt"],
}
both_kinds = pytest.mark.parametrize("schema", [Small, JSON], ids=["pydantic", "json"])


def on(server: SandboxServer, schema: Any, **more: Any) -> QwenImageTool:
    """Return a tool with a schema, which talks to the server."""
    return QwenImageTool(base_url=server.base_url, api_key="test-key", args_schema=schema, **more)


def sent(server: SandboxServer) -> dict[str, Any]:
    """Return what the last POST asked for, flat."""
    body = next(one.body for one in reversed(server.requests) if one.method == "POST")
    return {"prompt": body["input"]["messages"][0]["content"][0]["text"], **body["parameters"]}


@both_kinds
@pytest.mark.parametrize(
    "more",
    [
        pytest.param({}, id="nothing more"),
        pytest.param({"reason": "why"}, id="a field of the host's"),
        pytest.param({"size": None, "watermark": "", "negative_prompt": None}, id="no values"),
    ],
)
def test_its_defaults_are_sent(
    schema: Any, more: dict[str, Any], server: SandboxServer, call: Call
) -> None:
    """What the schema has as a default goes out, in a tool call and in a plain one."""
    tool = on(server, schema)
    for given in (drawing("a fox", **more), {"prompt": "a fox", **more}):
        call(tool, "invoke", given)
        assert sent(server) == {
            "prompt": "a fox",
            "negative_prompt": "",
            "prompt_extend": True,
            "watermark": False,
            "size": "512*512",
        }
    assert server.gateway.post_count == 2


@both_kinds
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param({"prompt": LONG}, "at most 40 characters", id="length"),
        pytest.param({"prompt": "a fox", "size": "1024*1024"}, "size", id="choice"),
        pytest.param({"prompt": "a fox", "watermark": [1]}, "watermark", id="type"),
        pytest.param({"prompt": "a fox", "reason": "too long"}, "reason", id="the host's field"),
        pytest.param({"size": "512*512"}, "prompt is missing", id="missing"),
    ],
)
def test_its_limits_hold(
    schema: Any, arguments: dict[str, Any], says: str, server: SandboxServer, call: Call
) -> None:
    """What the schema does not allow is explained and not sent."""
    tool = on(server, schema)
    message = call(tool, "invoke", {**drawing(""), "args": arguments})
    assert message.status == "error"
    assert message.content.startswith("Nothing was sent: ")
    assert says in message.content
    assert "Allowed arguments: prompt, size, watermark" in message.content
    with pytest.raises(errors.InvalidRequestError, match=says):
        call(tool, "invoke", arguments)
    assert server.gateway.post_count == 0


def test_its_validators_hold(server: SandboxServer, call: Call) -> None:
    """A validator's word reaches the model."""
    message = call(on(server, Small), "invoke", drawing("an owl"))
    assert "prompt: no owls here" in message.content
    assert server.gateway.post_count == 0


def test_validation_errors_are_the_host_s_if_it_asks_for_them(
    server: SandboxServer, call: Call
) -> None:
    """With `handle_validation_error` LangChain deals with what the host's schema refuses."""
    tool = on(server, Small, handle_validation_error=lambda error: f"{error.error_count()} wrong")
    message = call(tool, "invoke", drawing(LONG, size="9*9"))
    assert (message.status, message.content) == ("error", "2 wrong")


@both_kinds
def test_the_operator_s_settings_win_over_it(
    schema: Any, server: SandboxServer, call: Call
) -> None:
    """What is set on the tool goes out, whatever the schema has or the model says."""
    tool = on(server, schema, size="1024*1024", watermark=True, negative_prompt="fog")
    call(tool, "invoke", drawing("a fox", size="768*768"))
    assert {"size": "1024*1024", "watermark": True, "negative_prompt": "fog"}.items() <= sent(
        server
    ).items()


@both_kinds
def test_what_it_does_not_have_is_not_the_model_s(
    schema: Any, server: SandboxServer, call: Call
) -> None:
    """An argument that the host has left out is dropped, even one that we know."""
    call(on(server, schema), "invoke", drawing("a fox", prompt_extend=False, seed=7))
    assert sent(server)["prompt_extend"] is True


def test_json_schema_may_refuse_others(server: SandboxServer, call: Call) -> None:
    """`additionalProperties: false` holds."""
    message = call(on(server, {**JSON, "additionalProperties": False}), "invoke", drawing("a", n=2))
    assert "n is not an argument" in message.content


@both_kinds
def test_a_plain_text_is_the_prompt(schema: Any, server: SandboxServer, call: Call) -> None:
    """Called with a text alone, the schema is applied as well."""
    call(on(server, schema), "invoke", "a fox")
    assert (sent(server)["prompt"], sent(server)["size"]) == ("a fox", "512*512")


class Sizes(Enum):
    """Choices that are no texts."""

    SMALL = "512*512"
    LARGE = "1328*1328"


class Aliased(BaseModel):
    """Fields under other names, and a choice of an enumeration."""

    model_config = ConfigDict(populate_by_name=True)

    prompt: str = Field(alias="description")
    size: Sizes = Sizes.SMALL


def test_aliases_and_enumerations(server: SandboxServer, call: Call) -> None:
    """A model gives the alias, and the gateway gets the value."""
    call(on(server, Aliased), "invoke", {**drawing(""), "args": {"description": "a fox"}})
    assert (sent(server)["prompt"], sent(server)["size"]) == ("a fox", "512*512")


def test_our_own_schema_given_by_name_is_ours(server: SandboxServer, call: Call) -> None:
    """`args_schema=QwenImageInput` or None changes nothing."""
    for schema in (QwenImageInput, None):
        message = call(on(server, schema), "invoke", drawing("a fox", n=2))
        assert "n is not an argument" in message.content
        call(on(server, schema), "invoke", drawing("a fox", size=None))
        assert sent(server)["size"] == "1328*1328"


@both_kinds
def test_a_host_that_calls_by_name_need_not_apply_it(
    schema: Any, server: SandboxServer, call: Call
) -> None:
    """Where nobody has applied the schema, `_run` does; the host's own fields may be missing."""
    demanding = _demanding(schema)
    tool = on(server, demanding)
    call(_Direct(tool), "run", prompt="a fox", size=None)
    assert (sent(server)["size"], sent(server)["watermark"]) == ("512*512", False)
    with pytest.raises(errors.InvalidRequestError, match="at most 40 characters"):
        call(_Direct(tool), "run", prompt=LONG)
    assert server.gateway.post_count == 1


class _Direct:
    def __init__(self, tool: QwenImageTool) -> None:
        self.run, self.arun = tool._run, tool._arun


def _demanding(schema: Any) -> Any:
    """Return the schema with one more field, which must be given."""
    if isinstance(schema, dict):
        return {**schema, "required": ["prompt", "reason"]}

    class Demanding(Small):
        reason: str

    return Demanding


class Injected(BaseModel):
    """Each kind of field that a graph fills in."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    prompt: str
    size: str = "512*512"
    state: Annotated[dict[str, Any], InjectedState]
    mood: Annotated[str, InjectedState("mood")]
    store: Annotated[Any, InjectedStore()]
    call_id: Annotated[str, InjectedToolCallId]
    runtime: ToolRuntime


class Moody(AgentState[Any]):
    """A state with a field of its own."""

    mood: str


class Loose(BaseModel):
    """The one kind of injected field that needs no LangGraph."""

    prompt: str
    size: str = "512*512"
    runtime: Annotated[Any, InjectedToolArg] = None


def agent_of(tool: QwenImageTool) -> Any:
    """Return an agent whose model asks for one image."""
    model = ScriptedModel(turns=[asks_for("a fox")])
    return create_agent(model, [tool], state_schema=Moody, store=InMemoryStore())


def node_of(tool: QwenImageTool) -> Any:
    """Return a graph of one `ToolNode`."""
    graph = StateGraph(Moody)
    graph.add_node("tools", ToolNode([tool], handle_tool_errors=False))
    graph.add_edge(START, "tools")
    return graph.compile(store=InMemoryStore())


@pytest.mark.parametrize(
    ("graph_of", "messages"),
    [
        pytest.param(agent_of, [("user", "Draw.")], id="agent"),
        pytest.param(node_of, asking(drawing("a fox"))["messages"], id="node"),
    ],
)
@pytest.mark.parametrize("schema", [Injected, Loose])
def test_injected_fields_are_filled_and_dropped(
    schema: Any,
    graph_of: Callable[[QwenImageTool], Any],
    messages: Any,
    server: SandboxServer,
    call: Call,
) -> None:
    """LangGraph fills them in, no model sees them, and the gateway and the artifact have none."""
    tool = on(server, schema)
    assert list(tool.args) == ["prompt", "size"]
    state = call(graph_of(tool), "invoke", {"messages": messages, "mood": "calm"})
    (artifact,) = drawn(state)
    assert artifact["parameters"]["size"] == sent(server)["size"] == "512*512"
    assert "calm" not in str(artifact) + str(server.requests[-1].body)
    assert server.gateway.post_count == 1


class Listener(BaseCallbackHandler):
    """Notes what callbacks are told of the arguments."""

    def __init__(self) -> None:
        self.inputs: list[Any] = []

    def on_tool_start(self, *args: Any, inputs: Any = None, **kwargs: Any) -> None:
        self.inputs.append(inputs)


def test_injected_fields_outside_a_graph(server: SandboxServer, call: Call) -> None:
    """A program may give them or not; callbacks and traces do not see them."""
    listener = Listener()
    for more in ({}, {"runtime": object()}):
        given = {"prompt": "a fox", **more}
        call(on(server, Loose), "invoke", given, {"callbacks": [listener]})
    assert listener.inputs == [{"prompt": "a fox"}] * 2
    needed = {"prompt": "a fox", "state": {}, "mood": "", "store": None, "runtime": None}
    with pytest.raises(errors.InvalidRequestError, match="full model ToolCall"):
        call(on(server, Injected), "invoke", needed)


def test_a_subclass_gets_the_host_s_fields(server: SandboxServer, call: Call) -> None:
    """A `_run` of one's own takes what the schema has, injected fields included."""

    class Signed(QwenImageTool):
        args_schema: type[BaseModel] = Loose

        def _run(self, prompt: str, size: str, runtime: Any = None) -> Any:
            return super()._run(prompt=f"{prompt}, for {runtime}", size=size, runtime=runtime)

    tool = Signed(base_url=server.base_url, api_key="test-key")
    message = call(tool, "invoke", {**drawing(""), "args": {"prompt": "a fox", "runtime": "Ann"}})
    assert message.artifact["prompt"] == "a fox, for Ann"


def test_a_validation_error_of_another_kind_is_not_hidden() -> None:
    """A schema that fails in its own way fails."""

    class Broken(BaseModel):
        prompt: str

        @field_validator("prompt")
        @classmethod
        def _fail(cls, prompt: str) -> str:
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        QwenImageTool(sandbox=True, args_schema=Broken).invoke({"prompt": "a fox"})
