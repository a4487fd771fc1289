"""Images made smaller, for the people and the models that look at them."""

from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

_FORMATS = ("PNG", "JPEG", "WEBP")
_MAX_PIXELS = 64_000_000  # Four bytes each while it is scaled; Qwen-Image draws 1.8 million.


def thumbnail(content: bytes, *, max_side: int) -> tuple[bytes, str]:
    """Return a copy whose longest side is at most `max_side` pixels, and its media type.

    An opaque image becomes a JPEG, which is some ten times smaller; another one a PNG. An image
    that is small already is only written anew.

    Raises:
        ImportError: Pillow is not installed.
        ValueError: It is no PNG, JPEG or WebP, is damaged, or has more than 64 million pixels.
    """
    from PIL import Image

    try:
        with Image.open(BytesIO(content), formats=_FORMATS) as opened:
            if opened.width * opened.height > _MAX_PIXELS:
                raise ValueError(f"{opened.width}×{opened.height} is too large to be scaled here")
            opened.thumbnail((max_side, max_side))
            return _written(opened)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"not an image that can be read: {error}") from None


def _written(picture: "Image.Image") -> tuple[bytes, str]:
    into = BytesIO()
    if picture.has_transparency_data:
        picture.save(into, "PNG", optimize=True)
        return into.getvalue(), "image/png"
    picture.convert("RGB").save(into, "JPEG", quality=85, optimize=True)
    return into.getvalue(), "image/jpeg"
