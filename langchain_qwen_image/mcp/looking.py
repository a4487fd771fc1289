"""`view_image`, `recent_images` and the originals as resources: nothing here costs anything."""

import heapq
from base64 import b64encode
from typing import Any

from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    BlobResourceContents,
    CallToolResult,
    ImageContent,
    ReadResourceResult,
    Resource,
)

from langchain_qwen_image.concurrency.threads import in_thread
from langchain_qwen_image.errors import InvalidRequestError, QwenImageError
from langchain_qwen_image.mcp.contents import SCHEME, error_result, resource_uri, text
from langchain_qwen_image.storage.image_store import ImageStore
from langchain_qwen_image.storage.paths import file_name
from langchain_qwen_image.storage.public_url import Addresses, PublicUrl
from langchain_qwen_image.storage.sidecar import Sidecar
from langchain_qwen_image.view import ViewImageTool

__all__ = ["RECENT_SCHEMA", "Looking"]

_MOST = 100
_USUAL = 10
_PROMPT_SHOWN = 100
_NULLABLE_TEXT = {"type": ["string", "null"]}
_NULLABLE_NUMBER = {"type": ["integer", "null"]}
RECENT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "images": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "id": {"type": "string"},
                    "path": {"type": "string"},
                    "public_url": _NULLABLE_TEXT,
                    "resource": {"type": "string"},
                    "prompt": _NULLABLE_TEXT,
                    "created_at": _NULLABLE_TEXT,
                    "width": _NULLABLE_NUMBER,
                    "height": _NULLABLE_NUMBER,
                    "mime_type": _NULLABLE_TEXT,
                    "size_bytes": _NULLABLE_NUMBER,
                    "sandbox": {"type": "boolean"},
                },
                "required": ["id", "path", "resource"],
            },
        }
    },
    "required": ["images"],
}
"""What the structured content of `recent_images` looks like."""


class Looking:
    """Shows saved images."""

    def __init__(self, store: ImageStore, public_url: PublicUrl | None) -> None:
        """Take the store where they are, and where a browser sees them."""
        self._store = store
        self._view = ViewImageTool(save_to=store, public_url=public_url)
        self._addresses = None if public_url is None else Addresses(store, public_url)

    async def view(self, arguments: dict[str, Any]) -> CallToolResult:
        """Return an image, scaled down."""
        try:
            blocks: Any = await self._view.ainvoke({"image": arguments.get("image")})
        except QwenImageError as error:
            return error_result(error)
        return CallToolResult(content=[_content(block) for block in blocks])

    async def recent(self, arguments: dict[str, Any]) -> CallToolResult:
        """Return what was saved last, newest first."""
        limit = arguments.get("limit")
        limit = _USUAL if limit in (None, "") else limit
        if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= _MOST:
            return error_result(
                InvalidRequestError(f"limit must be a whole number from 1 to {_MOST}.")
            )
        found = await in_thread(lambda: [self._facts(*one) for one in self._newest(limit)])
        lines = [
            f"{image['id']}: {_short(image['prompt'])} ({image['width']}×{image['height']}, "
            f"{image['created_at']}) {image['public_url'] or image['path']}"
            for image in found
        ]
        said = "\n".join(lines) or "No images were saved yet."
        return CallToolResult(content=[text(said)], structured_content={"images": found})

    async def resources(self) -> list[Resource]:
        """Return the newest originals as resources."""
        return [
            Resource(
                uri=resource_uri(str(sidecar.image_id)),
                name=sidecar.file or path,
                description=_short(sidecar.prompt),
                mime_type=sidecar.mime_type,
                size=sidecar.size_bytes,
            )
            for path, sidecar in await in_thread(self._newest, _MOST)
        ]

    async def read(self, uri: str) -> ReadResourceResult:
        """Return an original's bytes.

        Raises:
            MCPError: There is none at the address.
        """
        name = uri.removeprefix(f"{SCHEME}://images/")
        found = await in_thread(self._original, name) if name != uri else None
        if found is None:
            raise MCPError(INVALID_PARAMS, f"There is no image at {uri[:_PROMPT_SHOWN]!r}.")
        content, mime_type = found
        blob = b64encode(content).decode("ascii")
        return ReadResourceResult(
            contents=[BlobResourceContents(uri=uri, mime_type=mime_type, blob=blob)]
        )

    def _newest(self, limit: int) -> list[tuple[str, Sidecar]]:
        there = (
            (path, sidecar)
            for path, sidecar in self._store.sidecars()
            if path is not None and sidecar.image_id and sidecar.created_at
        )
        return heapq.nlargest(limit, there, key=lambda one: (one[1].created_at, one[0]))

    def _facts(self, path: str, sidecar: Sidecar) -> dict[str, Any]:
        addresses = self._addresses
        return {
            "id": sidecar.image_id,
            # As everywhere, an address takes the place of the path.
            "path": path if addresses is None else self._store.key_of(path) or file_name(path),
            "public_url": None if addresses is None else addresses.of_path(path),
            "resource": resource_uri(str(sidecar.image_id)),
            "prompt": sidecar.prompt,
            "created_at": sidecar.created_at.isoformat() if sidecar.created_at else None,
            "width": sidecar.width,
            "height": sidecar.height,
            "mime_type": sidecar.mime_type,
            "size_bytes": sidecar.size_bytes,
            "sandbox": sidecar.sandbox,
        }

    def _original(self, image_id: str) -> tuple[bytes, str | None] | None:
        if not image_id.isalnum():
            return None
        for path in self._store.find(image_id):
            try:
                sidecar, content = self._store.read_whole(path)
            except (OSError, ValueError):  # not ours, or not those bytes any more
                continue
            if sidecar.image_id == image_id:
                return content, sidecar.mime_type
        return None


def _content(block: dict[str, Any]) -> Any:
    if block["type"] == "image":
        return ImageContent(data=block["base64"], mime_type=block["mime_type"])
    return text(block["text"])


def _short(prompt: str | None) -> str:
    words = " ".join((prompt or "").split())
    return words if len(words) <= _PROMPT_SHOWN else f"{words[:_PROMPT_SHOWN]}…"
