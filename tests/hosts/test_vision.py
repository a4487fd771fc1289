"""What the real clients of chat models send after a look at two images."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Call
from langchain.agents import create_agent
from model_apis import MISTRAL_REFUSES, OPENAI_REFUSES, ModelApi

from langchain_qwen_image import QwenImageGenerator, QwenImageToolkit
from langchain_qwen_image.middleware import QwenImageVisionMiddleware

# What the clients and their libraries warn of is theirs.
pytestmark = [pytest.mark.hosts, pytest.mark.filterwarnings("default")]

KEY = "key-of-a-chat-model"


def client(module: str, name: str, **settings: Any) -> Any:
    """Return what makes a client for the API at an address; skipped where it is not installed."""

    def make(url: str) -> Any:
        pytest.importorskip(module)
        given = {key: value.format(url=url) for key, value in settings.items() if key != "use"}
        extra = settings.get("use", {})
        return getattr(importlib.import_module(module), name)(
            api_key=KEY, max_retries=0, **given, **extra
        )

    return make


COMPLETIONS = client(
    "langchain_openai",
    "ChatOpenAI",
    model="gpt-5.5",
    base_url="{url}/v1",
    use={"use_responses_api": False},
)
AUTOMATIC = client("langchain_openai", "ChatOpenAI", model="gpt-4o", base_url="{url}/v1")
RESPONSES = client(
    "langchain_openai",
    "ChatOpenAI",
    model="gpt-5.5",
    base_url="{url}/v1",
    use={"use_responses_api": True},
)
MISTRAL = client(
    "langchain_mistralai", "ChatMistralAI", model="mistral-medium-latest", endpoint="{url}/v1"
)
GROQ = client("langchain_groq", "ChatGroq", model="llama-4-scout", base_url="{url}")
ANTHROPIC = client(
    "langchain_anthropic", "ChatAnthropic", model="claude-sonnet-4-5", base_url="{url}"
)
GEMINI = client(
    "langchain_google_genai", "ChatGoogleGenerativeAI", model="gemini-2.5-flash", base_url="{url}"
)
MISTRAL_ELSEWHERE = client(
    "langchain_openai", "ChatOpenAI", model="mistralai/pixtral-12b", base_url="{url}/v1"
)
CHAT = {
    "openai-completions": COMPLETIONS,
    "openai-as-it-comes": AUTOMATIC,
    "groq": GROQ,
    "mistral": MISTRAL,
    "mistral-by-another-client": MISTRAL_ELSEWHERE,
}


@pytest.fixture
def images(tmp_path: Path) -> list[str]:
    """Give the ids of two saved images."""
    generator = QwenImageGenerator(sandbox=True, save_to=tmp_path / "images", size="512*512")
    return [str(generator.invoke(prompt).image.id) for prompt in ("a fox", "an owl")]


def look(
    call: Call, make: Any, images: list[str], folder: Path, middleware: Any, **rules: Any
) -> Any:
    """Let an agent of that client look at two images at once; return what it sent then."""
    asked = [
        {"name": "view_image", "args": {"image": image}, "id": f"call_{number}"}
        for number, image in enumerate(images)
    ]
    tools = QwenImageToolkit(sandbox=True, save_to=folder / "images").get_tools()
    with ModelApi(*asked, **rules) as api:
        agent = create_agent(make(api.base_url), tools=tools, middleware=middleware)
        state = call(agent, "invoke", {"messages": [("user", "Compare them.")]})
        assert state["messages"][-1].text == "Here you are."
        assert [message.status for message in state["messages"][2:4]] == ["success"] * 2
        return api.bodies[1]


def is_mistral(name: str) -> bool:
    """Say whether Mistral's rule on the order of messages holds."""
    return "mistral" in name


@pytest.mark.parametrize("name", CHAT)
def test_images_are_in_a_message_of_the_user(
    name: str, call: Call, images: list[str], tmp_path: Path
) -> None:
    """Where tools may return no image, both are in a user's message after all results."""
    sent = look(
        call,
        CHAT[name],
        images,
        tmp_path,
        [QwenImageVisionMiddleware()],
        is_mistral=is_mistral(name),
    )["messages"]
    roles = [message["role"] for message in sent]
    between = ["assistant"] if is_mistral(name) else []
    assert roles == ["user", "assistant", "tool", "tool", *between, "user"]
    for message, image in zip(sent[2:4], images, strict=True):
        assert f"image {image}" in json.dumps(message["content"])
    parts = [part["type"] for part in sent[-1]["content"]]
    assert parts == ["text", "image_url"] * 2
    urls = [part["image_url"]["url"] for part in sent[-1]["content"] if "image_url" in part]
    assert all(url.startswith("data:image/jpeg;base64,") for url in urls)
    assert urls[0] != urls[1]


@pytest.mark.parametrize("name", CHAT)
def test_without_it_such_an_api_refuses(
    name: str, call: Call, images: list[str], tmp_path: Path
) -> None:
    """The same agent without the middleware gets a refusal: that is what it is for."""
    with pytest.raises(Exception, match=OPENAI_REFUSES):
        look(call, CHAT[name], images, tmp_path, [], is_mistral=is_mistral(name))


def test_mistral_refuses_a_user_right_after_a_tool(
    call: Call, images: list[str], tmp_path: Path
) -> None:
    """Without the word between, Mistral refuses the order: that is what it is for."""
    middleware = [QwenImageVisionMiddleware(reply_first=False)]
    with pytest.raises(Exception, match=MISTRAL_REFUSES):
        look(call, MISTRAL, images, tmp_path, middleware, is_mistral=True)


@pytest.mark.parametrize("moves", [None, True], ids=["as it comes", "forced"])
def test_responses(moves: Any, call: Call, images: list[str], tmp_path: Path) -> None:
    """OpenAI's Responses take images of tools; forced, they are in a user's message."""
    middleware = [QwenImageVisionMiddleware(move_images=moves)]
    sent = look(call, RESPONSES, images, tmp_path, middleware)["input"]
    outputs = [item["output"] for item in sent if item.get("type") == "function_call_output"]
    users = [item for item in sent if item.get("role") == "user"]
    assert len(outputs) == 2
    if moves is None:
        assert [[part["type"] for part in output] for output in outputs] == [
            ["input_text", "input_image"]
        ] * 2
        assert len(users) == 1
    else:
        assert all("data:" not in json.dumps(output) for output in outputs)
        assert [part["type"] for part in users[-1]["content"]] == ["input_text", "input_image"] * 2


@pytest.mark.parametrize("moves", [None, True], ids=["as it comes", "forced"])
def test_anthropic(moves: Any, call: Call, images: list[str], tmp_path: Path) -> None:
    """Anthropic takes images of tools; forced, they are after the results in the same turn."""
    middleware = [QwenImageVisionMiddleware(move_images=moves)]
    sent = look(call, ANTHROPIC, images, tmp_path, middleware)["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "user"]
    kinds = [block["type"] for block in sent[2]["content"]]
    results = [json.dumps(one) for one in sent[2]["content"] if one["type"] == "tool_result"]
    if moves is None:
        assert kinds == ["tool_result"] * 2
        assert all('"type": "image"' in result for result in results)
    else:
        assert kinds == ["tool_result"] * 2 + ["text", "image"] * 2
        assert all('"type": "image"' not in result for result in results)


@pytest.mark.parametrize("moves", [None, True], ids=["as it comes", "forced"])
def test_gemini(moves: Any, call: Call, images: list[str], tmp_path: Path) -> None:
    """Gemini takes images beside the results; forced, they are in the turn after them."""
    middleware = [QwenImageVisionMiddleware(move_images=moves)]
    sent = look(call, GEMINI, images, tmp_path, middleware)["contents"]
    inline = [
        [part["inlineData"]["data"] for part in turn["parts"] if "inlineData" in part]
        for turn in sent
    ]
    assert sum(map(len, inline)) == 2
    assert len({data for turn in inline for data in turn}) == 2
    responses = [sum("functionResponse" in part for part in turn["parts"]) for turn in sent]
    assert sum(responses) == 2
    if moves:
        assert len(inline[-1]) == 2
        assert responses[-1] == 0
