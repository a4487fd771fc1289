"""What arrived: the format, the size and the wholeness of an image, told from its bytes.

No image library touches the bytes. They are read once, as they come, and never altered; the first
of them decide the format, whatever a header says. Sources: the PNG specification, ITU T.81 (JPEG),
RFC 9649 (WebP).
"""

from collections.abc import Generator
from dataclasses import dataclass
from struct import Struct
from zlib import crc32

MAX_SIDE = 16_384
"""Pixels; an image that claims more is not one of ours (upstream draws at most 1664)."""

_CHUNK = Struct(">I4s")
_PNG = b"\x89PNG\r\n\x1a\n"
_SIZE_MARKERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_BARE_MARKERS = {0x01, *range(0xD0, 0xD8)}
_END_OF_IMAGE = b"\xff\xd9"
_PIECE = 1 << 20


class NotAnImageError(Exception):
    """The bytes are not those of a PNG, JPEG or WebP image."""


class DamagedPictureError(Exception):
    """The bytes are an image's, but some are missing or altered."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What an image's own bytes say of it; width and height in pixels."""

    mime_type: str
    suffix: str
    width: int
    height: int


_Reading = Generator[int, bytes | memoryview, Facts]
"""A reader of one format: it asks for exactly n bytes by n, for at most n bytes by -n."""


class Inspector:
    """Reads an image piece by piece, as it comes."""

    def __init__(self) -> None:
        """Begin with the first byte."""
        self._reading = _read_picture()
        self._wish = next(self._reading)
        self._buffer = bytearray()
        self._facts: Facts | None = None

    def feed(self, data: bytes) -> None:
        """Read the next bytes; what follows an image's end is left alone.

        Raises:
            NotAnImageError: the first bytes are not an image's.
            DamagedPictureError: the bytes contradict themselves.
        """
        view = memoryview(data)
        while view and self._facts is None:
            if self._wish < 0:
                piece, view = view[: -self._wish], view[-self._wish :]
                self._give(piece)
                continue
            missing = self._wish - len(self._buffer)
            self._buffer += view[:missing]
            view = view[missing:]
            if len(self._buffer) == self._wish:
                piece, self._buffer = memoryview(self._buffer), bytearray()
                self._give(piece)

    def finish(self) -> Facts:
        """Return what the bytes said.

        Raises:
            DamagedPictureError: the end is missing.
        """
        if self._facts is None:
            raise DamagedPictureError("its end is missing")
        return self._facts

    def _give(self, piece: bytes | memoryview) -> None:
        try:
            self._wish = self._reading.send(piece)
        except StopIteration as end:
            self._facts = end.value


def mime_type_of(picture: bytes) -> str | None:
    """Return the media type that a whole image's own bytes say; None if it is not one."""
    inspector = Inspector()
    try:
        inspector.feed(picture)
        return inspector.finish().mime_type
    except (NotAnImageError, DamagedPictureError):
        return None


def _read_picture() -> _Reading:
    head = bytes((yield 3))
    if head == _PNG[:3]:
        if (yield 5) == _PNG[3:]:
            return (yield from _read_png())
    elif head == b"\xff\xd8\xff":
        return (yield from _read_jpeg())
    elif head == b"RIF":
        size = bytes((yield 9))
        if size[:1] == b"F" and size[5:] == b"WEBP":
            return (yield from _read_webp(int.from_bytes(size[1:5], "little") - 4))
    raise NotAnImageError(_describe(head))


def _read_png() -> _Reading:
    """Check every chunk's sum up to the last; all of them guard the pixels."""
    length, kind = _CHUNK.unpack((yield 8))
    if (length, kind) != (13, b"IHDR"):
        raise DamagedPictureError("it does not begin with its header")
    header = bytes((yield 13))
    _compare(crc32(header, crc32(kind)), (yield 4))
    has_pixels = False
    while kind != b"IEND":
        length, kind = _CHUNK.unpack((yield 8))
        has_pixels |= kind == b"IDAT"
        checksum = crc32(kind)
        while length:
            piece = yield -min(length, _PIECE)
            checksum = crc32(piece, checksum)
            length -= len(piece)
        _compare(checksum, (yield 4))
    if not has_pixels:
        raise DamagedPictureError("it has no pixels")
    width, height = int.from_bytes(header[:4]), int.from_bytes(header[4:8])
    return _facts("image/png", ".png", width, height)


def _compare(checksum: int, stored: bytes | memoryview) -> None:
    if checksum != int.from_bytes(stored):
        raise DamagedPictureError("a checksum in it does not match")


def _read_jpeg() -> _Reading:
    """Walk the segments up to the pixels, then look for the mark of the end.

    Within pixels a 0xFF is always followed by a zero, so the mark cannot stand there.
    """
    width = height = 0
    marker = bytes((yield 1))[0]
    while True:
        length = 0 if marker in _BARE_MARKERS else int.from_bytes((yield 2)) - 2
        if marker in _SIZE_MARKERS and length >= 5:
            frame = bytes((yield 5))
            height, width = int.from_bytes(frame[1:3]), int.from_bytes(frame[3:5])
            length -= 5
        yield from _skip(length)
        if marker == 0xDA:
            break
        marker = yield from _next_marker()
    yield from _find(_END_OF_IMAGE)
    return _facts("image/jpeg", ".jpg", width, height)


def _next_marker() -> Generator[int, bytes | memoryview, int]:
    if (yield 1) != b"\xff":
        raise DamagedPictureError("its segments do not follow each other")
    marker = 0xFF
    while marker == 0xFF:
        marker = (yield 1)[0]
    return marker


def _find(mark: bytes) -> Generator[int, bytes | memoryview, None]:
    last = b""
    while mark not in last:
        last = last[-1:] + bytes((yield -_PIECE))


def _read_webp(length: int) -> _Reading:
    """Read the size from the first chunk; the outer length says where the end is."""
    if length < 18:
        raise DamagedPictureError("it is too short")
    head = bytes((yield 18))
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
        raise DamagedPictureError("its header cannot be read")
    yield from _skip(length - 18)
    return _facts("image/webp", ".webp", width, height)


def _skip(length: int) -> Generator[int, bytes | memoryview, None]:
    if length < 0:
        raise DamagedPictureError("a length in it is negative")
    while length:
        length -= len((yield -min(length, _PIECE)))


def _facts(mime_type: str, suffix: str, width: int, height: int) -> Facts:
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise DamagedPictureError(f"it claims {width} × {height} pixels")
    return Facts(mime_type, suffix, width, height)


def _describe(head: bytes) -> str:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"<"):
        return "a page of XML or HTML"
    if text.startswith((b"{", b"[")):
        return "JSON"
    return "not a PNG, JPEG or WebP image"
