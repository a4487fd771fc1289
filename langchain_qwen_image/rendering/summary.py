"""The sentence that a model reads when an image is done."""

import re
from collections.abc import Sequence

from langchain_qwen_image.rendering.shapes import ShownImage, ShownResult
from langchain_qwen_image.wire.links import is_inline

_NAMED = 2
_FAILURE_CHARACTERS = 140
_PLACE = re.compile(r" (?:from|to) \S+/\S+?(?=:? )")  # the link follows


def sentence(result: ShownResult) -> str:
    """Say what was made, where it is, and what it cost, so that it is not asked for again.

    A result's warnings are for people: a model can do nothing about them but generate again.
    """
    count = len(result.images)
    made = "1 image" if count == 1 else f"{count} images"
    cost = "nothing (sandbox placeholder)" if result.sandbox else f"${result.cost_usd:.4g}"
    cost += " (paid for before)" if result.replayed and not result.sandbox else ""
    return (
        f"Done: {made} generated, {_look(result.image)}. {_places(result.images)} Cost: {cost}. "
        "Do not generate it again unless the user asks for another."
    )


def _look(image: ShownImage) -> str:
    size = f"{image.width}×{image.height}" if image.width and image.height else "size unknown"
    return f"{size} {image.mime_type}" if image.mime_type else size


def _places(images: Sequence[ShownImage]) -> str:
    """Say where the images are, in few words: every later turn of the model reads them."""
    told = [_place(image) for image in images[:_NAMED]]
    if failure := next((image.download_error for image in images if image.download_error), None):
        room = _FAILURE_CHARACTERS if len(images) == 1 else _FAILURE_CHARACTERS // 2
        told.insert(0, f"It exists and is paid for, but {_cut(failure, room)}")
    if len(images) > _NAMED:
        told.append(f"{len(images) - _NAMED} more are in the result.")
    return " ".join(told)


def _cut(failure: str, room: int) -> str:
    """Say a failure in so many characters, without what the sentence says anyway."""
    told = failure.removeprefix("The image is paid for, but ")
    text = told if told != failure else f"was not saved: {failure}"
    text = " ".join(_PLACE.sub("", text).split())
    return text if len(text) <= room else f"{text[:room]}…"


def _markdown(address: str) -> str:
    """Return what shows an image; parentheses would end the address (CommonMark, 6.3)."""
    place = f"<{address}>" if "(" in address or ")" in address else address
    return f"![description]({place})"


def _place(image: ShownImage) -> str:
    if image.public_url:
        shown = _markdown(image.public_url)
        return f"Saved (id {image.id}). This Markdown shows it to the user: {shown}."
    if image.path:
        return f"Saved as {image.told_path} (id {image.id})."
    if not image.url or is_inline(image.url):
        return f"It is in the result (id {image.id})."
    until = f" until {image.expires_at:%Y-%m-%d %H:%M} UTC" if image.expires_at else ""
    return f"Link{until} (id {image.id}): {image.url}"
