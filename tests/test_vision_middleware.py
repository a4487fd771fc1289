"""The middleware that shows a model the images of tools where its API takes them."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Call
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from scripted_model import ScriptedModel, asks_for, looks

from langchain_qwen_image import QwenImageToolkit
from langchain_qwen_image.middleware import QwenImageVisionMiddleware
from langchain_qwen_image.view import place_images, takes_images_of_tools

IMAGE = {"type": "image", "base64": "AAAA", "mime_type": "image/png", "id": "i"}
URL = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
TAKES = {"image_tool_message": True}


def calls(*ids: str) -> AIMessage:
    """Return a turn that calls the tool, once for each id."""
    return AIMessage("", tool_calls=[{"name": "see", "args": {"n": n}, "id": n} for n in ids])


@tool
def see(n: str) -> Any:
    """Return what is there under a name."""
    return {
        "text": "only text",
        "image": [{"type": "text", "text": f"This is {n}.", "id": "t"}, IMAGE],
        "url": [{"type": "text", "text": "Words."}, URL],
        "two": [IMAGE, URL],
        "file": [{"type": "file", "url": "https://example.com/a.pdf"}, IMAGE],
        "bare": [IMAGE],
    }[n]


class BaseChatOpenAI(ScriptedModel):
    """Stands where langchain-openai's class of this name stands."""

    use_responses_api: bool | None = None


class ChatMistralAI(ScriptedModel):
    """Has the name of Mistral's client."""


def read(call: Call, model: ScriptedModel, **settings: Any) -> list[list[AnyMessage]]:
    """Run an agent with the middleware, and return what its model was given at each turn."""
    agent = create_agent(model, tools=[see], middleware=[QwenImageVisionMiddleware(**settings)])
    call(agent, "invoke", {"messages": [("user", "Look.")]})
    return model.read


def kinds(messages: list[AnyMessage]) -> list[str]:
    """Return who speaks, in order."""
    return [message.type for message in messages]


def images(message: AnyMessage) -> list[dict[str, Any]]:
    """Return the image blocks of a message."""
    blocks = [] if isinstance(message.content, str) else message.content
    return [
        one for one in blocks if isinstance(one, dict) and one["type"] in ("image", "image_url")
    ]


def test_images_follow_after_all_results_of_a_turn(call: Call) -> None:
    """Of parallel calls all results come first, then one human message with every image."""
    model = ScriptedModel(turns=[calls("image", "text", "url")])
    (_, messages) = read(call, model)
    assert kinds(messages) == ["human", "ai", "tool", "tool", "tool", "human"]
    assert [message.content for message in messages[2:5]] == [
        "This is image.\nThe image is in the message after the tool results.",
        "only text",
        "Words.\nThe image is in the message after the tool results.",
    ]
    assert messages[5].content == [
        {"type": "text", "text": "From the tool see, call image, and not from the user:"},
        URL,
        {"type": "text", "text": "From the tool see, call url, and not from the user:"},
        URL,
    ]


def test_every_turn_has_its_images_where_they_were(call: Call) -> None:
    """In a later turn the images of earlier ones are still right after their results."""
    model = ScriptedModel(turns=[calls("image"), calls("text"), calls("two")])
    messages = read(call, model)[-1]
    assert kinds(messages[1:]) == ["ai", "tool", "human", "ai", "tool", "ai", "tool", "human"]
    assert [len(images(message)) for message in messages] == [0, 0, 0, 1, 0, 0, 0, 0, 2]
    assert messages[4].tool_calls[0]["id"] == "text"


@pytest.mark.parametrize(
    ("name", "left"),
    [
        pytest.param("bare", "The image is in the message after the tool results.", id="image"),
        pytest.param("file", ["file", "text"], id="blocks that are no text stay"),
    ],
)
def test_what_a_tool_message_keeps(name: str, left: Any, call: Call) -> None:
    """What is no image stays with the tool: as one text, or as blocks where it is not only text."""
    messages = read(call, ScriptedModel(turns=[calls(name)]))[-1]
    content = messages[2].content
    assert (content if isinstance(content, str) else [one["type"] for one in content]) == left
    assert len(images(messages[3])) == 1


@pytest.mark.parametrize(
    ("model", "settings", "expected"),
    [
        pytest.param(ScriptedModel, {}, "human", id="unknown client"),
        pytest.param(lambda **k: ScriptedModel(**k, profile=TAKES), {}, "tool", id="by profile"),
        pytest.param(
            lambda **k: BaseChatOpenAI(**k, profile=TAKES), {}, "human", id="chat completions"
        ),
        pytest.param(
            lambda **k: BaseChatOpenAI(**k, use_responses_api=True), {}, "tool", id="responses"
        ),
        pytest.param(
            lambda **k: ScriptedModel(**k, profile=TAKES),
            {"move_images": True},
            "human",
            id="forced on",
        ),
        pytest.param(ScriptedModel, {"move_images": False}, "tool", id="forced off"),
    ],
)
def test_where_a_model_finds_the_image(
    model: Any, settings: dict[str, Any], expected: str, call: Call
) -> None:
    """Moved unless the API is known to take it in a tool message, or it is said otherwise."""
    messages = read(call, model(turns=[calls("image")]), **settings)[-1]
    assert [one.type for one in messages if images(one)] == [expected]


@pytest.mark.parametrize(
    ("model", "settings", "expected"),
    [
        pytest.param(ChatMistralAI, {}, True, id="Mistral's client"),
        pytest.param(ScriptedModel, {}, False, id="another"),
        pytest.param(ScriptedModel, {"reply_first": True}, True, id="forced on"),
        pytest.param(ChatMistralAI, {"reply_first": False}, False, id="forced off"),
    ],
)
def test_mistral_speaks_between_tool_and_user(
    model: Any, settings: dict[str, Any], expected: bool, call: Call
) -> None:
    """Mistral's API refuses a user right after a tool, so the assistant says a word between."""
    messages = read(call, model(turns=[calls("image")]), **settings)[-1]
    assert kinds(messages[2:]) == ["tool", *(["ai"] if expected else []), "human"]


def test_a_mistral_model_behind_another_client_is_known_by_its_name(call: Call) -> None:
    """A gateway that speaks OpenAI's API serves Mistral's models with Mistral's rules."""

    class Served(ScriptedModel):
        model: str = "mistralai/Ministral-8B"

    assert kinds(read(call, Served(turns=[calls("image")]))[-1][3:]) == ["ai", "human"]


def test_a_graph_of_one_s_own_places_them_itself() -> None:
    """Without the middleware a function does it, and leaves what it is given as it was."""
    given = [
        calls("image"),
        ToolMessage([IMAGE], tool_call_id="image", name="see"),
        AIMessage("Y."),
    ]
    before = [message.model_copy(deep=True) for message in given]
    placed = place_images(given, ScriptedModel(turns=[]))
    assert kinds(placed) == ["ai", "tool", "human", "ai"]
    assert given == before
    assert place_images(given, ScriptedModel(turns=[], profile=TAKES)) == given


def test_what_wraps_a_model_is_not_believed() -> None:
    """A wrapper may choose another client at each call: images move."""
    bound = ScriptedModel(turns=[], profile=TAKES).bind(stop=["x"])
    assert not takes_images_of_tools(bound)


def test_requests_without_images_stay_as_they_are(call: Call) -> None:
    """Where no tool returned an image, nothing is changed."""
    model = ScriptedModel(turns=[calls("text")])
    messages = read(call, model)[-1]
    assert [message.content for message in messages[2:]] == ["only text"]


def test_a_look_with_the_toolkit_leaves_the_stored_state_alone(call: Call, tmp_path: Path) -> None:
    """The model sees its image in a human message; the stored thread has none."""
    model = ScriptedModel(turns=[asks_for("a fox"), looks])
    agent = create_agent(
        model,
        tools=QwenImageToolkit(sandbox=True, save_to=tmp_path, size="512*512").get_tools(),
        system_prompt="Draw.",
        middleware=[QwenImageVisionMiddleware()],
        checkpointer=InMemorySaver(),
    )
    thread = {"configurable": {"thread_id": "1"}}
    given: Any = {"messages": [HumanMessage("A fox, and look at it.")]}
    call(agent, "invoke", given, thread)
    seen = model.read[-1]
    assert isinstance(seen[0], SystemMessage)
    assert [one.type for one in seen if images(one)] == ["human"]
    stored = agent.get_state(thread).values["messages"]
    assert kinds(stored) == ["human", "ai", "tool", "ai", "tool", "ai"]
    assert len([one for one in stored if isinstance(one, ToolMessage) and images(one)]) == 1


def test_without_langchain_it_says_what_to_install() -> None:
    """Without langchain the import raises a ConfigurationError that names it."""
    code = (
        "import sys; sys.modules['langchain'] = None\n"
        "from langchain_qwen_image import QwenImageToolkit\n"
        "from langchain_qwen_image.errors import ConfigurationError\n"
        "try:\n"
        "    import langchain_qwen_image.middleware\n"
        "except ConfigurationError as error:\n"
        "    sys.exit('pip install --upgrade langchain' not in str(error))\n"
        "sys.exit(2)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_profiles_are_read_as_they_are() -> None:
    """No profile, or one that does not say it, is taken for an API that refuses such images."""
    models: list[BaseChatModel] = [
        ScriptedModel(turns=[]),
        ScriptedModel(turns=[], profile={}),
        ScriptedModel(turns=[], profile={"image_tool_message": False}),
    ]
    assert not any(map(takes_images_of_tools, models))
