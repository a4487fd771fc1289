"""Make plain images without Pillow, fast, for tests and benchmarks that do not look at them."""

import functools
import struct
import zlib

from langchain_qwen_image.sandbox.links import ImageFormat

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def draw_plain(
    prompt: str,
    *,
    size: tuple[int, int],
    watermark: bool,
    seed_text: str,
    image_format: ImageFormat = "PNG",
    weight_bytes: int = 0,
) -> bytes:
    """Return a black PNG of exactly that size in pixels, whatever the prompt and the format.

    It can stand wherever `image.draw` does. `weight_bytes` of padding, in a chunk that viewers
    skip, make it as heavy as a photograph (`functools.partial(draw_plain, weight_bytes=…)`).
    """
    del prompt, watermark, seed_text, image_format
    return _black(*size, weight_bytes)


@functools.lru_cache(maxsize=16)
def _black(width: int, height: int, weight_bytes: int) -> bytes:
    row = bytes(1 + (width + 7) // 8)
    chunks = [
        _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)),
        _chunk(b"IDAT", zlib.compress(row * height)),
        _chunk(b"IEND", b""),
    ]
    if weight_bytes:
        chunks.insert(1, _chunk(b"saNd", bytes(weight_bytes)))
    return _SIGNATURE + b"".join(chunks)


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)
