"""What the command line says of one image."""

from pathlib import Path
from typing import TYPE_CHECKING

from langchain_qwen_image.cli.terminal import shown

if TYPE_CHECKING:
    from langchain_qwen_image.image import GeneratedImage

_FORMATS = {"image/png": {".png"}, "image/jpeg": {".jpg", ".jpeg"}, "image/webp": {".webp"}}


def description(image: "GeneratedImage") -> str:
    """Return the path and what the image is; the link where it could not be saved."""
    if image.path is None:
        return image.url or ""
    kind = (image.mime_type or "").removeprefix("image/").upper()
    megabytes = (image.size_bytes or 0) / 1_000_000
    return f"{shown(image.path)}\n{image.width}×{image.height} {kind}, {megabytes:.2g} MB"


def reason_of(image: "GeneratedImage") -> str:
    """Return why an image could not be saved, in a sentence."""
    reason = image.download_error or "it was not saved"
    return reason if "paid for" in reason else f"The image is paid for, but not saved: {reason}."


def suffix_warning(image: "GeneratedImage") -> str | None:
    """Return a sentence where a file's extension says another format than its bytes."""
    if image.path is None or image.mime_type is None:
        return None
    path = Path(image.path)
    if not path.suffix or path.suffix.lower() in _FORMATS[image.mime_type]:
        return None
    kind = image.mime_type.removeprefix("image/").upper()
    return f"{path.name} contains a {kind} despite its extension."
