"""Images in a notebook. A single result shows itself; `show` puts many side by side."""

import sys
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from langchain_qwen_image.rendering.html import grid_html
from langchain_qwen_image.rendering.spinner import in_marimo
from langchain_qwen_image.result import GeneratedImage, ImageGenerationResult

__all__ = ["Shown", "show"]

Shown: TypeAlias = ImageGenerationResult | GeneratedImage | BaseException
"""What a grid can show; an error is what `batch(return_exceptions=True)` has there."""


def show(results: Shown | Iterable[Shown] | Mapping[str, Shown]) -> None:
    """Show results side by side: in a notebook as a grid, elsewhere as a line each.

    Python fetches nothing for it: an image that is neither saved nor read yet is shown by its
    link, which the notebook's file then has.

    Args:
        results: Results, images or errors; a `RunnableParallel`'s dict of them; or one alone.
    """
    grid = _Grid(_listed(results))
    ipython = sys.modules.get("IPython")
    if in_marimo():
        sys.modules["marimo"].output.append(grid)
    elif ipython is None or ipython.get_ipython() is None:
        sys.stdout.write(f"{grid!r}\n")
    else:
        ipython.display.display(grid)


class _Grid:
    """Results that show themselves side by side."""

    def __init__(self, shown: list[Shown]) -> None:
        self._shown = shown

    def __repr__(self) -> str:
        return "\n".join(_in_words(one) for one in self._shown) or "no images"

    def _repr_html_(self) -> str:
        return grid_html(self._shown)


def _listed(results: Shown | Iterable[Shown] | Mapping[str, Shown]) -> list[Shown]:
    if isinstance(results, ImageGenerationResult | GeneratedImage | BaseException):
        return [results]
    return list(results.values() if isinstance(results, Mapping) else results)


def _in_words(shown: Shown) -> str:
    if isinstance(shown, BaseException):
        return f"{type(shown).__name__}: {shown}"
    image = shown.image if isinstance(shown, ImageGenerationResult) else shown
    place = image.path or "not saved"
    return f"image {image.id}: {image.width}×{image.height}, {place}"
