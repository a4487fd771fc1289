"""Results as HTML for a notebook: inline styles without colours, so that any theme does.

JupyterLab drops style sheets from notebooks that it does not trust yet; inline styles stay.
"""

import os
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from langchain_qwen_image.download.image_format import mime_type_of
from langchain_qwen_image.rendering.shapes import ShownImage, ShownResult
from langchain_qwen_image.rendering.thumbnail import thumbnail
from langchain_qwen_image.wire.links import is_inline

_MAX_SIDE = 512
_MAX_EMBEDDED = 4 * 2**20  # Bytes of one image in a notebook file, where no Pillow makes it small.
_SHOWN_CHARACTERS = 100
_ALT_CHARACTERS = 300
_WARNINGS = 5

_FIGURE = "margin:0 0 0.5em"
_ERROR = "font-size:0.85em;padding:0.6em;border:1px dashed;border-radius:4px;overflow-wrap:anywhere"
_IMAGE = "display:block;max-width:100%;height:auto;border-radius:4px"
_CAPTION = "font-size:0.85em;opacity:0.8;margin-top:0.3em;overflow-wrap:anywhere"
_GRID = (
    "display:grid;grid-template-columns:repeat(auto-fill,minmax(200px,1fr));"
    "gap:1em;align-items:start"
)


def image_html(image: ShownImage) -> str:
    """Return one image with its size and path."""
    return _figure([image], f"Image {image.id}", _line([_size(image), *_place(image)]))


def result_html(result: ShownResult) -> str:
    """Return a result's images, and one line below: prompt, size, cost, path; then its warnings."""
    prompt = _cut(result.prompt, _SHOWN_CHARACTERS)
    cost = "sandbox, nothing paid" if result.sandbox else f"${result.cost_usd:.4g}"
    places = [part for image in result.images for part in _place(image)]
    line = _line([prompt, _size(result.image), cost, *places], title=result.prompt)
    warnings = [f"<div>⚠ {escape(_cut(one, _ALT_CHARACTERS))}</div>" for one in result.warnings]
    return _figure(result.images, result.prompt, line + "".join(warnings[:_WARNINGS]))


def grid_html(shown: Sequence[ShownResult | ShownImage | BaseException]) -> str:
    """Return many results side by side; errors, as a batch may return them, are shown in place."""
    return f'<div style="{_GRID}">{"".join(_cell(one) for one in shown)}</div>'


def preview(content: bytes) -> bytes:
    """Return what is enough to show the image later: smaller where Pillow is installed."""
    try:
        return thumbnail(content, max_side=_MAX_SIDE)[0]
    except (ImportError, ValueError):
        return content


def _cell(shown: ShownResult | ShownImage | BaseException) -> str:
    if isinstance(shown, BaseException):
        return f'<div style="{_ERROR}">{escape(f"{type(shown).__name__}: {shown}")}</div>'
    return shown._repr_html_()


def _figure(images: Sequence[ShownImage], alt: str, line: str) -> str:
    shown = "".join(_img(image, alt) for image in images)
    if len(images) > 1:
        shown = f'<div style="{_GRID}">{shown}</div>'
    caption = f'<figcaption style="{_CAPTION}">{line}</figcaption>'
    return f'<figure style="{_FIGURE}">{shown}{caption}</figure>'


def _img(image: ShownImage, alt: str) -> str:
    source = _embedded(image.cached_bytes()) or _linked(image)
    if source is None:
        return ""
    alt = escape(_cut(alt, _ALT_CHARACTERS))
    return f'<img src="{escape(source)}" alt="{alt}" style="{_IMAGE}">'


def _embedded(content: bytes | None) -> str | None:
    """Return the image as a `data:` URI, small enough for a notebook file."""
    if content is None:
        return None
    mime_type: str | None
    try:
        small, mime_type = thumbnail(content, max_side=_MAX_SIDE)
    except ValueError:
        return None
    except ImportError:
        small, mime_type = content, mime_type_of(content)
    if mime_type is None or len(small) > _MAX_EMBEDDED:
        return None
    return f"data:{mime_type};base64,{b64encode(small).decode('ascii')}"


def _linked(image: ShownImage) -> str | None:
    """Return the address or the link, for the browser to fetch, unless it has expired."""
    if image.public_url:
        return image.public_url
    url = image.url or ""
    return url if url.startswith(("https://", "http://")) and not _is_expired(image) else None


def _is_expired(image: ShownImage) -> bool:
    return image.expires_at is not None and image.expires_at <= datetime.now(UTC)


def _size(image: ShownImage) -> str:
    return f"{image.width}×{image.height}" if image.width and image.height else "size unknown"


def _place(image: ShownImage) -> list[str]:
    """Say where the image is, and how long, if it is only a link."""
    if image.path:
        return [_short_path(image.path)]
    if not image.url or is_inline(image.url):
        return ["not saved"]
    if image.expires_at is None:
        return ["not saved; the link expires within 24 hours"]
    verb = "expired at" if _is_expired(image) else "is valid until"
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
