"""Results as HTML for a notebook: inline styles without colours, so that any theme does.

JupyterLab drops style sheets from notebooks that it does not trust yet; inline styles stay.
"""

import os
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_qwen_image.download.image_format import mime_type_of
from langchain_qwen_image.rendering.thumbnail import thumbnail
from langchain_qwen_image.wire.links import is_inline

if TYPE_CHECKING:
    from langchain_qwen_image.result import GeneratedImage, ImageGenerationResult

_MAX_SIDE = 512
_MAX_EMBEDDED = 4 * 2**20  # Bytes of one image in a notebook file, where no Pillow makes it small.
_SHOWN_CHARACTERS = 100
_ALT_CHARACTERS = 300

_FIGURE = "margin:0 0 0.5em"
_ERROR = "font-size:0.85em;padding:0.6em;border:1px dashed;border-radius:4px;overflow-wrap:anywhere"
_PICTURE = "display:block;max-width:100%;height:auto;border-radius:4px"
_CAPTION = "font-size:0.85em;opacity:0.8;margin-top:0.3em;overflow-wrap:anywhere"
_GRID = (
    "display:grid;grid-template-columns:repeat(auto-fill,minmax(200px,1fr));"
    "gap:1em;align-items:start"
)


def image_html(image: "GeneratedImage") -> str:
    """Return one image with its size and path."""
    return _figure([image], f"Image {image.id}", _line([_size(image), *_place(image)]))


def result_html(result: "ImageGenerationResult") -> str:
    """Return a result's images, and one line below: prompt, size, cost, path."""
    prompt = _cut(result.prompt, _SHOWN_CHARACTERS)
    cost = "sandbox, nothing paid" if result.sandbox else f"${result.cost_usd:.4g}"
    places = [part for image in result.images for part in _place(image)]
    line = _line([prompt, _size(result.image), cost, *places], title=result.prompt)
    return _figure(result.images, result.prompt, line)


def grid_html(shown: "Sequence[ImageGenerationResult | GeneratedImage | BaseException]") -> str:
    """Return many results side by side; errors, as a batch may return them, stand among them."""
    return f'<div style="{_GRID}">{"".join(_cell(one) for one in shown)}</div>'


def preview(picture: bytes) -> bytes:
    """Return what is enough to show the image later: smaller where Pillow is installed."""
    try:
        return thumbnail(picture, max_side=_MAX_SIDE)[0]
    except (ImportError, ValueError):
        return picture


def _cell(shown: "ImageGenerationResult | GeneratedImage | BaseException") -> str:
    if isinstance(shown, BaseException):
        return f'<div style="{_ERROR}">{escape(f"{type(shown).__name__}: {shown}")}</div>'
    return shown._repr_html_()


def _figure(images: "Sequence[GeneratedImage]", alt: str, line: str) -> str:
    pictures = "".join(_picture(image, alt) for image in images)
    if len(images) > 1:
        pictures = f'<div style="{_GRID}">{pictures}</div>'
    caption = f'<figcaption style="{_CAPTION}">{line}</figcaption>'
    return f'<figure style="{_FIGURE}">{pictures}{caption}</figure>'


def _picture(image: "GeneratedImage", alt: str) -> str:
    source = _embedded(image.cached_bytes()) or _linked(image)
    if source is None:
        return ""
    alt = escape(_cut(alt, _ALT_CHARACTERS))
    return f'<img src="{escape(source)}" alt="{alt}" style="{_PICTURE}">'


def _embedded(picture: bytes | None) -> str | None:
    """Return the image as a `data:` URI, small enough for a notebook file."""
    if picture is None:
        return None
    mime_type: str | None
    try:
        small, mime_type = thumbnail(picture, max_side=_MAX_SIDE)
    except ValueError:
        return None
    except ImportError:
        small, mime_type = picture, mime_type_of(picture)
    if mime_type is None or len(small) > _MAX_EMBEDDED:
        return None
    return f"data:{mime_type};base64,{b64encode(small).decode('ascii')}"


def _linked(image: "GeneratedImage") -> str | None:
    """Return the link, for the browser to fetch, unless it is dead."""
    url = image.url or ""
    return url if url.startswith(("https://", "http://")) and not _is_dead(image) else None


def _is_dead(image: "GeneratedImage") -> bool:
    return image.expires_at is not None and image.expires_at <= datetime.now(UTC)


def _size(image: "GeneratedImage") -> str:
    return f"{image.width}×{image.height}" if image.width and image.height else "size unknown"


def _place(image: "GeneratedImage") -> list[str]:
    """Say where the image is, and how long, if it is only a link."""
    if image.path:
        return [_short_path(image.path)]
    if not image.url or is_inline(image.url):
        return ["not saved"]
    if image.expires_at is None:
        return ["not saved; the link dies within a day"]
    verb = "died at" if _is_dead(image) else "is good until"
    return [f"not saved; the link {verb} {image.expires_at:%Y-%m-%d %H:%M} UTC"]


def _short_path(path: str) -> str:
    """Return the path from the working folder on, where it leads through that."""
    try:
        return os.fspath(Path(path).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return path


def _line(parts: list[str], *, title: str = "") -> str:
    text = " · ".join(escape(part) for part in parts)
    return f'<span title="{escape(title)}">{text}</span>' if title else text


def _cut(text: str, characters: int) -> str:
    """Return the text in one line, at most so many characters long."""
    line = " ".join(text.split())
    return line if len(line) <= characters else line[: characters - 1] + "…"
