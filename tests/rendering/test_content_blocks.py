"""Results as standard content blocks and messages, for a model that sees."""

import asyncio
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import Call
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, HumanMessage

from langchain_qwen_image import GeneratedImage, ImageGenerationResult, QwenImageGenerator
from langchain_qwen_image.errors import DownloadError, InvalidRequestError
from langchain_qwen_image.sandbox import SandboxServer


@pytest.fixture
def result(server: SandboxServer) -> ImageGenerationResult:
    """Return a result that is not saved."""
    generator = QwenImageGenerator(base_url=server.base_url, api_key="k", size="512*512")
    return generator.invoke("a fox")


@pytest.fixture
def saved(server: SandboxServer, tmp_path: Path) -> ImageGenerationResult:
    """Return a result that is saved in a folder."""
    generator = QwenImageGenerator(base_url=server.base_url, api_key="k", save_to=tmp_path)
    return generator.invoke("a fox")


def _restored(result: ImageGenerationResult) -> ImageGenerationResult:
    return ImageGenerationResult.model_validate_json(result.model_dump_json())


def test_base64_of_a_saved_image_is_its_file(
    saved: ImageGenerationResult, server: SandboxServer, call: Call
) -> None:
    """The default block holds the saved file, byte for byte, and fetches nothing."""
    before = len(server.requests)
    block = call(saved, "to_content_block")
    assert set(block) == {"type", "id", "base64", "mime_type"}
    assert (block["type"], block["id"], block["mime_type"]) == (
        "image",
        saved.image.id,
        "image/png",
    )
    assert b64decode(block["base64"]) == Path(str(saved.image.path)).read_bytes()
    assert len(server.requests) == before


def test_base64_of_another_image_is_fetched(
    result: ImageGenerationResult, server: SandboxServer, call: Call
) -> None:
    """An image that is not saved is fetched by its link, once a block, and never paid again."""
    block = call(result, "to_content_block", "base64")
    assert b64decode(block["base64"]).startswith(b"\x89PNG")
    assert block["mime_type"] == "image/png"
    assert [request.method for request in server.requests] == ["POST", "GET"]


def test_url_is_the_link_and_fetches_nothing(
    result: ImageGenerationResult, server: SandboxServer, call: Call
) -> None:
    """A block of kind `url` holds the signed link, and needs no GET."""
    block = call(result, "to_content_block", "url")
    assert block == {"type": "image", "id": result.image.id, "url": result.image.url}
    assert [request.method for request in server.requests] == ["POST"]


def test_media_type_comes_from_the_bytes(saved: ImageGenerationResult, call: Call) -> None:
    """An image whose type nobody noted says it by its own bytes."""
    image = GeneratedImage(path=saved.image.path)
    assert call(image, "to_content_block")["mime_type"] == "image/png"


def test_what_is_no_image_makes_no_block(tmp_path: Path, call: Call) -> None:
    """A saved file that is not a whole image is refused, not sent to a model."""
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nand so on")
    with pytest.raises(DownloadError, match="is incomplete"):
        call(GeneratedImage(path=str(tmp_path / "a.png")), "to_content_block")


_SIGNED = "https://oss.example/a.png?Expires=1&Signature=s"


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        pytest.param(GeneratedImage(), "has no link", id="none"),
        pytest.param(GeneratedImage(url="data:image/png;base64,AAAA"), "has no link", id="inline"),
        pytest.param(
            GeneratedImage(url=_SIGNED, expires_at=datetime(2020, 1, 2, 3, 4, tzinfo=UTC)),
            "expired at 2020-01-02 03:04 UTC",
            id="expired",
        ),
        pytest.param(
            GeneratedImage(
                url="https://oss.example/a.png", expires_at=datetime.now(UTC) + timedelta(hours=9)
            ),
            "a link without its signature",
            id="signature left out",
        ),
    ],
)
def test_url_that_nobody_could_fetch_is_refused(
    image: GeneratedImage, problem: str, call: Call
) -> None:
    """An expired link does not get into a history, where it would spoil every later turn."""
    with pytest.raises(DownloadError, match=problem) as caught:
        call(image, "to_content_block", "url")
    assert 'use kind="base64"' in str(caught.value)


def test_link_without_an_end_is_taken(call: Call) -> None:
    """A link that does not say when it expires is given as it is."""
    image = GeneratedImage(url="https://images.example/a.png")
    assert call(image, "to_content_block", "url")["url"] == image.url


def test_saved_result_from_json_gives_bytes_and_no_link(
    saved: ImageGenerationResult, call: Call
) -> None:
    """After a round trip through JSON the block is read from the file, and the link is refused."""
    restored = _restored(saved)
    data = call(restored, "to_content_block")["base64"]
    assert b64decode(data) == Path(str(saved.image.path)).read_bytes()
    with pytest.raises(DownloadError, match="signature"):
        call(restored, "to_content_block", "url")


@pytest.mark.parametrize("method", ["to_content_block", "to_message"])
def test_another_kind_is_refused(result: ImageGenerationResult, method: str, call: Call) -> None:
    """A kind that does not exist is an error that lists those that do."""
    with pytest.raises(InvalidRequestError, match='kind="base64" or kind="url", got \'bytes\''):
        call(result, method, "bytes")


def test_message_is_the_models_own_by_default(result: ImageGenerationResult, call: Call) -> None:
    """`to_message` gives an AIMessage of the prompt and the image, in standard blocks."""
    message = call(result, "to_message")
    assert type(message) is AIMessage
    assert message.text == "a fox"
    text, image = message.content_blocks
    assert text == {"type": "text", "text": "a fox"}
    assert image == result.to_content_block()


def test_message_of_a_human_can_be_shown_to_a_model(
    result: ImageGenerationResult, call: Call
) -> None:
    """With `role="human"` the same blocks come as a HumanMessage."""
    message = call(result, "to_message", "url", role="human")
    assert type(message) is HumanMessage
    assert [block["type"] for block in message.content_blocks] == ["text", "image"]


def test_another_role_is_refused(result: ImageGenerationResult, call: Call) -> None:
    """A role that does not exist is an error that lists those that do."""
    with pytest.raises(InvalidRequestError, match='role="ai" or role="human"'):
        call(result, "to_message", role="system")


def test_message_holds_every_image(server: SandboxServer, call: Call) -> None:
    """A result of two images is a message of two images, each with its own id."""
    result = QwenImageGenerator(base_url=server.base_url, api_key="k").invoke("sandbox:two-images")
    _, *images = call(result, "to_message").content_blocks
    assert [image["id"] for image in images] == [image.id for image in result.images]
    assert len({image["id"] for image in images}) == 2


def test_text_block_has_no_id(result: ImageGenerationResult) -> None:
    """OpenAI's Responses API would take it for the id of a message that it does not know."""
    assert "id" not in result.to_message().content[0]


def test_message_of_bytes_holds_no_link(saved: ImageGenerationResult) -> None:
    """By default nothing that expires, and no signature, gets into a conversation."""
    said = dumps(saved.to_message())
    assert "http" not in said
    assert "Signature" not in said


async def test_twins_do_not_hold_the_loop_up(saved: ImageGenerationResult) -> None:
    """The async twins can run side by side in one loop."""
    one, two = await asyncio.gather(saved.ato_message(), saved.ato_message())
    assert one.content == two.content
