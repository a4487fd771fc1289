"""What arrived: the format, the size and the wholeness of an image, told from its bytes.

No image library touches the bytes, and they are never altered; the first of them decide the format,
whatever a header says. Sources: the PNG specification, ITU T.81 (JPEG), RFC 9649 (WebP).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from io import SEEK_CUR, SEEK_END, BytesIO
from struct import Struct
from typing import BinaryIO
from zlib import crc32

MAX_SIDE = 16_384
"""Pixels; an image that claims more is not one of ours (upstream generates at most 1664)."""
HEAD_BYTES = 12
"""As many first bytes tell the format."""

_CHUNK = Struct(">I4s")
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_SIZE_MARKERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_BARE_MARKERS = {0x01, *range(0xD0, 0xD8)}
_END_OF_IMAGE = b"\xff\xd9"
_PIECE = 1 << 18


class NotAnImageError(Exception):
    """The bytes are not those of a PNG, JPEG or WebP image."""


class DamagedImageError(Exception):
    """The bytes are an image's, but some are missing or altered."""


@dataclass(frozen=True, slots=True)
class ImageFormat:
    """What an image's own bytes say of it; width and height in pixels."""

    mime_type: str
    suffix: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """An image that arrived whole: what its bytes say of it; width and height in pixels."""

    mime_type: str
    suffix: str
    width: int
    height: int
    size_bytes: int
    sha256: str


def media_type_of(head: bytes) -> str | None:
    """Return the media type that the first `HEAD_BYTES` bytes tell; None if they are no image's.

    Raises:
        DamagedImageError: there are too few bytes to tell.
    """
    if head.startswith(_PNG):
        return "image/png"
    if head.startswith(_JPEG):
        return "image/jpeg"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    starts = (_PNG, _JPEG, b"RIFF" + head[4:8] + b"WEBP")
    if len(head) < HEAD_BYTES and any(start.startswith(head) for start in starts):
        raise DamagedImageError("its end is missing")
    return None


def describe(head: bytes) -> str:
    """Say what first bytes that are no image's are."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"<"):
        return "a page of XML or HTML"
    if text.startswith((b"{", b"[")):
        return "JSON"
    return "not a PNG, JPEG or WebP image"


def write_image(pieces: Iterable[bytes], into: BinaryIO) -> ImageInfo:
    """Write an image over what is in a file, and check it.

    The first piece must have `HEAD_BYTES` bytes, if there are as many in all.

    Raises:
        NotAnImageError: the first bytes are not an image's; nothing of them is written.
        DamagedImageError: bytes are missing, or contradict themselves.
        OSError: the file could not be written.
    """
    into.seek(0)
    into.truncate()
    size, digest = 0, sha256()
    for piece in pieces:
        if not size and media_type_of(piece) is None:
            raise NotAnImageError(describe(piece))
        size += len(piece)
        into.write(piece)
        digest.update(piece)
    found = read_format(into)
    return ImageInfo(
        found.mime_type, found.suffix, found.width, found.height, size, digest.hexdigest()
    )


def read_format(file: BinaryIO) -> ImageFormat:
    """Read a whole image from its beginning; what follows its end is left alone.

    Raises:
        NotAnImageError: the first bytes are not an image's.
        DamagedImageError: bytes are missing, or contradict themselves.
    """
    size = file.seek(0, SEEK_END)
    file.seek(0)
    head = file.read(HEAD_BYTES)
    mime_type = media_type_of(head)
    if mime_type == "image/png":
        file.seek(len(_PNG))
        return _read_png(file)
    if mime_type == "image/jpeg":
        file.seek(len(_JPEG))
        return _read_jpeg(file)
    if mime_type == "image/webp":
        return _read_webp(file, int.from_bytes(head[4:8], "little") + 8, size)
    raise NotAnImageError(describe(head))


def mime_type_of(data: bytes) -> str | None:
    """Return the media type that a whole image's own bytes say; None if it is not one."""
    try:
        return read_format(BytesIO(data)).mime_type
    except (NotAnImageError, DamagedImageError):
        return None


def _read_png(file: BinaryIO) -> ImageFormat:
    """Check every chunk's sum up to the last; all of them guard the pixels."""
    length, kind = _CHUNK.unpack(_exactly(file, 8))
    if (length, kind) != (13, b"IHDR"):
        raise DamagedImageError("it does not begin with its header")
    header = _exactly(file, 13)
    _compare(crc32(header, crc32(kind)), _exactly(file, 4))
    has_pixels = False
    while kind != b"IEND":
        length, kind = _CHUNK.unpack(_exactly(file, 8))
        has_pixels |= kind == b"IDAT"
        checksum = crc32(kind)
        while length:
            piece = _exactly(file, min(length, _PIECE))
            checksum = crc32(piece, checksum)
            length -= len(piece)
        _compare(checksum, _exactly(file, 4))
    if not has_pixels:
        raise DamagedImageError("it has no pixels")
    return _checked("image/png", ".png", int.from_bytes(header[:4]), int.from_bytes(header[4:8]))


def _compare(checksum: int, stored: bytes) -> None:
    if checksum != int.from_bytes(stored):
        raise DamagedImageError("a checksum in it does not match")


def _read_jpeg(file: BinaryIO) -> ImageFormat:
    """Walk the segments up to the pixels, then look for the mark of the end.

    Within pixels a 0xFF is always followed by a zero, so the mark cannot occur there.
    """
    width = height = 0
    marker = _exactly(file, 1)[0]
    while True:
        length = 0 if marker in _BARE_MARKERS else int.from_bytes(_exactly(file, 2)) - 2
        if length < 0:
            raise DamagedImageError("a length in it is negative")
        if marker in _SIZE_MARKERS and length >= 5:
            frame = _exactly(file, 5)
            height, width = int.from_bytes(frame[1:3]), int.from_bytes(frame[3:5])
            length -= 5
        file.seek(length, SEEK_CUR)  # beyond the end there is nothing to read, which is noticed
        if marker == 0xDA:
            break
        marker = _next_marker(file)
    _find(file, _END_OF_IMAGE)
    return _checked("image/jpeg", ".jpg", width, height)


def _next_marker(file: BinaryIO) -> int:
    if _exactly(file, 1) != b"\xff":
        raise DamagedImageError("its segments do not follow each other")
    marker = 0xFF
    while marker == 0xFF:
        marker = _exactly(file, 1)[0]
    return marker


def _find(file: BinaryIO, mark: bytes) -> None:
    last = b""
    while mark not in last:
        piece = file.read(_PIECE)
        if not piece:
            raise DamagedImageError("its end is missing")
        last = last[-1:] + piece


def _read_webp(file: BinaryIO, length: int, size: int) -> ImageFormat:
    """Read the size from the first chunk; the outer length says where the end is."""
    if length < HEAD_BYTES + 18:
        raise DamagedImageError("it is too short")
    head = _exactly(file, 18)
    kind, body = head[:4], head[8:]
    if kind == b"VP8X":
        width = 1 + int.from_bytes(body[4:7], "little")
        height = 1 + int.from_bytes(body[7:10], "little")
    elif kind == b"VP8L" and body[0] == 0x2F:
        sides = int.from_bytes(body[1:5], "little")
        width, height = 1 + (sides & 0x3FFF), 1 + (sides >> 14 & 0x3FFF)
    elif kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        width = int.from_bytes(body[6:8], "little") & 0x3FFF
        height = int.from_bytes(body[8:10], "little") & 0x3FFF
    else:
        raise DamagedImageError("its header cannot be read")
    if size < length:
        raise DamagedImageError("its end is missing")
    return _checked("image/webp", ".webp", width, height)


def _exactly(file: BinaryIO, length: int) -> bytes:
    data = file.read(length)
    if len(data) < length:
        raise DamagedImageError("its end is missing")
    return data


def _checked(mime_type: str, suffix: str, width: int, height: int) -> ImageFormat:
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise DamagedImageError(f"it claims {width} × {height} pixels")
    return ImageFormat(mime_type, suffix, width, height)
