"""Draw the placeholder image of a request: a scene, and on it what was asked for."""

import hashlib
import io
import os
import threading

try:
    from PIL import Image, ImageDraw, features
    from PIL.PngImagePlugin import PngInfo
except ImportError as error:
    raise ImportError(
        "The sandbox draws its images with Pillow, which is not installed: "
        "pip install 'langchain-qwen-image[sandbox]'"
    ) from error
if not features.check("freetype2"):
    raise ImportError(
        "The sandbox writes on its images with FreeType, which this Pillow was built without: "
        "install Pillow's own wheel"
    )

from langchain_qwen_image.sandbox.lettering import legible, text_width, wrap, write
from langchain_qwen_image.sandbox.links import ImageFormat
from langchain_qwen_image.sandbox.scenes import PALETTES, SCENES, paint_scene

_INK, _PAPER, _PAPER_COVER = "#1d2330", "#ffffff", 232
_LETTER_SIZES = (0.058, 0.046, 0.038, 0.032, 0.028)
_PANEL_HEIGHT = 0.36
_LINE_HEIGHT = 1.32
# An image in the making takes about 50 MB; more at once than processors is no faster.
_turns = threading.BoundedSemaphore(os.cpu_count() or 1)


def draw(
    prompt: str,
    *,
    size: tuple[int, int],
    watermark: bool,
    seed_text: str,
    image_format: ImageFormat = "PNG",
) -> bytes:
    """Return the file of an image of exactly that size in pixels.

    Colours and composition depend on `seed_text`. The same arguments on the same machine give
    the same bytes.
    """
    with _turns:
        image = _scene(size, seed_text)
        _write_labels(image, watermark=watermark)
        _write_prompt(image, prompt)
        return _encode(image, image_format)


def _scene(size: tuple[int, int], seed_text: str) -> Image.Image:
    number = int.from_bytes(hashlib.sha256(seed_text.encode()).digest())
    scene, palette = number % len(SCENES), number // len(SCENES) % len(PALETTES)
    return paint_scene(size, scene, PALETTES[palette], seed_text)


def _write_labels(image: Image.Image, *, watermark: bool) -> None:
    width, height = image.size
    margin, pixels = round(width * 0.03), max(round(width * 0.028), 13)
    _label(image, "SANDBOX", margin, pixels)
    size = legible(f"{width} × {height}")
    _label(image, size, width - margin - _label_width(size, pixels), pixels)
    if watermark:
        mark = "WATERMARK"
        left = (width - _label_width(mark, pixels)) / 2
        _label(image, mark, left, pixels)


def _label_width(text: str, pixels: int) -> float:
    return text_width(text, pixels) + 1.4 * pixels


def _label(image: Image.Image, text: str, left: float, pixels: int) -> None:
    """Write one word at the top of the image, light on a dark pill."""
    top = round(image.width * 0.03)
    bottom = top + 1.8 * pixels
    _cover(image, (left, top, left + _label_width(text, pixels), bottom), _INK, 0.9 * pixels)
    corner = (left + 0.7 * pixels, bottom - 0.55 * pixels)
    write(ImageDraw.Draw(image), corner, text, pixels, _PAPER)


def _write_prompt(image: Image.Image, prompt: str) -> None:
    width, height = image.size
    margin, padding = round(width * 0.03), round(width * 0.03)
    pixels, lines = _fit(prompt, width - 2 * (margin + padding), height)
    pitch = pixels * _LINE_HEIGHT
    top = height - margin - 2 * padding - pitch * len(lines)
    _cover(image, (margin, top, width - margin, height - margin), _PAPER, padding * 0.8)
    canvas = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        base_line = top + padding + pitch * number + pixels
        write(canvas, (margin + padding, base_line), line, pixels, _INK)


def _fit(prompt: str, width: float, height: int) -> tuple[int, list[str]]:
    """Return the largest letters, in pixels, with which the prompt fits, and its lines.

    What does not fit with the smallest either ends in an ellipsis.
    """
    text = legible(prompt)
    for share in _LETTER_SIZES:
        pixels = max(round(height * share), 13)
        most_lines = int(height * (_PANEL_HEIGHT - 0.06) / (pixels * _LINE_HEIGHT))
        lines = wrap(text, pixels, width)
        if len(lines) <= most_lines:
            return pixels, lines
    return pixels, [*lines[: most_lines - 1], f"{lines[most_lines - 1][:-1].rstrip()}…"]


def _cover(
    image: Image.Image, box: tuple[float, float, float, float], colour: str, radius: float
) -> None:
    """Lay a nearly opaque plate with round corners over a part of the image."""
    left, top, right, bottom = (round(edge) for edge in box)
    plate = (right - left, bottom - top)
    mask = Image.new("L", (plate[0] * 2, plate[1] * 2))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, *mask.size), 2 * radius, fill=_PAPER_COVER)
    image.paste(Image.new("RGB", plate, colour), (left, top), mask.reduce(2))


def _encode(image: Image.Image, image_format: ImageFormat) -> bytes:
    file = io.BytesIO()
    about = PngInfo()
    about.add_text(
        "Comment", "A placeholder of the langchain-qwen-image sandbox; no model made it."
    )
    image.save(file, image_format, pnginfo=about)
    return file.getvalue()
