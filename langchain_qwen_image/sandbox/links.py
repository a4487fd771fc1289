"""Write and read the signed links of images.

A link carries all that its image needs. The form is that of the upstream's object storage (OSS):
public, signed in its query string, valid for 24 hours.
"""

import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from langchain_qwen_image.sandbox.answer import Answer, storage_error
from langchain_qwen_image.sandbox.link_failures import LINK_FAILURES
from langchain_qwen_image.sandbox.request_check import SIZES
from langchain_qwen_image.sandbox.signed import pack, read_signed, unpack, write_signed

ImageFormat = Literal["PNG", "JPEG", "WEBP"]
LIFETIME_SECONDS = 24 * 3600
LONGEST_PROMPT = 300
"""So many characters of a prompt stand in a link; the rest is cut."""
_EXTENSIONS: dict[ImageFormat, str] = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}
_SEED = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """Say which image a link serves."""

    prompt: str
    width: int
    height: int
    watermark: bool
    seed: str
    image_format: ImageFormat = "PNG"
    failure: str | None = None
    """What goes wrong with its GET (see `link_failures.py`)."""

    @property
    def mime_type(self) -> str:
        """Return the media type of the image."""
        return f"image/{self.image_format.lower()}"


def write_link(image: ImageInfo, *, now: float, lifetime_seconds: float = LIFETIME_SECONDS) -> str:
    """Return the path and the signed query string of an image's link; `now` is Unix seconds."""
    day = datetime.fromtimestamp(now, UTC).strftime("%Y%m%d")
    path = f"/images/{day}/{image.seed}.{_EXTENSIONS[image.image_format]}"
    fields = {
        "Expires": str(int(now + lifetime_seconds)),
        "OSSAccessKeyId": "sandbox",
        "Image": pack(asdict(image)),
    }
    return write_signed(path, fields)


def read_link(target: str, *, now: float) -> ImageInfo | Answer:
    """Return the image that a link names, or the storage's refusal."""
    fields = read_signed(target)
    if fields is None:
        return storage_error(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided.",
        )
    expires = fields.get("Expires", "")
    image = read_image(unpack(fields.get("Image", "")))
    # A day of 20 digits is no time that a sandbox wrote.
    if image is None or not re.fullmatch(r"[0-9]{1,12}", expires):
        return storage_error(400, "InvalidArgument", "No sandbox gives out such a link.")
    if int(expires) < now:
        return storage_error(403, "AccessDenied", "Request has expired.")
    return image


def read_image(content: dict[str, Any] | None) -> ImageInfo | None:
    """Return the image that this describes, or None: no sandbox can have given it out.

    Anybody can sign a link, and an image of 12,000 pixels each way takes gigabytes to draw.
    """
    try:
        image = ImageInfo(**(content or {}))
    except TypeError:
        return None
    return image if _is_possible(image) else None


def _is_possible(image: ImageInfo) -> bool:
    return (
        isinstance(image.prompt, str)
        and len(image.prompt) <= LONGEST_PROMPT + 1
        and type(image.width) is type(image.height) is int
        and f"{image.width}*{image.height}" in SIZES
        and isinstance(image.watermark, bool)
        and isinstance(image.seed, str)
        and _SEED.fullmatch(image.seed) is not None
        and isinstance(image.image_format, str)
        and image.image_format in _EXTENSIONS
        and (image.failure is None or image.failure in sorted(LINK_FAILURES))
    )
