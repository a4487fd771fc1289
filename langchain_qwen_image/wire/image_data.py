"""Images that an answer holds itself: told by their first bytes, raw or as base64."""

import re
from base64 import b64encode
from binascii import a2b_base64

_AROUND = " \t\r\n\0\"'`\ufeff\u200b"
_BASE64 = re.compile(r"[A-Za-z0-9+/]+")
_HEAD = 24
"""Characters of base64 that hold the first bytes of any of the three formats."""
_SHORTEST = 64
"""Characters; no image is shorter, and a path such as `/9j/a.png` is no image."""


def image_type(head: bytes) -> str | None:
    """Return the media type that first bytes say, of the formats that a client can check."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return None


def data_uri(media_type: str, image: bytes) -> str:
    """Return an image as a `data:` URI."""
    return f"data:{media_type};base64,{b64encode(image).decode('ascii')}"


def inline_image(text: str) -> str | None:
    """Return base64 of an image, bare or in a `data:` URI, as a `data:` URI; None if it is none.

    The first bytes decide, whatever the URI calls itself.
    """
    start = len(text) - len(text.lstrip(_AROUND))
    if text[start : start + 5].lower() == "data:":
        comma = text.find(",", start, start + 200)
        if comma < 0 or not text[start:comma].rstrip().lower().endswith(";base64"):
            return None
        start = comma + 1
    elif len(text) - start < _SHORTEST:
        return None
    media_type = image_type(_first_bytes(text[start : start + 2 * _HEAD]))
    if media_type is None:
        return None
    return f"data:{media_type};base64,{_clean(text[start:])}"


def _first_bytes(text: str) -> bytes:
    head = _clean(text)[:_HEAD]
    is_whole = len(head) == _HEAD and _BASE64.fullmatch(head)
    return a2b_base64(head) if is_whole else b""


def _clean(text: str) -> str:
    """Return base64 in one line and in the standard alphabet."""
    return "".join(text.split()).strip(_AROUND).replace("-", "+").replace("_", "/")
