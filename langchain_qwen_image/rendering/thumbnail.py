"""Images made smaller, for the people and the models that look at them."""

import os
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from langchain_qwen_image.download.image_format import (
    DamagedImageError,
    NotAnImageError,
    read_format,
)

if TYPE_CHECKING:
    from PIL import Image

MAX_BYTES = 64 * 2**20
"""Of a file that is opened here; `max_image_bytes` is 32 MiB by default."""
MAX_PIXELS = 4096 * 4096
"""Of an image that is opened here; Qwen-Image generates 1.8 million.

Scaling as many took 20 (palette) to 290 MiB (WebP), and 64 million took 1 GiB.
"""

_FORMATS = ("PNG", "JPEG", "WEBP")

Format = Literal["for models", "WEBP"]
"""`for models` is what every vision model reads: a JPEG, or a PNG where something is transparent,
which is some ten times larger."""


def thumbnail(
    image: bytes | os.PathLike[str],
    *,
    max_side: int,
    format: Format = "for models",
) -> tuple[bytes, str]:
    """Return a copy whose longest side is at most `max_side` pixels, and its media type.

    The copy has no metadata and is turned as the metadata say. An image that is small already is
    only written anew.

    Raises:
        ImportError: Pillow is not installed.
        ValueError: It is no PNG, JPEG or WebP, is damaged, or is larger than `MAX_BYTES` or
            `MAX_PIXELS`, which are looked up before Pillow opens it.
    """
    from PIL import Image

    try:
        with BytesIO(image) if isinstance(image, bytes) else Path(image).open("rb") as file:
            _check_size(file)
            with Image.open(file, formats=_FORMATS) as opened:
                _check_pixels(*opened.size)  # a second header may say something else
                return _written(_scaled(opened, max_side), format)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        problem = f"too large to be shown: {error}"
    except (NotAnImageError, DamagedImageError, OSError, SyntaxError) as error:
        problem = f"not an image that can be read: {error}"
    raise ValueError(problem)


def _check_size(file: BinaryIO) -> None:
    if file.seek(0, os.SEEK_END) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES // 2**20} MiB, too many to be shown")
    facts = read_format(file)
    _check_pixels(facts.width, facts.height)
    file.seek(0)


def _check_pixels(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        at_most = f"at most {MAX_PIXELS:,} pixels are shown"
        raise ValueError(f"{width}×{height} is too large to be shown; {at_most}")


def _scaled(opened: "Image.Image", max_side: int) -> "Image.Image":
    from PIL import ImageOps

    opened.thumbnail((max_side, max_side))
    ImageOps.exif_transpose(opened, in_place=True)
    return opened


def _written(scaled: "Image.Image", format: Format) -> tuple[bytes, str]:
    into, is_opaque = BytesIO(), not scaled.has_transparency_data
    if format == "WEBP":
        scaled.convert("RGB" if is_opaque else "RGBA").save(into, "WEBP", quality=70)
        return into.getvalue(), "image/webp"
    if is_opaque:
        scaled.convert("RGB").save(into, "JPEG", quality=85, optimize=True)
        return into.getvalue(), "image/jpeg"
    scaled.save(into, "PNG", optimize=True)
    return into.getvalue(), "image/png"
