"""Results as LangChain's standard messages and content blocks, for a model that sees."""

from base64 import b64encode
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.messages.content import ContentBlock, ImageContentBlock, create_image_block

from langchain_qwen_image._links import is_inline
from langchain_qwen_image._picture import DamagedPictureError, Inspector, NotAPictureError
from langchain_qwen_image.errors import DownloadError, InvalidRequestError

if TYPE_CHECKING:
    from langchain_qwen_image.result import GeneratedImage

BlockKind = Literal["base64", "url"]
Role = Literal["ai", "human"]


def bytes_block(image: "GeneratedImage", picture: bytes) -> ImageContentBlock:
    """Return a block that holds the picture itself.

    Raises:
        DownloadError: The bytes are not a picture.
    """
    return create_image_block(
        base64=b64encode(picture).decode("ascii"),
        mime_type=image.mime_type or _mime_type(picture),
        id=image.id,
    )


def link_block(image: "GeneratedImage") -> ImageContentBlock:
    """Return a block that holds the link, which dies within a day.

    Raises:
        DownloadError: There is no link, or it is dead.
    """
    if not image.url or is_inline(image.url):
        raise DownloadError(f'Picture {image.id} has no link: use kind="base64".')
    if image.expires_at is not None and image.expires_at <= datetime.now(UTC):
        raise DownloadError(
            f"The link of picture {image.id} died at {image.expires_at:%Y-%m-%d %H:%M} UTC: "
            'use kind="base64", which reads the kept file.'
        )
    return create_image_block(url=image.url, mime_type=image.mime_type, id=image.id)


def wants_bytes(kind: str) -> bool:
    """Say whether a block of this kind holds the picture itself.

    Raises:
        InvalidRequestError: There is no such kind.
    """
    if kind not in ("base64", "url"):
        raise InvalidRequestError(f'Expected kind="base64" or kind="url", got {kind!r:.40}.')
    return kind == "base64"


def message_of(text: str, images: list[ImageContentBlock], role: Role) -> AIMessage | HumanMessage:
    """Return a message of a text and pictures.

    The text has no id: OpenAI's Responses API would take it for the id of a message of its own.

    Raises:
        InvalidRequestError: There is no such role.
    """
    blocks: list[ContentBlock] = [{"type": "text", "text": text}, *images]
    if role == "ai":
        return AIMessage(content_blocks=blocks)
    if role == "human":
        return HumanMessage(content_blocks=blocks)
    raise InvalidRequestError(f'Expected role="ai" or role="human", got {role!r:.40}.')


def _mime_type(picture: bytes) -> str:
    inspector = Inspector()
    try:
        inspector.feed(picture)
        return inspector.finish().mime_type
    except (NotAPictureError, DamagedPictureError) as error:
        problem = str(error)
    raise DownloadError(f"What is kept is not a whole picture: {problem}")
