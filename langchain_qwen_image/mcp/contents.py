"""Results as the protocol carries them: sentence, small image, artifact; errors as sentences."""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from mcp.types import CallToolResult, ImageContent, TextContent
from pydantic import TypeAdapter

from langchain_qwen_image.artifact import ResultArtifact
from langchain_qwen_image.concurrency.threads import in_thread
from langchain_qwen_image.errors import (
    BudgetExceededError,
    CallInProgressError,
    DownloadError,
    QwenImageError,
    ResultUnknownError,
)
from langchain_qwen_image.rendering.thumbnail import thumbnail
from langchain_qwen_image.result import ImageGenerationResult

__all__ = ["ARTIFACT_SCHEMA", "SCHEME", "error_result", "image_result", "resource_uri", "text"]

SCHEME = "qwen-image"
_SIDES = (1024, 768, 512, 256)
_MOST_BYTES = 600_000  # hosts take results of 1 MB; in base64 these are 800,000

_UNDER_WAY = (
    "This image is still being generated, for an equal call that was made earlier. This call sent "
    "nothing and paid nothing. Call again later with the same arguments to get it."
)
_LOST = (
    "An equal call was made before, and its answer was lost. The image may have been billed. This "
    "call sent nothing. Do not call again unless the user agrees: that would pay for a new image."
)
_GONE = (
    "An equal call made and paid for this image before, and it cannot be downloaded any more. This "
    "call sent nothing. Do not call again unless the user agrees: that would pay for a new image."
)
_LIMIT = " The limit is that of this server (--max-usd); only the user can raise it."


def resource_uri(image_id: str) -> str:
    """Return the address of an original, as a resource of this server."""
    return f"{SCHEME}://images/{image_id}"


def text(said: str) -> TextContent:
    """Return a sentence as content."""
    return TextContent(text=said)


async def image_result(result: ImageGenerationResult, addition: str = "") -> CallToolResult:
    """Return a result: a sentence and a small copy for the model, the artifact for programs.

    No link to the original is in the content: adapters make an image address of it for the model,
    and no model's service can open that. The artifact has it as `resource`.
    """
    content: list[Any] = [text(" ".join(filter(None, (result.summary(), addition))))]
    small = await in_thread(_small_copy, result)
    if small is not None:
        data, mime_type = small
        content.append(ImageContent(data=b64encode(data).decode("ascii"), mime_type=mime_type))
    artifact: dict[str, Any] = {**result.to_artifact()}
    artifact["images"] = [
        {**image, "resource": resource_uri(image["id"]) if image["path"] else None}
        for image in artifact["images"]
    ]
    return CallToolResult(content=content, structured_content=artifact)


def error_result(error: QwenImageError) -> CallToolResult:
    """Return an error as the model reads it: what happened, and whether to try again."""
    match error:
        case CallInProgressError():
            said = _UNDER_WAY
        case ResultUnknownError():
            said = _LOST
        case DownloadError(is_lost=True):
            said = _GONE
        case BudgetExceededError():
            said = f"{error}{_LIMIT}"
        case _:
            said = str(error)
    return CallToolResult(content=[text(said)], is_error=True)


def _small_copy(result: ImageGenerationResult) -> tuple[bytes, str] | None:
    """Return a copy of the first image that hosts take; None if it cannot be had or made."""
    original = result.image.cached_bytes()
    if original is None:
        return None
    try:
        copies = (thumbnail(original, max_side=side) for side in _SIDES)
        return next((copy for copy in copies if len(copy[0]) <= _MOST_BYTES), None)
    except (ImportError, ValueError):
        return None


def _artifact_schema() -> Mapping[str, Any]:
    schema = TypeAdapter(ResultArtifact).json_schema()
    image = schema["$defs"]["ImageArtifact"]["properties"]
    image["resource"] = {
        "anyOf": [{"type": "string"}, {"type": "null"}],
        "description": "Address of the original, to be read as a resource of this server.",
    }
    return schema


ARTIFACT_SCHEMA = _artifact_schema()
"""What the structured content of `generate_image` looks like."""
