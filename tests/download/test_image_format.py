"""What arrived is a whole image, or it is not."""

import io
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from langchain_qwen_image.download.image_format import (
    DamagedImageError,
    ImageFormat,
    NotAnImageError,
    media_type_of,
    mime_type_of,
    read_format,
)


def inspect(data: bytes) -> ImageFormat:
    """Read bytes as a file and return what they say."""
    return read_format(io.BytesIO(data))


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return a PNG chunk with its checksum."""
    return len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)


def png(
    width: int = 3, height: int = 2, *, pixels: bytes = b"pixels", middle: bytes = b""
) -> bytes:
    """Return a PNG whose chunks check out."""
    header = width.to_bytes(4) + height.to_bytes(4) + b"\x08\x02\x00\x00\x00"
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + middle
        + chunk(b"IDAT", pixels)
        + chunk(b"IEND", b"")
    )


def drawn(form: str, **options: object) -> bytes:
    """Return an image of 37 x 21 pixels that Pillow has written."""
    out = io.BytesIO()
    mode = "RGBA" if form == "WEBP" and options.pop("alpha", False) else "RGB"
    image = Image.effect_noise((37, 21), 90).convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.effect_noise((37, 21), 90))
    image.save(out, form, **options)
    return out.getvalue()


DRAWN = {
    "png": drawn("PNG"),
    "png-interlaced": drawn("PNG", optimize=True),
    "jpeg": drawn("JPEG"),
    "jpeg-progressive": drawn("JPEG", progressive=True),
    "jpeg-exif": drawn("JPEG", exif=b"Exif\0\0" + b"\xff\xd9" * 40),
    "jpeg-restart": drawn("JPEG", restart_marker_blocks=1),
    "webp": drawn("WEBP"),
    "webp-lossless": drawn("WEBP", lossless=True),
    "webp-alpha": drawn("WEBP", alpha=True),
    "webp-exif": drawn("WEBP", exif=b"Exif\0\0MM"),
}
FORMATS = {
    "png": ("image/png", ".png"),
    "jpeg": ("image/jpeg", ".jpg"),
    "webp": ("image/webp", ".webp"),
}


@pytest.mark.parametrize("name", DRAWN)
def test_facts_come_from_the_bytes(name: str) -> None:
    """Type, suffix and size are those of the image, for every kind of each format."""
    assert inspect(DRAWN[name]) == ImageFormat(*FORMATS[name.partition("-")[0]], 37, 21)


@given(st.sampled_from(sorted(DRAWN)), st.binary(max_size=40))
def test_the_first_bytes_tell_the_type(name: str, tail: bytes) -> None:
    """Twelve bytes of an image tell its media type, whatever follows them."""
    assert media_type_of(DRAWN[name][:12] + tail) == mime_type_of(DRAWN[name])


@given(st.sampled_from(sorted(DRAWN)), st.floats(0, 1, exclude_max=True))
def test_a_cut_image_is_damaged(name: str, share: float) -> None:
    """No beginning of an image passes for an image."""
    whole = DRAWN[name]
    with pytest.raises(DamagedImageError):
        inspect(whole[: int(len(whole) * share)])


@given(st.integers(0, len(DRAWN["png"]) - 1), st.integers(1, 255))
def test_one_altered_byte_of_a_png_is_noticed(place: int, difference: int) -> None:
    """Whichever byte of a PNG is altered, it is refused."""
    altered = bytearray(DRAWN["png"])
    altered[place] ^= difference
    with pytest.raises((DamagedImageError, NotAnImageError)):
        inspect(bytes(altered))


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda tail: b"\xff\xd8\xff" + tail))
def test_any_bytes_end_in_facts_or_one_of_two_errors(data: bytes) -> None:
    """Whatever comes, nothing but the two errors is raised."""
    try:
        facts = inspect(data)
    except (DamagedImageError, NotAnImageError):
        return
    assert facts.width > 0


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"<!DOCTYPE html><html></html>", "XML or HTML", id="html"),
        pytest.param(b"  <?xml version='1.0'?><Error/>", "XML or HTML", id="xml"),
        pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "XML or HTML", id="svg"),
        pytest.param(b'{"error": "gone"}', "JSON", id="json"),
        pytest.param(b"GIF89a" + bytes(40), "not a PNG", id="gif"),
        pytest.param(b"RIFF\x24\0\0\0WAVEfmt ", "not a PNG", id="wav"),
        pytest.param(b"\x89PNG\n\x1a\n" + bytes(40), "not a PNG", id="png-through-text-mode"),
    ],
)
def test_what_is_no_image_is_named(data: bytes, words: str) -> None:
    """Anything but PNG, JPEG and WebP is refused by its first bytes."""
    with pytest.raises(NotAnImageError, match=words):
        inspect(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"", "end is missing", id="nothing"),
        pytest.param(png(0, 5), "0 × 5", id="no-width"),
        pytest.param(png(5, 0), "5 × 0", id="no-height"),
        pytest.param(png(65535, 65535), "65535", id="absurd"),
        pytest.param(png(16385, 1), "16385", id="just-too-wide"),
        pytest.param(png()[:8] + png()[33:], "header", id="no-header"),
        pytest.param(png()[:33] + chunk(b"IEND", b""), "no pixels", id="no-pixels"),
        pytest.param(b"\xff\xd8\xff\xe0\x00\x01", "negative", id="jpeg-length"),
        pytest.param(b"\xff\xd8\xff\xe0\x00\x02abc", "follow", id="jpeg-no-marker"),
        pytest.param(b"\xff\xd8\xff\xda\x00\x02x\xff\xd9", "0 × 0", id="jpeg-no-size"),
        pytest.param(b"RIFF\x05\0\0\0WEBPVP8 ", "short", id="webp-short"),
        pytest.param(b"RIFF\x40\0\0\0WEBPVP8 " + bytes(60), "header", id="webp-header"),
    ],
)
def test_damage_is_named(data: bytes, words: str) -> None:
    """An image that contradicts itself is refused, and the error says how."""
    with pytest.raises(DamagedImageError, match=words):
        inspect(data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(png(16384, 16384), id="largest"),
        pytest.param(png(middle=chunk(b"iTXt", b"TC260" * 200_000)), id="label-before-the-pixels"),
        pytest.param(png() + b"trailing bytes", id="bytes-after-the-end"),
        pytest.param(DRAWN["jpeg"] + bytes(9), id="bytes-after-a-jpeg"),
        pytest.param(DRAWN["webp"] + bytes(9), id="bytes-after-a-webp"),
    ],
)
def test_unusual_images_are_taken(data: bytes) -> None:
    """What a decoder would show is saved as it came, labels and trailing bytes included."""
    assert inspect(data).width > 0
