"""What the bytes of an answer are, whatever it says of them: coded or plain, whole or cut.

An answer is paid for, and its label may be wrong: gzip announced over plain JSON, gzip unannounced,
a `Content-Length` that is too large, a last chunk that never came. So the bytes decide.
"""

import codecs
import json
import re
import zlib
from dataclasses import dataclass, field

_GZIP = b"\x1f\x8b"
_TRAILER_BYTES = 8
_MOST_MEMBERS = 100
"""A gzip stream may have several members; some servers make one of each chunk."""
_PNG, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
_JPEG, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
_UTF16 = (b"\xff\xfe", b"\xfe\xff", b"{\0", b"\0{", b"[\0", b"\0[", b'"\0', b'\0"')
_KNOWN = {"gzip", "x-gzip", "deflate", "identity", ""}
_SAMPLE_BYTES = 4096
_CONTROL = re.compile(r"[\0-\x08\x0b\x0e-\x1f]")


@dataclass(frozen=True, slots=True)
class Content:
    """A body as far as it could be decoded, and why it could not."""

    body: bytes = field(repr=False)
    problem: str | None = None


def decoded(raw: bytes, label: str, limit: int) -> Content:
    """Undo one content coding at most, and never make more than `limit` bytes and one of it.

    Args:
        raw: The bytes as they came; they may be cut.
        label: Value of `Content-Encoding`; it helps only where the bytes do not say it.
        limit: Most bytes that are wanted; what is longer is returned one byte longer.

    Returns:
        The plain bytes; or the raw ones, with the reason why they are not plain.
    """
    codings = [coding.strip().lower() for coding in label.split(",")]
    if not raw.startswith(_GZIP):
        if _is_plain(raw):
            return Content(raw)
        if "deflate" not in codings and not _is_zlib(raw):
            foreign = sorted(set(codings) - _KNOWN)
            return Content(raw, f"it is encoded as {', '.join(foreign)}" if foreign else None)
    try:
        body = _inflated(raw, limit)
    except zlib.error as error:
        return Content(raw, f"it is not what its encoding says: {error}")
    if body.startswith(_GZIP) or (len(codings) > 1 and not _is_plain(body)):
        return Content(raw, "it is encoded more than once")
    return Content(body)


def looks_compressed(raw: bytes | bytearray) -> bool:
    """Say whether bytes begin as gzip or zlib data do."""
    return raw.startswith(_GZIP) or _is_zlib(raw)


def is_whole(body: bytes) -> bool:
    """Say whether a decoded body is complete by its content: an image, or JSON that closes.

    What follows the JSON does not count, nor does what SSE puts before it. A number or plain text
    may have been cut anywhere, and is never whole.
    """
    if body.startswith(_PNG):
        return _PNG_END in body
    if body.startswith(_JPEG):
        return body.rstrip(b"\0\r\n").endswith(_JPEG_END)
    if body[:4] == b"RIFF":
        return len(body) >= int.from_bytes(body[4:8], "little") + 8 > 8
    return _is_whole_json(body)


def _is_whole_json(body: bytes) -> bool:
    text = body.decode(_text_coding(body), "replace").lstrip("\ufeff\r\n\t ")
    text = text.removeprefix("data:").lstrip()
    if not text.startswith(("{", "[", '"')):
        return False
    try:
        json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return False
    return True


def _text_coding(body: bytes) -> str:
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if body.startswith(_UTF16):
        return "utf-16-be" if body.startswith(b"\0") else "utf-16-le"
    return "utf-8"


def _is_plain(raw: bytes) -> bool:
    """Say whether bytes are an image or text as they are, by their beginning."""
    if raw.startswith((_PNG, _JPEG, b"RIFF", *_UTF16)):
        return True
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(raw[:_SAMPLE_BYTES])
    except UnicodeDecodeError:
        return False
    return _CONTROL.search(text) is None


def _is_zlib(raw: bytes | bytearray) -> bool:
    return len(raw) > 1 and raw[0] & 0x0F == zlib.DEFLATED and (raw[0] << 8 | raw[1]) % 31 == 0


def _inflated(raw: bytes, limit: int) -> bytes:
    """Decompress once.

    Raises:
        zlib.error: It is not compressed in a way that we know, or damaged.
    """
    if not raw.startswith(_GZIP):
        window = zlib.MAX_WBITS if _is_zlib(raw) else -zlib.MAX_WBITS
        return zlib.decompressobj(window).decompress(raw, limit + 1)
    try:
        return _gunzipped(raw, limit)
    except zlib.error:  # a wrong checksum at the end; the content decides
        return _gunzipped(raw[:-_TRAILER_BYTES], limit)


def _gunzipped(raw: bytes, limit: int) -> bytes:
    body = b""
    for _ in range(_MOST_MEMBERS):
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        body += member.decompress(raw, limit + 1 - len(body))
        raw = member.unused_data
        if len(body) > limit or not raw.startswith(_GZIP):
            break
    return body
