"""Make images without Pillow: where it is not installed, and for tests that look at none."""

import colorsys
import functools
import math
import struct
import zlib
from collections.abc import Iterator

from langchain_qwen_image.sandbox.links import ImageFormat

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SKY_TONES = 64
_SUN, _SEA = _SKY_TONES, _SKY_TONES + 1


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

    It can stand wherever `drawing.draw` does. `weight_bytes` of padding, in a chunk that viewers
    skip, make it as heavy as a photograph (`functools.partial(draw_plain, weight_bytes=…)`).
    """
    del prompt, watermark, seed_text, image_format
    return _black(*size, weight_bytes)


def draw_sunset(
    prompt: str,
    *,
    size: tuple[int, int],
    watermark: bool,
    seed_text: str,
    image_format: ImageFormat = "PNG",
) -> bytes:
    """Return a PNG of a sun above the sea in colours that follow from `seed_text`, unlettered.

    The format is PNG whatever is asked for: another one takes Pillow.
    """
    del prompt, watermark, image_format
    width, height = size
    rows = b"".join(_sunset_rows(width, height))
    return _png(
        size, 8, 3, rows, [_chunk(b"PLTE", _sunset_colours(zlib.crc32(seed_text.encode())))]
    )


def _sunset_colours(seed: int) -> bytes:
    hue = seed % 360 / 360
    tones = [
        colorsys.hls_to_rgb((hue + 0.12 * part) % 1, 0.93 - 0.25 * part, 0.7)
        for part in (tone / _SKY_TONES for tone in range(_SKY_TONES))
    ]
    sun = colorsys.hls_to_rgb((hue + 0.5) % 1, 0.7, 0.9)
    sea = colorsys.hls_to_rgb((hue + 0.15) % 1, 0.35, 0.4)
    return bytes(round(255 * part) for colour in (*tones, sun, sea) for part in colour)


def _sunset_rows(width: int, height: int) -> Iterator[bytes]:
    horizon, radius = height * 2 // 3, height // 6
    for y in range(height):
        if y >= horizon:
            yield b"\0" + bytes([_SEA]) * width
            continue
        above = horizon - radius // 3 - y
        half = math.isqrt(max(radius * radius - above * above, 0))
        sky = bytes([y * _SKY_TONES // horizon]) * (width // 2 - half)
        yield b"\0" + (sky + bytes([_SUN]) * (2 * half) + sky).ljust(width, sky[:1])


@functools.lru_cache(maxsize=16)
def _black(width: int, height: int, weight_bytes: int) -> bytes:
    row = bytes(1 + (width + 7) // 8)
    padding = [_chunk(b"saNd", bytes(weight_bytes))] if weight_bytes else []
    return _png((width, height), 1, 0, row * height, padding)


def _png(
    size: tuple[int, int], bits: int, colour_type: int, rows: bytes, more: list[bytes]
) -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", *size, bits, colour_type, 0, 0, 0))
    content = _chunk(b"IDAT", zlib.compress(rows))
    return b"".join([_SIGNATURE, header, *more, content, _chunk(b"IEND", b"")])


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)
