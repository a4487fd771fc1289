"""The tool inside real agents: LangChain's create_agent and LangGraph's ToolNode."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import pytest
from conftest import Call
from langchain.agents import AgentState, create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain.tools import ToolRuntime
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool as as_tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState, InjectedStore, ToolNode
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from scripted_model import ScriptedModel, asks_for, looks

from langchain_qwen_image import ImageGenerationResult, QwenImageTool, QwenImageToolkit
from langchain_qwen_image.errors import AuthenticationError
from langchain_qwen_image.sandbox import SandboxServer

KEY = "test-key-of-the-agents"
ASK: Any = {"messages": [HumanMessage("Draw what you are told to.")]}


@pytest.fixture
def tool(server: SandboxServer, tmp_path: Path) -> QwenImageTool:
    """Give a tool of the gateway on loopback, without attempts of its own."""
    return QwenImageTool(base_url=server.base_url, api_key=KEY, save_to=tmp_path, max_retries=0)


def agent_of(tools: Any, *turns: Any, **settings: Any) -> Any:
    """Return an agent whose model plays these turns."""
    given = tools if isinstance(tools, list) else [tools]
    return create_agent(ScriptedModel(turns=turns), given, **settings)


def answers(state: Any) -> dict[str, ToolMessage]:
    """Return the tool messages of a conversation by their call's id."""
    messages = [one for one in state["messages"] if isinstance(one, ToolMessage)]
    by_call = {message.tool_call_id: message for message in messages}
    assert len(by_call) == len(messages), "a call was answered twice"
    return by_call


def prompts_paid_for(server: SandboxServer) -> Counter[str]:
    """Return how often each prompt was posted."""
    bodies = [one.body for one in server.requests if one.method == "POST"]
    return Counter(body["input"]["messages"][0]["content"][0]["text"] for body in bodies)


def collect(call: Call, agent: Any, mode: str, given: Any = ASK) -> list[Any]:
    """Return what a stream yields, in either world."""
    if getattr(call, "__name__", "") != "call_async":
        return list(agent.stream(given, stream_mode=mode))

    async def run() -> list[Any]:
        return [one async for one in agent.astream(given, stream_mode=mode)]

    return asyncio.run(run())


def test_agent_draws(tool: QwenImageTool, server: SandboxServer, call: Call) -> None:
    """The model reads one sentence, the program gets the result, one image is paid for."""
    state = call(agent_of(tool, asks_for("a fox")), "invoke", ASK)
    message = answers(state)["call_1"]
    assert message.status == "success"
    assert message.text.startswith("Done: 1 image generated")
    result = ImageGenerationResult.from_artifact(message.artifact)
    assert Path(result.image.path or "").is_file()
    assert state["messages"][-1].text == "Here you are."
    assert server.gateway.post_count == 1


def test_image_stays_out_of_the_context(tool: QwenImageTool, call: Call) -> None:
    """What the model reads back of an image is text under 600 characters, without bytes."""
    model = ScriptedModel(turns=[asks_for("a fox")])
    call(create_agent(model, [tool]), "invoke", ASK)
    (read,) = [one for one in model.read[-1] if isinstance(one, ToolMessage)]
    assert isinstance(read.content, str)
    assert len(read.content) < 600


def test_several_calls_in_one_turn(
    tool: QwenImageTool, server: SandboxServer, call: Call, tmp_path: Path
) -> None:
    """Calls of one turn run side by side; each is answered with its own image and paid once."""
    prompts = [f"animal {number}" for number in range(6)]
    by_call = answers(call(agent_of(tool, asks_for(*prompts)), "invoke", ASK))
    drawn = [by_call[f"call_{number}"].artifact["prompt"] for number in range(1, 7)]
    assert drawn == prompts
    assert prompts_paid_for(server) == dict.fromkeys(prompts, 1)
    assert len(list(tmp_path.glob("*.png"))) == 6


def test_calls_of_several_turns(tool: QwenImageTool, server: SandboxServer, call: Call) -> None:
    """An agent that draws in each of three turns pays three times."""
    turns = [asks_for(f"fox {number}", start=number) for number in (1, 2, 3)]
    by_call = answers(call(agent_of(tool, *turns), "invoke", ASK))
    assert {message.status for message in by_call.values()} == {"success"}
    assert server.gateway.post_count == 3


@pytest.mark.parametrize(
    ("prompt", "posts"),
    [
        pytest.param("sandbox:500", 1, id="server"),
        pytest.param("sandbox:drop", 1, id="connection-lost"),
        pytest.param("sandbox:429", 1, id="rate-limit"),
        pytest.param("sandbox:moderation", 1, id="moderation"),
        pytest.param("sandbox:malformed", 1, id="malformed"),
        pytest.param(" ", 0, id="blank"),
    ],
)
def test_failing_call_leaves_its_siblings_alone(
    prompt: str, posts: int, tool: QwenImageTool, server: SandboxServer, call: Call
) -> None:
    """One failing call among parallel ones is an error message; the others are paid for once."""
    agent = agent_of(tool, asks_for("sandbox:slow-0 a fox", prompt, "an owl"))
    by_call = answers(call(agent, "invoke", ASK))
    assert [by_call[f"call_{n}"].status for n in (1, 2, 3)] == ["success", "error", "success"]
    paid = prompts_paid_for(server)
    assert (paid["sandbox:slow-0 a fox"], paid["an owl"], paid[prompt]) == (1, 1, posts)


def test_error_that_a_model_mends(tool: QwenImageTool, server: SandboxServer, call: Call) -> None:
    """A model that reads what is wrong with its arguments can fix them; only that is paid for."""
    wrong, right = asks_for("a fox", size="9*9"), asks_for("a fox", start=2, size="512*512")
    by_call = answers(call(agent_of(tool, wrong, right), "invoke", ASK))
    assert by_call["call_1"].status == "error"
    assert "512*512" in by_call["call_1"].text
    assert by_call["call_2"].status == "success"
    assert server.gateway.post_count == 1


def test_operator_error_ends_the_run(
    tool: QwenImageTool, server: SandboxServer, call: Call
) -> None:
    """What only the operator can fix is raised out of the agent, after one POST."""
    with pytest.raises(AuthenticationError):
        call(agent_of(tool, asks_for("sandbox:401")), "invoke", ASK)
    assert server.gateway.post_count == 1


@pytest.mark.parametrize(
    ("mode", "kinds"),
    [
        pytest.param("updates", {"model", "tools"}, id="updates"),
        pytest.param("messages", {"AIMessage", "ToolMessage"}, id="messages"),
        pytest.param("custom", {"waiting", "sent", "received", "saved"}, id="custom"),
    ],
)
def test_streams(mode: str, kinds: set[str], tool: QwenImageTool, call: Call) -> None:
    """Each way of streaming an agent yields what is to be seen of a call."""
    chunks = collect(call, agent_of(tool, asks_for("a fox", "an owl")), mode)
    seen = {
        "updates": lambda chunk: next(iter(chunk)),
        "messages": lambda chunk: type(chunk[0]).__name__.removesuffix("Chunk"),
        "custom": lambda chunk: chunk["stage"],
    }[mode]
    assert {seen(chunk) for chunk in chunks} == kinds


def test_streams_tell_calls_apart(tool: QwenImageTool, call: Call) -> None:
    """The progress of parallel calls is told apart by the id of the tool call."""
    events = collect(call, agent_of(tool, asks_for("a fox", "an owl")), "custom")
    for name in ("call_1", "call_2"):
        stages = [event["stage"] for event in events if event["tool_call_id"] == name]
        assert stages == ["waiting", "sent", "received", "saved"]


async def test_events_of_an_agent(tool: QwenImageTool) -> None:
    """`astream_events` of an agent reports the stages of each call, under that call's own run."""
    runs: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    agent = agent_of(tool, asks_for("a fox", "an owl"))
    async for event in agent.astream_events(ASK, version="v2"):
        if event["event"] == "on_custom_event":
            runs.setdefault(event["run_id"], []).append(event["data"]["stage"])
        elif event["event"] == "on_tool_start":
            names[event["run_id"]] = event["name"]
    assert list(runs.values()) == [["waiting", "sent", "received", "saved"]] * 2
    assert {names[run] for run in runs} == {"generate_image"}


def test_tool_node(tool: QwenImageTool, server: SandboxServer, call: Call) -> None:
    """A graph of one's own with a ToolNode answers every call with its artifact."""
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([tool]))
    graph.add_edge(START, "tools").add_edge("tools", END)
    state = call(graph.compile(), "invoke", {"messages": [asks_for("a fox", "an owl")]})
    assert {one.artifact["prompt"] for one in answers(state).values()} == {"a fox", "an owl"}
    assert server.gateway.post_count == 2


class HostState(AgentState[Any]):
    """State of a host that has more to say than messages."""

    customer: str


def sibling_tools(heard: list[Any]) -> list[Any]:
    """Return tools of a host to which LangGraph gives state, store and runtime."""

    @as_tool
    def who(
        state: Annotated[Any, InjectedState], store: Annotated[BaseStore, InjectedStore()]
    ) -> str:
        """Say who asks."""
        heard.append((state["customer"], store.get(("names",), "a")))
        return "You."

    @as_tool
    def where(runtime: ToolRuntime[Any, Any]) -> str:
        """Say where."""
        heard.append((runtime.state["customer"], runtime.context))
        return "Here."

    return [who, where]


def test_host_keeps_its_state_store_and_runtime(
    tool: QwenImageTool, server: SandboxServer, call: Call
) -> None:
    """State, store, context and runtime of the host reach its own tools and do not disturb ours."""
    heard: list[Any] = []
    calls = [
        {"name": name, "args": {}, "id": name, "type": "tool_call"} for name in ("who", "where")
    ]
    turn = AIMessage("", tool_calls=[*asks_for("a fox").tool_calls, *calls])
    store = InMemoryStore()
    store.put(("names",), "a", {"is": "Ada"})
    agent = agent_of(
        [tool, *sibling_tools(heard)],
        turn,
        state_schema=HostState,
        context_schema=dict,
        store=store,
    )
    state = call(agent, "invoke", {**ASK, "customer": "Ada"}, context={"shop": "north"})
    assert {one.status for one in answers(state).values()} == {"success"}
    assert {customer for customer, _ in heard} == {"Ada"}
    assert {"shop": "north"} in [given for _, given in heard]
    assert server.gateway.post_count == 1


def test_hosts_middleware_sees_the_call_and_its_runtime(
    tool: QwenImageTool, server: SandboxServer, call: Call
) -> None:
    """Middleware around our call reads the host's state and store, and gets the whole message."""
    seen: list[Any] = []

    class Watching(AgentMiddleware[Any, Any]):
        def wrap_tool_call(self, request: Any, handler: Any) -> Any:
            return self._noted(request, handler(request))

        async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
            return self._noted(request, await handler(request))

        def _noted(self, request: Any, message: Any) -> Any:
            store = request.runtime.store.get(("names",), "a").value
            seen.append((request.tool, request.state["customer"], store, message.artifact))
            return message

    store = InMemoryStore()
    store.put(("names",), "a", {"is": "Ada"})
    agent = agent_of(
        tool, asks_for("a fox"), state_schema=HostState, store=store, middleware=[Watching()]
    )
    state = call(agent, "invoke", {**ASK, "customer": "Bob"})
    artifact = answers(state)["call_1"].artifact
    assert seen == [(tool, "Bob", {"is": "Ada"}, artifact)]
    assert server.gateway.post_count == 1


def test_model_is_shown_only_its_own_arguments(tool: QwenImageTool, call: Call) -> None:
    """What an agent binds to a model is the tool's own schema, without injected arguments."""
    model = ScriptedModel(turns=[])
    call(create_agent(model, [tool]), "invoke", ASK)
    (bound,) = model.shown_tools
    assert list(bound.tool_call_schema.model_json_schema()["properties"]) == [
        "prompt",
        "negative_prompt",
        "prompt_extend",
        "watermark",
        "size",
    ]


def test_agent_looks_and_improves(server: SandboxServer, tmp_path: Path, call: Call) -> None:
    """A model that asks to look gets an image block, and can draw better for one more payment."""
    toolkit = QwenImageToolkit(base_url=server.base_url, api_key=KEY, save_to=tmp_path)
    model = ScriptedModel(turns=[asks_for("a fox"), looks, asks_for("a red fox", start=2)])
    state = call(create_agent(model, toolkit.get_tools()), "invoke", ASK)
    looked = answers(state)["look"]
    assert [block["type"] for block in looked.content_blocks] == ["text", "image"]
    assert prompts_paid_for(server) == {"a fox": 1, "a red fox": 1}


def test_model_without_vision_sees_no_block(
    server: SandboxServer, tmp_path: Path, call: Call
) -> None:
    """As long as a model does not ask to look, all that it reads is text."""
    toolkit = QwenImageToolkit(base_url=server.base_url, api_key=KEY, save_to=tmp_path)
    model = ScriptedModel(turns=[asks_for("a fox"), asks_for("sandbox:500", start=2)])
    call(create_agent(model, toolkit.get_tools()), "invoke", ASK)
    assert all(isinstance(message.content, str) for message in model.read[-1])
