"""Results as LangChain's standard messages and content blocks, for a model that sees."""

from base64 import b64encode
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from langchain_qwen_image.download.image_format import mime_type_of
from langchain_qwen_image.errors import DownloadError, InvalidRequestError
from langchain_qwen_image.rendering.shapes import ShownImage
from langchain_qwen_image.wire.links import is_inline, without_query

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage, HumanMessage
    from langchain_core.messages.content import ContentBlock, ImageContentBlock

Kind = Literal["base64", "url"]
Role = Literal["ai", "human"]


def wants_bytes(kind: Kind) -> bool:
    """Say whether a block of this kind holds the image itself.

    Raises:
        InvalidRequestError: There is no such kind.
    """
    if kind not in {"base64", "url"}:
        raise InvalidRequestError(f'Expected kind="base64" or kind="url", got {kind!r:.40}.')
    return kind == "base64"


def bytes_block(image: ShownImage, content: bytes) -> "ImageContentBlock":
    """Return a block that holds the image itself.

    Raises:
        DownloadError: The bytes are not a whole image.
    """
    mime_type = image.mime_type or mime_type_of(content)
    if mime_type is None:
        raise DownloadError(f"The saved file of image {image.id} is incomplete.")
    data = b64encode(content).decode("ascii")
    return {"type": "image", "id": image.id, "base64": data, "mime_type": mime_type}


def link_block(image: ShownImage) -> "ImageContentBlock":
    """Return a block that holds the public address, else the link, which expires within a day.

    Raises:
        DownloadError: There is neither, or the link has expired.
    """
    if image.public_url:
        return {"type": "image", "id": image.id, "url": image.public_url}
    failure = _failure(image)
    if failure or not image.url:
        raise DownloadError(f'Image {image.id} {failure}: use kind="base64".')
    return {"type": "image", "id": image.id, "url": image.url}


def message_of(
    text: str, images: "list[ImageContentBlock]", role: Role
) -> "AIMessage | HumanMessage":
    """Return a message of a text and images.

    The text has no id: OpenAI's Responses API would take it for the id of a message of its own.

    Raises:
        InvalidRequestError: There is no such role.
    """
    from langchain_core.messages import AIMessage, HumanMessage

    blocks: list[ContentBlock] = [{"type": "text", "text": text}, *images]
    if role == "ai":
        return AIMessage(content_blocks=blocks)
    if role == "human":
        return HumanMessage(content_blocks=blocks)
    raise InvalidRequestError(f'Expected role="ai" or role="human", got {role!r:.40}.')


def _failure(image: ShownImage) -> str | None:
    """Say why the link cannot be given to anybody, if so."""
    if not image.url or is_inline(image.url):
        return "has no link"
    if image.expires_at is None:
        return None
    if image.expires_at <= datetime.now(UTC):
        return f"has a link that expired at {image.expires_at:%Y-%m-%d %H:%M} UTC"
    # An expiring link is signed in its query, which a saved image's JSON leaves out.
    return "has a link without its signature" if without_query(image.url) == image.url else None
