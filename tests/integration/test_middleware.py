"""What LangChain's and LangGraph's middleware makes of a paid tool, counted at the gateway."""

import inspect
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import Call
from langchain.agents import create_agent
from langchain.agents.middleware import (
    HumanInTheLoopMiddleware,
    ToolCallLimitMiddleware,
    ToolErrorMiddleware,
    ToolRetryMiddleware,
)
from langchain.agents.middleware.tool_call_limit import ToolCallLimitExceededError
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, RetryPolicy
from scripted_model import ScriptedModel, asks_for
from waiting import await_until

from langchain_qwen_image import QwenImageGenerator, QwenImageTool
from langchain_qwen_image.errors import (
    AuthenticationError,
    QuotaExceededError,
    QwenImageError,
    RateLimitError,
    ServerError,
)
from langchain_qwen_image.sandbox import SandboxServer, draw_plain

KEY = "test-key-of-the-middleware"
ASK: Any = {"messages": [HumanMessage("Draw what you are told to.")]}
THREAD: Any = {"configurable": {"thread_id": "one"}}

FAILING = [
    pytest.param("sandbox:500", id="server"),
    pytest.param("sandbox:503", id="unavailable"),
    pytest.param("sandbox:504", id="front-end-gave-up"),
    pytest.param("sandbox:drop", id="connection-lost"),
    pytest.param("sandbox:malformed", id="malformed"),
    pytest.param("sandbox:moderation", id="moderation"),
    pytest.param("sandbox:401", id="key"),
    pytest.param("sandbox:quota", id="quota"),
    pytest.param("sandbox:429", id="rate-limit"),
]


def tool_of(server: SandboxServer, **settings: Any) -> QwenImageTool:
    """Return a tool of the gateway on loopback, without attempts of its own."""
    return QwenImageTool(base_url=server.base_url, api_key=KEY, max_retries=0, **settings)


def agent_of(tool: Any, *turns: Any, **settings: Any) -> Any:
    """Return an agent whose model plays these turns."""
    return create_agent(ScriptedModel(turns=turns), [tool], **settings)


def answers(state: Any) -> dict[str, ToolMessage]:
    """Return the tool messages of a conversation by their call's id."""
    messages = [one for one in state["messages"] if isinstance(one, ToolMessage)]
    return {message.tool_call_id: message for message in messages}


def end(call: Call, target: Any, *given: Any) -> Any:
    """Invoke, and return the state or the error of ours in which it ends."""
    try:
        return call(target, "invoke", *given)
    except QwenImageError as error:
        return error


@pytest.mark.parametrize("handled", [None, False, True], ids=["default", "raised", "told"])
@pytest.mark.parametrize("prompt", [one for one in FAILING if one.id != "rate-limit"])
def test_tool_retry_middleware_pays_once(
    prompt: str, handled: Any, server: SandboxServer, call: Call
) -> None:
    """`ToolRetryMiddleware()` never repeats what may have been paid for, however errors go."""
    tool = tool_of(server, handle_tool_error=handled)
    end(call, agent_of(tool, asks_for(prompt), middleware=[ToolRetryMiddleware()]), ASK)
    assert server.gateway.post_count == 1


@pytest.mark.parametrize(
    ("handled", "posts"), [pytest.param(None, 1, id="default"), pytest.param(False, 3, id="raised")]
)
def test_tool_retry_middleware_repeats_what_bought_nothing(
    handled: Any, posts: int, server: SandboxServer, call: Call
) -> None:
    """It sees a rate limit only where errors are raised; three POSTs then bought nothing."""
    retry = ToolRetryMiddleware(initial_delay=0, jitter=False)
    tool = tool_of(server, handle_tool_error=handled)
    state = end(call, agent_of(tool, asks_for("sandbox:429"), middleware=[retry]), ASK)
    assert answers(state)["call_1"].status == "error"
    assert server.gateway.post_count == posts
    assert server.images == []


def test_docs_warn_rightly_of_retrying_everything(server: SandboxServer, call: Call) -> None:
    """A middleware that is told to repeat every exception overrules the errors, and pays again."""
    retry = ToolRetryMiddleware(retry_on=(Exception,), initial_delay=0, jitter=False)
    tool = tool_of(server, handle_tool_error=False)
    end(call, agent_of(tool, asks_for("sandbox:500"), middleware=[retry]), ASK)
    assert server.gateway.post_count == 3


@pytest.mark.parametrize("handled", [None, False], ids=["default", "raised"])
@pytest.mark.parametrize("prompt", FAILING)
def test_retry_policy_pays_once(
    prompt: str, handled: Any, server: SandboxServer, call: Call
) -> None:
    """A node under LangGraph's default `RetryPolicy` sends one POST, whatever comes of it."""
    graph = StateGraph(MessagesState)
    tool = tool_of(server, handle_tool_error=handled)
    graph.add_node("tools", ToolNode([tool]), retry_policy=RetryPolicy(initial_interval=0))
    graph.add_edge(START, "tools")
    end(call, graph.compile(), {"messages": [asks_for(prompt)]})
    assert server.gateway.post_count == 1


def test_retry_policy_leaves_siblings_alone(server: SandboxServer, call: Call) -> None:
    """A failing call beside good ones in one node repeats none of them."""
    graph = StateGraph(MessagesState)
    graph.add_node(
        "tools", ToolNode([tool_of(server)]), retry_policy=RetryPolicy(initial_interval=0)
    )
    graph.add_edge(START, "tools")
    turn = asks_for("a fox", "sandbox:500", "an owl")
    state = call(graph.compile(), "invoke", {"messages": [turn]})
    assert [one.status for one in answers(state).values()] == ["success", "error", "success"]
    assert server.gateway.post_count == 3


@pytest.mark.parametrize("face", [QwenImageTool, QwenImageGenerator])
@pytest.mark.parametrize(
    ("prompt", "error", "posts"),
    [
        pytest.param("sandbox:500", ServerError, 1, id="perhaps-paid"),
        pytest.param("sandbox:401", AuthenticationError, 1, id="key"),
        pytest.param("sandbox:throttling", RateLimitError, 3, id="bought-nothing"),
    ],
)
def test_with_retry(
    prompt: str, error: Any, posts: int, face: Any, server: SandboxServer, call: Call
) -> None:
    """`with_retry()` repeats only where a repeat cannot buy a second image."""
    one = face(base_url=server.base_url, api_key=KEY, max_retries=0)
    with pytest.raises(error):
        call(one.with_retry(wait_exponential_jitter=False), "invoke", prompt)
    assert server.gateway.post_count == posts


def told(error: Exception, request: Any) -> str | None:
    """Tell the model what happened, as the recipe in the docs does."""
    return str(error) if isinstance(error, QwenImageError) else None


@pytest.mark.parametrize("prompt", ["sandbox:401", "sandbox:402", "sandbox:quota", "sandbox:404"])
def test_tool_error_middleware_saves_siblings(
    prompt: str, server: SandboxServer, call: Call
) -> None:
    """With it, an operator's error is a message too: siblings finish, and are paid for once."""
    turn = asks_for("a fox", prompt, "an owl")
    agent = agent_of(tool_of(server), turn, middleware=[ToolErrorMiddleware(told)])
    by_call = answers(call(agent, "invoke", ASK))
    assert [by_call[f"call_{n}"].status for n in (1, 2, 3)] == ["success", "error", "success"]
    assert server.gateway.post_count == 3


@pytest.mark.parametrize("behaviour", ["continue", "end"])
def test_tool_call_limit(behaviour: Any, server: SandboxServer, call: Call) -> None:
    """Of three calls of one turn under a limit of one, one is paid for."""
    limit = ToolCallLimitMiddleware(
        tool_name="generate_image", run_limit=1, exit_behavior=behaviour
    )
    turns = [asks_for("a fox"), asks_for("an owl", "a cat", start=2)]
    state = call(agent_of(tool_of(server), *turns, middleware=[limit]), "invoke", ASK)
    assert [one.status for one in answers(state).values()] == ["success", "error", "error"]
    assert server.gateway.post_count == 1


def test_limit_that_ends_the_run_in_an_error(server: SandboxServer, call: Call) -> None:
    """A limit may raise: the calls of that turn are not sent, those before it were paid once."""
    limit = ToolCallLimitMiddleware(tool_name="generate_image", run_limit=1, exit_behavior="error")
    turns = [asks_for("a fox"), asks_for("an owl", "a cat", start=2)]
    with pytest.raises(ToolCallLimitExceededError):
        call(agent_of(tool_of(server), *turns, middleware=[limit]), "invoke", ASK)
    assert server.gateway.post_count == 1


def test_limit_of_a_thread(server: SandboxServer, call: Call) -> None:
    """A limit of a thread holds over its runs."""
    limit = ToolCallLimitMiddleware(tool_name="generate_image", thread_limit=1)
    agent = agent_of(
        tool_of(server),
        asks_for("a fox"),
        AIMessage("Here is the fox."),
        asks_for("an owl", start=2),
        middleware=[limit],
        checkpointer=InMemorySaver(),
    )
    call(agent, "invoke", ASK, THREAD)
    state = call(agent, "invoke", ASK, THREAD)
    assert answers(state)["call_2"].status == "error"
    assert server.gateway.post_count == 1


_HAS_MODES = "interrupt_mode" in inspect.signature(HumanInTheLoopMiddleware).parameters
_needs_modes = pytest.mark.skipif(not _HAS_MODES, reason="LangChain 1.4 is the first with modes")
MODES = pytest.mark.parametrize("mode", ["batched", pytest.param("per_call", marks=_needs_modes)])


def gate(mode: Any) -> HumanInTheLoopMiddleware[Any, Any, Any]:
    """Return what asks a person before each image."""
    modes: Any = {"interrupt_mode": mode} if _HAS_MODES else {}
    return HumanInTheLoopMiddleware(interrupt_on={"generate_image": True}, **modes)


def resume(state: Any, mode: str, *decisions: dict[str, Any]) -> Any:
    """Return the answer to what an agent asks, one decision a call."""
    if mode == "batched":
        return Command(resume={"decisions": list(decisions)})
    asked = sorted(state["__interrupt__"], key=lambda one: one.value["tool_call_id"])
    pairs = zip(asked, decisions, strict=False)
    return Command(resume={one.id: decision for one, decision in pairs})


def edited(prompt: str) -> dict[str, Any]:
    """Return the decision to draw another prompt."""
    action = {"name": "generate_image", "args": {"prompt": prompt}}
    return {"type": "edit", "edited_action": action}


APPROVE = {"type": "approve"}
REJECT = {"type": "reject", "message": "No image, please."}


DECISIONS = pytest.mark.parametrize(
    ("decision", "prompts"),
    [
        pytest.param(REJECT, [], id="reject"),
        pytest.param(APPROVE, ["a fox"], id="approve"),
        pytest.param(edited("a red fox"), ["a red fox"], id="edit"),
    ],
)


@MODES
@DECISIONS
def test_person_decides(
    decision: Any, prompts: list[str], mode: str, server: SandboxServer, call: Call
) -> None:
    """Nothing is sent before a person decides; reject pays nothing, approve and edit pay once."""
    agent = agent_of(
        tool_of(server), asks_for("a fox"), middleware=[gate(mode)], checkpointer=InMemorySaver()
    )
    asked = call(agent, "invoke", ASK, THREAD)
    assert server.gateway.post_count == 0
    state = call(agent, "invoke", resume(asked, mode, decision), THREAD)
    assert [image.prompt for image in server.images] == prompts
    assert server.gateway.post_count == len(prompts)
    assert answers(state)["call_1"].status == ("success" if prompts else "error")


def test_person_answers_instead(server: SandboxServer, call: Call) -> None:
    """A person who answers in the tool's place pays nothing."""
    agent = agent_of(
        tool_of(server),
        asks_for("a fox"),
        middleware=[gate("batched")],
        checkpointer=InMemorySaver(),
    )
    asked = call(agent, "invoke", ASK, THREAD)
    decision = {"type": "respond", "message": "There is one in images/fox.png."}
    state = call(agent, "invoke", resume(asked, "batched", decision), THREAD)
    assert answers(state)["call_1"].text == "There is one in images/fox.png."
    assert server.gateway.post_count == 0


@MODES
def test_approval_that_comes_twice_pays_once(mode: str, server: SandboxServer, call: Call) -> None:
    """The same approval again, as by a double click, finds nothing left to draw."""
    agent = agent_of(
        tool_of(server), asks_for("a fox"), middleware=[gate(mode)], checkpointer=InMemorySaver()
    )
    asked = call(agent, "invoke", ASK, THREAD)
    for _ in range(2):
        state = call(agent, "invoke", resume(asked, mode, APPROVE), THREAD)
    assert answers(state)["call_1"].status == "success"
    assert server.gateway.post_count == 1


@MODES
def test_person_decides_on_each_of_several(mode: str, server: SandboxServer, call: Call) -> None:
    """Of three calls of one turn, those that are approved are paid for, once each."""
    agent = agent_of(
        tool_of(server),
        asks_for("a fox", "an owl", "a cat"),
        middleware=[gate(mode)],
        checkpointer=InMemorySaver(),
    )
    asked = call(agent, "invoke", ASK, THREAD)
    call(agent, "invoke", resume(asked, mode, APPROVE, REJECT, APPROVE), THREAD)
    assert sorted(image.prompt for image in server.images) == ["a cat", "a fox"]
    assert server.gateway.post_count == 2


@_needs_modes
def test_calls_decided_one_after_the_other(server: SandboxServer, call: Call) -> None:
    """A call that is approved and paid for is not repeated when the next one is approved."""
    agent = agent_of(
        tool_of(server),
        asks_for("a fox", "an owl"),
        middleware=[gate("per_call")],
        checkpointer=InMemorySaver(),
    )
    asked = call(agent, "invoke", ASK, THREAD)
    asked = call(agent, "invoke", resume(asked, "per_call", APPROVE), THREAD)
    assert server.gateway.post_count == 1
    call(agent, "invoke", resume(asked, "per_call", APPROVE), THREAD)
    assert sorted(image.prompt for image in server.images) == ["a fox", "an owl"]


def test_approved_call_that_fails_is_not_asked_again(server: SandboxServer, call: Call) -> None:
    """An approved call that may have been paid for and failed is one POST and an error message."""
    agent = agent_of(
        tool_of(server),
        asks_for("sandbox:500"),
        middleware=[gate("batched"), ToolRetryMiddleware()],
        checkpointer=InMemorySaver(),
    )
    asked = call(agent, "invoke", ASK, THREAD)
    state = call(agent, "invoke", resume(asked, "batched", APPROVE), THREAD)
    assert answers(state)["call_1"].status == "error"
    assert server.gateway.post_count == 1


class Restarting:
    """Asks, decides and goes on, each time with new objects on the same file of threads."""

    def __init__(self, server: SandboxServer, file: Path, mode: str, decision: Any) -> None:
        self._server, self._file, self._mode = server, str(file), mode
        self._steps = [
            lambda state: ASK,
            lambda state: resume(state, mode, decision),
            lambda state: None,
        ]

    def _agent(self, saver: Any) -> Any:
        saver.serde = JsonPlusSerializer(allowed_msgpack_modules=None)  # what strict sets
        return agent_of(
            tool_of(self._server),
            asks_for("a fox"),
            middleware=[gate(self._mode)],
            checkpointer=saver,
        )

    def run(self) -> Any:
        state: Any = None
        for given in self._steps:
            with SqliteSaver.from_conn_string(self._file) as saver:
                state = self._agent(saver).invoke(given(state), THREAD)
        return state

    async def arun(self) -> Any:
        state: Any = None
        for given in self._steps:
            async with AsyncSqliteSaver.from_conn_string(self._file) as saver:
                state = await self._agent(saver).ainvoke(given(state), THREAD)
        return state


@MODES
@DECISIONS
def test_decision_holds_after_a_restart(
    decision: Any,
    prompts: list[str],
    mode: str,
    server: SandboxServer,
    call: Call,
    tmp_path: Path,
) -> None:
    """Asked, decided and finished with new objects each time: what was decided is paid once."""
    state = call(Restarting(server, tmp_path / "threads.db", mode, decision), "run")
    assert [image.prompt for image in server.images] == prompts
    assert server.gateway.post_count == len(prompts)
    assert answers(state)["call_1"].status == ("success" if prompts else "error")


def test_resume_after_an_operator_error_repeats_no_sibling(call: Call, tmp_path: Path) -> None:
    """A sibling that was out when another call ended the run is not paid for again on resuming."""
    with SandboxServer(draw=draw_plain, latency_seconds=0.1) as server:
        agent = agent_of(
            tool_of(server, save_to=tmp_path),
            asks_for("sandbox:slow-1 a fox", "sandbox:402"),
            checkpointer=InMemorySaver(),
        )
        call(_Insisting(agent, tmp_path), "invoke")
        prompts = Counter(
            one.body["input"]["messages"][0]["content"][0]["text"]
            for one in server.requests
            if one.method == "POST"
        )
    assert prompts == {"sandbox:slow-1 a fox": 1, "sandbox:402": 2}
    assert len(list(tmp_path.glob("*.png"))) == 1


class _Insisting:
    """Runs an agent into an operator's error, and resumes it once the other call was answered."""

    def __init__(self, agent: Any, folder: Path) -> None:
        self._agent = agent
        self._folder = folder

    def invoke(self) -> None:
        for given in (ASK, None):
            with pytest.raises(QuotaExceededError):
                self._agent.invoke(given, THREAD)

    async def ainvoke(self) -> None:
        with pytest.raises(QuotaExceededError):
            await self._agent.ainvoke(ASK, THREAD)
        await await_until(lambda: list(self._folder.glob("*.png")))
        with pytest.raises(QuotaExceededError):
            await self._agent.ainvoke(None, THREAD)
