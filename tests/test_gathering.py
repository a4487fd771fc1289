"""Results gathered from whatever an agent, a graph or a chain gives, without asking anybody."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import (
    AIMessage,
    HumanMessage,
    ToolMessage,
    message_to_dict,
    messages_to_dict,
)
from langchain_core.tools import tool as made_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from loopback import LINK
from pydantic import BaseModel
from scripted_model import ScriptedModel, asks_for, drawing

from langchain_qwen_image import (
    GeneratedImage,
    ImageGenerationResult,
    QwenImageGenerator,
    QwenImageTool,
)
from langchain_qwen_image.errors import InvalidRequestError
from langchain_qwen_image.sandbox import SandboxServer
from langchain_qwen_image.schemas import ImageParameters

ALL = ImageGenerationResult.all_from
ASKED = {"messages": [("human", "Draw.")]}


def result(prompt: str = "a fox", **more: Any) -> ImageGenerationResult:
    """Return a result of its own."""
    settings = {"parameters": ImageParameters(), "cost_usd": 0.045, **more}
    return ImageGenerationResult(images=[GeneratedImage.from_link(LINK)], prompt=prompt, **settings)


FOX, HARE = result("a fox"), result("a hare")


def message(one: ImageGenerationResult, **more: Any) -> ToolMessage:
    """Return the message that the tool makes of a result."""
    more = {"artifact": one.to_artifact(), "tool_call_id": "c", **more}
    return ToolMessage("Done.", **more)


class State(BaseModel):
    """State of a graph, as a pydantic model."""

    messages: list[Any] = []
    last: ImageGenerationResult | None = None


@dataclass
class DataState:
    """The same as a dataclass."""

    messages: list[Any]


MESSAGES = [HumanMessage("Draw."), message(FOX), AIMessage("And now?"), message(HARE)]
GIVEN: dict[str, Any] = {
    "messages": MESSAGES,
    "tuple": tuple(MESSAGES),
    "iterator": iter(MESSAGES),
    "state": {"messages": MESSAGES},
    "pydantic state": State(messages=MESSAGES),
    "dataclass state": DataState(MESSAGES),
    "artifacts": [FOX.to_artifact(), HARE.to_artifact()],
    "artifacts as JSON": json.loads(json.dumps([FOX.to_artifact(), HARE.to_artifact()])),
    "results": [FOX, HARE],
    "results dumped": [FOX.model_dump(), HARE.model_dump(mode="json")],
    "messages dumped": [one.model_dump() for one in MESSAGES],
    "messages as dicts": messages_to_dict(MESSAGES),
    "state of results": State(messages=[[FOX]], last=HARE),
    "dumped dataclass": asdict(DataState([FOX.to_artifact(), HARE.to_artifact()])),
    "mixed": [FOX, {"a": [{"b": (message(HARE),)}]}],
    "updates": [{"tools": {"messages": [message(FOX)]}}, {"tools": [message(HARE)]}],
    "commands": [Command(update={"messages": [message(FOX)]}), Command(update=[message(HARE)])],
    "values": [{"messages": MESSAGES[:2]}, {"messages": MESSAGES}, {"messages": MESSAGES}],
    "two modes": [("custom", {"type": "qwen_image"}), ("updates", {"tools": MESSAGES})],
    "subgraphs": [(("draw:1",), "messages", (message(FOX), {})), ((), {"tools": MESSAGES})],
    "parts": [{"type": "updates", "ns": (), "data": {"tools": {"messages": MESSAGES}}}],
    "events": [
        {"event": "on_tool_end", "data": {"output": message(FOX), "input": {"prompt": "a"}}},
        {"event": "on_chain_end", "data": {"output": {"messages": MESSAGES}}},
    ],
}


@pytest.mark.parametrize("given", list(GIVEN.values()), ids=list(GIVEN))
def test_results_are_gathered(given: Any) -> None:
    """Each result once, in the order in which they first appear, as equal objects."""
    assert ALL(given) == [FOX, HARE]


@pytest.mark.parametrize(
    "given", [FOX, FOX.to_artifact(), message(FOX), message_to_dict(MESSAGES[1])]
)
def test_one_thing_may_be_given(given: Any) -> None:
    """A result, an artifact and a message may be given as they are."""
    assert ALL(given) == [FOX]


def test_what_a_later_call_brings_back_is_the_first() -> None:
    """A replayed result is the one that was paid for, so that the sum of the costs stays true."""
    found = ALL([message(FOX), message(FOX.as_replayed(), tool_call_id="d"), message(HARE)])
    assert [one.cost_usd for one in found] == [0.045, 0.045]
    assert not found[0].replayed


ARTIFACT: Any = FOX.to_artifact()
OTHERS: dict[str, Any] = {
    "nothing": None,
    "text": "images",
    "images of another tool": {"images": [{"url": "https://h/a.png"}], "prompt": "a fox"},
    "no image": {**ARTIFACT, "images": []},
    "images of another shape": {**ARTIFACT, "images": ["a.png"]},
    "images as text": {**ARTIFACT, "images": "ab"},
    "another price": {**ARTIFACT, "cost_usd": "five cents"},
    "an object": object(),
    "a class": DataState,
    "a generator": (one for one in [FOX]),
    "a runnable": QwenImageGenerator(sandbox=True),
    "a list of documents": [{"page_content": "images", "metadata": {"images": 3}}],
}


@pytest.mark.parametrize("artifact", list(OTHERS.values()), ids=list(OTHERS))
def test_artifacts_of_other_tools_are_ignored(artifact: Any) -> None:
    """What is no result of ours is passed over, wherever it is, and nothing is read of it."""
    given = [ToolMessage("Done.", artifact=artifact, tool_call_id="c"), {"x": artifact}, HARE]
    assert ALL(given) == [HARE]


def test_what_contains_itself_ends() -> None:
    """What contains itself several times, or is very deep, is looked through to its end."""
    round_trip: dict[str, Any] = {"result": FOX}
    round_trip |= dict.fromkeys("abc", round_trip)
    deep: Any = HARE
    for _ in range(5000):
        deep = [deep]
    assert ALL([round_trip, deep]) == [FOX, HARE]


async def _items() -> Any:
    yield {"messages": MESSAGES}


async def _answer() -> Any:
    return MESSAGES


@pytest.mark.parametrize(
    ("make", "told"),
    [
        pytest.param(lambda: "messages", "got str", id="text"),
        pytest.param(lambda: None, "got NoneType", id="None"),
        pytest.param(lambda: 7, "got int", id="number"),
        pytest.param(object, "got object", id="object"),
        pytest.param(_items, r"\[item async for item in …\]", id="asynchronous"),
        pytest.param(
            lambda: QwenImageGenerator(sandbox=True).generate_many(["a"], resume=False),
            "collect its items",
            id="a bulk run, which would buy",
        ),
    ],
)
def test_what_has_no_results_in_it_is_refused(make: Callable[[], Any], told: str) -> None:
    """What cannot be looked through is an error that says what can."""
    with pytest.raises(InvalidRequestError, match=f"Expected messages.*{told}"):
        ALL(make())


async def test_a_coroutine_is_to_be_awaited() -> None:
    """A forgotten `await` is said."""
    waiting = _answer()
    with pytest.raises(InvalidRequestError, match="await it first"):
        ALL(waiting)
    assert ALL(await waiting) == [FOX, HARE]


@made_tool(response_format="content_and_artifact")
def look_up(subject: str) -> tuple[str, Any]:
    """Another tool, which has artifacts too."""
    return "Found.", {"images": [{"url": "https://h/a.png"}], "query": subject}


@pytest.fixture
def agent(server: SandboxServer, tmp_path: Any) -> Any:
    """Return an agent that draws two images in its first turn and one in its second."""
    other = {"name": "look_up", "args": {"subject": "foxes"}, "id": "o", "type": "tool_call"}
    turns = [
        AIMessage("", tool_calls=[drawing("one"), other, drawing("two", id="call_2")]),
        asks_for("three", start=3),
    ]
    tool = QwenImageTool(base_url=server.base_url, api_key="k", save_to=tmp_path / "images")
    model = ScriptedModel(turns=turns)
    yield create_agent(model, [tool, look_up], checkpointer=InMemorySaver())
    tool.close()


MODES: list[Any] = ["updates", "values", "messages", "custom", "tasks", "debug"]
CONFIG: Any = {"configurable": {"thread_id": "t"}}


@pytest.mark.parametrize(
    "stream_mode", [*MODES[:3], *MODES[4:], MODES], ids=lambda mode: str(mode)[:12]
)
@pytest.mark.parametrize("twin", ["sync", "async"])
@pytest.mark.parametrize("more", [{}, {"subgraphs": True}, {"version": "v2"}], ids=str)
def test_a_stream_of_an_agent(
    agent: Any, server: SandboxServer, stream_mode: Any, twin: str, more: dict[str, Any]
) -> None:
    """Each mode of `stream` and `astream` gives the three images; gathering sends no request."""
    settings: Any = {"stream_mode": stream_mode, **more}

    async def collect() -> list[Any]:
        return [one async for one in agent.astream(ASKED, CONFIG, **settings)]

    if twin == "sync":
        found = ALL(agent.stream(ASKED, CONFIG, **settings))
    else:
        found = ALL(asyncio.run(collect()))
    assert sorted(one.prompt for one in found) == ["one", "three", "two"]
    assert found[-1].prompt == "three"
    asked = len(server.requests)
    assert ALL(agent.get_state(CONFIG)) == ALL(agent.get_state(CONFIG).values)
    history = ALL(agent.get_state_history(CONFIG))
    assert {one.call_id for one in history} == {one.call_id for one in found}
    assert len(server.requests) == asked
    assert server.gateway.post_count == 3
    assert found[0].image.read()


async def test_events_of_an_agent(agent: Any, server: SandboxServer) -> None:
    """The events of `astream_events`, collected, give each image once."""
    events = [event async for event in agent.astream_events(ASKED, CONFIG, version="v2")]
    assert sorted(one.prompt for one in ALL(events)) == ["one", "three", "two"]
    custom = [event for event in events if event["event"] == "on_custom_event"]
    assert custom
    assert ALL(custom) == []


def test_a_generators_stream(server: SandboxServer) -> None:
    """What a chain yields is a result, or has one in it."""
    generator = QwenImageGenerator(base_url=server.base_url, api_key="k")
    assert [one.prompt for one in ALL(generator.stream("a fox"))] == ["a fox"]
    outcomes = list(generator.generate_many(["a", "b"], resume=False))
    assert {one.prompt for one in ALL(outcomes)} == {"a", "b"}
    generator.close()


def test_an_iterator_is_read_item_by_item() -> None:
    """A stream is read to its end, each item once."""
    read: list[int] = []

    def stream() -> Iterator[Any]:
        for number, one in enumerate((FOX, HARE, FOX)):
            read.append(number)
            yield {"messages": [message(one)]}

    assert ALL(stream()) == [FOX, HARE]
    assert read == [0, 1, 2]
