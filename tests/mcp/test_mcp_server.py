"""What a client of the MCP server sees, in both eras of the protocol."""

import asyncio
import json
from base64 import b64decode
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from mcp import Client, MCPError
from mcp.types import ElicitResult
from mcp_programs import ERAS, FOX
from PIL import Image

from langchain_qwen_image import Budget, QwenImageGenerator
from langchain_qwen_image.mcp import contents
from langchain_qwen_image.mcp.approval import Ask
from langchain_qwen_image.mcp.server import make_server
from langchain_qwen_image.sandbox import SandboxServer

eras = pytest.mark.parametrize("era", ERAS)


@pytest.fixture
def connected(server: SandboxServer, tmp_path: Path) -> Callable[..., Client]:
    """Connect a client to a server in this process, in an era."""

    def connect(
        era: str,
        *,
        ask: str = "never",
        max_usd: float = 1,
        public_url: str | None = None,
        **options: Any,
    ) -> Client:
        generator = QwenImageGenerator(
            base_url=server.base_url,
            api_key="test-key-0123456789abcdef",
            save_to=tmp_path / "out",
            budget=Budget(max_usd=max_usd),
            public_url=public_url,
        )
        return Client(make_server(generator, Ask(ask)), mode=era, **options)

    return connect


def posts(server: SandboxServer) -> list[Any]:
    """Return the POSTs that a gateway got."""
    return [request for request in server.requests if request.method == "POST"]


def said(result: Any) -> str:
    """Return the text of a result."""
    text: str = result.content[0].text
    return text


@eras
async def test_an_image_is_told_shown_described_and_kept(
    connected: Callable[..., Client], tmp_path: Path, era: str
) -> None:
    """Sentence, small copy, artifact by its schema, and the original as a resource."""
    async with connected(era) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        result = await client.call_tool("generate_image", {**FOX, "size": None} | FOX)
        sentence, copy = result.content
        artifact = result.structured_content
        [image] = artifact["images"]
        original = await client.read_resource(image["resource"])
        listed = (await client.list_resources()).resources
        viewed = await client.call_tool("view_image", {"image": image["id"]})
        recent = await client.call_tool("recent_images", {})
    assert set(tools) == {"generate_image", "view_image", "recent_images"}
    jsonschema.validate(artifact, tools["generate_image"].output_schema)
    jsonschema.validate(recent.structured_content, tools["recent_images"].output_schema)
    assert sentence.text.startswith("Done: 1 image generated, 512×512 image/png. Saved as ")
    assert len(copy.data) < 1_000_000
    with Image.open(BytesIO(b64decode(copy.data))) as opened:
        assert opened.size == (512, 512)
    path = Path(image["path"])
    assert path.parent == tmp_path / "out"
    assert b64decode(original.contents[0].blob) == path.read_bytes()
    assert [one.uri for one in listed] == [image["resource"]]
    assert [block.type for block in viewed.content] == ["text", "image"]
    assert recent.structured_content["images"][0]["prompt"] == FOX["prompt"]
    assert "Signature" not in json.dumps(artifact) + said(recent) + sentence.text


async def test_an_address_takes_the_place_of_the_servers_paths(
    connected: Callable[..., Client], tmp_path: Path
) -> None:
    """Where the images are served, sentence, artifact and list name that, and no path."""
    async with connected(ERAS[0], public_url="https://images.example/out") as client:
        results: list[Any] = [
            await client.call_tool("generate_image", FOX),
            await client.call_tool("recent_images", {}),
        ]
        address = results[0].structured_content["images"][0]["public_url"]
        viewed = await client.call_tool("view_image", {"image": address})
    assert address.startswith("https://images.example/out/2")
    assert all(address in said(result) for result in results)
    assert not any(str(tmp_path) in result.model_dump_json() for result in results)
    assert [block.type for block in viewed.content] == ["text", "image"]


@eras
async def test_what_may_be_spent_is_told_once_and_holds(
    connected: Callable[..., Client], server: SandboxServer, era: str
) -> None:
    """The first answer names the limit; what goes beyond it is refused, and nothing is sent."""
    async with connected(era, max_usd=0.1) as client:
        answers = [
            await client.call_tool("generate_image", {"prompt": f"fox {number}", "size": "512*512"})
            for number in range(3)
        ]
    assert "may spend $0.10 until it is restarted; $0.055 of it is left" in said(answers[0])
    assert "may spend" not in said(answers[1])
    assert [answer.is_error for answer in answers] == [False, False, True]
    assert "--max-usd" in said(answers[2])
    assert len(posts(server)) == 2


@eras
@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("generate_image", {"prompt": ""}, "Nothing was sent"),
        ("generate_image", {"prompt": "x", "colour": "red"}, "colour"),
        ("generate_image", {"prompt": "x", "new_image": "perhaps"}, "new_image must be true"),
        ("generate_image", {"prompt": "sandbox:moderation"}, "Moderation refused the prompt"),
        ("view_image", {"image": "/etc/passwd"}, "There is no saved image"),
        ("view_image", {}, "There is no saved image"),
        ("recent_images", {"limit": 0}, "from 1 to 100"),
        ("recent_images", {"limit": True}, "from 1 to 100"),
    ],
)
async def test_errors_are_results_that_a_model_reads(
    connected: Callable[..., Client], era: str, name: str, arguments: dict[str, Any], expected: str
) -> None:
    """A refusal says what to do, as any answer of the tool does."""
    async with connected(era) as client:
        result = await client.call_tool(name, arguments)
    assert result.is_error
    assert expected in said(result)


@eras
@pytest.mark.parametrize(
    "uri",
    [
        "qwen-image://images/nothere1",
        "qwen-image://images/*",
        "file:///etc/passwd",
        "qwen-image://",
    ],
)
async def test_only_saved_images_are_resources(
    connected: Callable[..., Client], tmp_path: Path, era: str, uri: str
) -> None:
    """No other file can be read, by no pattern."""
    async with connected(era) as client:
        with pytest.raises(MCPError, match="There is no image"):
            await client.read_resource(uri)
        with pytest.raises(MCPError, match="There is no tool"):
            await client.call_tool("delete_image", {})


@eras
@pytest.mark.parametrize(
    ("ask", "says", "bought", "expected"),
    [
        ("auto", "accept", 1, "Done"),
        ("auto", "decline", 0, "The user declined"),
        ("auto", "cancel", 0, "did not answer"),
        ("auto", None, 1, "Done"),
        ("always", "accept", 1, "Done"),
        ("always", "decline", 0, "The user declined"),
        ("always", None, 0, "this client cannot ask"),
        ("never", "decline", 1, "Done"),
    ],
)
async def test_a_person_is_asked_where_the_client_can(
    connected: Callable[..., Client],
    server: SandboxServer,
    era: str,
    ask: str,
    says: Any,
    bought: int,
    expected: str,
) -> None:
    """The question names price and prompt; without a yes nothing is sent."""
    asked: list[str] = []

    async def answer(_: Any, params: Any) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action=says, content={} if says == "accept" else None)

    options = {} if says is None else {"elicitation_callback": answer}
    async with connected(era, ask=ask, **options) as client:
        result = await client.call_tool("generate_image", FOX)
    assert said(result).startswith(expected) or expected in said(result)
    assert result.is_error == (bought == 0)
    assert len(posts(server)) == bought
    asks = ask != "never" and says is not None
    assert asked == ["Generate this image for $0.045? 512*512: a red fox"] * asks


async def test_a_client_that_fails_to_ask_falls_back_to_the_limit(
    connected: Callable[..., Client], server: SandboxServer
) -> None:
    """`auto` takes an error of the question for a client that cannot ask."""

    async def broken(*_: Any) -> ElicitResult:
        raise NotImplementedError

    async with connected(ERAS[0], ask="auto", elicitation_callback=broken) as client:
        assert said(await client.call_tool("generate_image", FOX)).startswith("Done")
    assert len(posts(server)) == 1


async def test_a_yes_counts_for_what_was_asked(
    connected: Callable[..., Client], server: SandboxServer
) -> None:
    """The answer to one question does not buy another image."""

    async def answer(*_: Any) -> ElicitResult:
        raise AssertionError("it is answered by hand")

    yes = {"approve": ElicitResult(action="accept", content={})}
    async with connected(ERAS[1], ask="always", elicitation_callback=answer) as client:
        session = client.session
        question: Any = await session.call_tool("generate_image", FOX, allow_input_required=True)
        other = await session.call_tool(
            "generate_image",
            {**FOX, "prompt": "a heron"},
            input_responses=yes,
            request_state=question.request_state,
            allow_input_required=True,
        )
        assert other.result_type == "input_required"
        assert not posts(server)
        mine = await session.call_tool(
            "generate_image", FOX, input_responses=yes, request_state=question.request_state
        )
    assert said(mine).startswith("Done")
    assert len(posts(server)) == 1


@eras
async def test_progress_goes_from_waiting_to_saved(
    connected: Callable[..., Client], monkeypatch: pytest.MonkeyPatch, era: str
) -> None:
    """It grows with each sign of life, and comes in short intervals while the answer is awaited."""
    from langchain_qwen_image.mcp import progress

    monkeypatch.setattr(progress, "_TICK_SECONDS", 0.01)
    told: list[tuple[float, str]] = []
    saved = asyncio.Event()

    async def tell(number: float, total: float | None, message: str | None) -> None:
        told.append((number, str(message)))
        if message == "saved":
            saved.set()

    async with connected(era) as client:
        await client.call_tool("generate_image", FOX, progress_callback=tell)
        await asyncio.wait_for(saved.wait(), 60)
    numbers = [number for number, _ in told]
    stages = [message.partition(",")[0] for _, message in told]
    assert numbers == sorted(set(numbers))
    assert stages[0] == "waiting"
    assert list(dict.fromkeys(stages)) == ["waiting", "sent", "received", "saved"]
    assert len(told) > 5


async def test_an_original_that_is_too_large_is_shown_smaller(
    connected: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy that hosts would not take is made smaller, and left out where that does not help."""
    monkeypatch.setattr(contents, "_SIDES", (512, 64))
    async with connected(ERAS[1]) as client:
        first = await client.call_tool("generate_image", FOX)
        whole = len(b64decode(first.content[1].data))
        for most, sizes in ((whole - 1, [(64, 64)]), (10, [])):
            monkeypatch.setattr(contents, "_MOST_BYTES", most)
            result = await client.call_tool("generate_image", FOX)
            copies = [b64decode(block.data) for block in result.content[1:]]
            assert [Image.open(BytesIO(copy)).size for copy in copies] == sizes
