"""The bytes of one answer from an image's host: counted, bounded, and free of a content coding.

The bytes decide whether they are coded, not the header. Storage fronts put labels such as
`aws-chunked`, `binary` or `utf-8` on plain bytes (aws-sdk-java-v2#5769), and some compress although
`identity` was asked for. One coding is undone at most, piece by piece; frames of an upload are no
coding, and come off first.
"""

import re
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

import httpx

from langchain_qwen_image.download.failures import Failure, FetchError
from langchain_qwen_image.download.image_format import (
    HEAD_BYTES,
    DamagedImageError,
    describe,
    media_type_of,
)
from langchain_qwen_image.transport.call import Call

_GZIP = b"\x1f\x8b\x08"
_GZIP_WINDOW = 31
_NOT_DECODED = {"br", "zstd", "compress", "x-compress", "dcb", "dcz"}
_FRAME = re.compile(rb"[0-9a-fA-F]{1,8}(;|\r\n)")
_LONGEST_FRAME_HEAD = 1024
_PIECE = 1 << 16
_DIGITS = 20


class Body:
    """The pieces of one body; the first has `HEAD_BYTES` bytes, if there are as many.

    Args:
        pieces: What came, as it came.
        max_bytes: Most bytes that may come, before and after decoding.
        coding: Value of `Content-Encoding`.
        length: Bytes that the host announced, if it did.
    """

    def __init__(
        self,
        pieces: Iterable[bytes],
        *,
        max_bytes: int,
        coding: str = "",
        length: int | None = None,
    ) -> None:
        """Take what comes, unless it is announced to be too large."""
        self._pieces = pieces
        self._max_bytes = max_bytes
        self._coding = {word.strip().lower() for word in coding.split(",")}
        self._length = length
        check_size(length or 0, max_bytes)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the decoded pieces.

        Raises:
            FetchError: there are too many, or they are in a coding that is not decoded here.
            DamagedImageError: some are missing, or cannot be decoded.
        """
        size = 0
        for piece in _with_head(self._decoded(_with_head(self._counted()))):
            size += len(piece)
            check_size(size, self._max_bytes)
            yield piece

    def _counted(self) -> Iterator[bytes]:
        size = 0
        for piece in self._pieces:
            size += len(piece)
            check_size(size, self._max_bytes)
            yield piece
        if self._length is not None and size != self._length:
            raise DamagedImageError(f"{size} of {self._length} bytes came")

    def _decoded(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        head = next(pieces, b"")
        if "aws-chunked" in self._coding and _FRAME.match(head):
            pieces = _with_head(_unframed(chain([head], pieces)))
            head = next(pieces, b"")
        decoder = self._decoder(head)
        if decoder is None:
            yield head
            yield from pieces
            return
        yield from _inflated(decoder, head)
        for piece in pieces:
            yield from _inflated(decoder, piece)

    def _decoder(self, head: bytes) -> "zlib._Decompress | None":
        if head.startswith(_GZIP):
            return zlib.decompressobj(_GZIP_WINDOW)
        if _is_readable(head):
            return None
        if "deflate" in self._coding:
            return zlib.decompressobj(zlib.MAX_WBITS if _is_zlib(head) else -zlib.MAX_WBITS)
        if not_decoded := self._coding & _NOT_DECODED:
            names = ", ".join(sorted(not_decoded))
            raise FetchError(
                Failure(f"the host compressed it ({names}), although it was asked not to")
            )
        return None


def check_size(size: int, max_bytes: int) -> None:
    """Refuse an image that is too large.

    Raises:
        FetchError: it has more than `max_bytes` bytes.
    """
    if size > max_bytes:
        raise FetchError(Failure(f"it is larger than the {max_bytes:,} bytes of max_image_bytes"))


def until(call: Call, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Pass the pieces on as long as the deadline has not passed, whatever the transport."""
    for piece in pieces:
        if time.monotonic() > call.deadline:
            raise httpx.ReadTimeout("the deadline of the whole fetch has passed")
        yield piece


def content_length(headers: Mapping[str, str]) -> int | None:
    """Return how many bytes the host announced, if it did."""
    value = headers.get("content-length", "")
    is_number = value.isascii() and value.isdigit() and len(value) < _DIGITS
    return int(value) if is_number else None


def _with_head(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Join the first pieces until the format can be told from them."""
    head: bytes | None = b""
    for piece in pieces:
        if head is None:
            yield piece
            continue
        head += piece
        if len(head) >= HEAD_BYTES:
            yield head
            head = None
    if head:
        yield head


def _unframed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the data of `aws-chunked` frames, which some stores keep as they were uploaded."""
    buffer, left = b"", 0
    for piece in pieces:
        buffer += piece
        while buffer:
            if left:
                data, buffer = buffer[:left], buffer[left:]
                left -= len(data)
                yield data
                continue
            line, end, rest = buffer.removeprefix(b"\r\n").partition(b"\r\n")
            if not end and len(buffer) < _LONGEST_FRAME_HEAD:
                break
            if not _FRAME.match(line + end):
                raise DamagedImageError("its aws-chunked frames cannot be read")
            left, buffer = int(line.partition(b";")[0], 16), rest
            if not left:  # what follows are checksums of the upload
                return


def _inflated(decoder: "zlib._Decompress", data: bytes) -> Iterator[bytes]:
    """Yield what comes out, in pieces of 64 KiB at most, until all is read."""
    while data and not decoder.eof:
        try:
            piece = decoder.decompress(data, _PIECE)
        except zlib.error:
            raise DamagedImageError("it cannot be decompressed") from None
        data = decoder.unconsumed_tail
        if piece:
            yield piece


def _is_readable(head: bytes) -> bool:
    """Say whether first bytes are an image's or a page's, whatever coding was announced."""
    try:
        return media_type_of(head) is not None or not describe(head).startswith("not ")
    except DamagedImageError:
        return True


def _is_zlib(head: bytes) -> bool:
    return len(head) > 1 and head[0] & 0x0F == 8 and int.from_bytes(head[:2]) % 31 == 0
