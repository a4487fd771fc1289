"""Be the object storage: give out images by their links, and fail where a link asks for it."""

import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from langchain_qwen_image.sandbox.answer import Answer, storage_error
from langchain_qwen_image.sandbox.link_failures import CODINGS, FAULTS, FIXED, corrupt
from langchain_qwen_image.sandbox.links import (
    LIFETIME_SECONDS,
    ImageFormat,
    ImageInfo,
    read_link,
    write_link,
)
from langchain_qwen_image.sandbox.plain import draw_sunset
from langchain_qwen_image.sandbox.records import SECRET_HEADERS

_log = logging.getLogger("langchain_qwen_image")

IMAGES_PATH = "/images/"
# OSS takes these into its own authentication, and refuses or mis-verifies the link.
_NOT_FOR_STORAGE = (*sorted(SECRET_HEADERS), "content-type")


class Draw(Protocol):
    """Draw an image: `drawing.draw`, `plain.draw_plain`, or a test's own."""

    def __call__(
        self,
        prompt: str,
        *,
        size: tuple[int, int],
        watermark: bool,
        seed_text: str,
        image_format: ImageFormat,
    ) -> bytes:
        """Return the bytes of the file; the size is width and height in pixels."""


class Storage:
    """Write links of images and answer their GETs.

    Args:
        base_url: Where the links lead, without a slash at the end.
        draw: What draws the images; by default Pillow, or plain patterns where it is not installed.
        now: The clock, in Unix seconds.
        first_time: Returns whether an event is met for the first time, and remembers it.
    """

    def __init__(
        self,
        base_url: str,
        *,
        draw: Draw | None,
        now: Callable[[], float],
        first_time: Callable[[bytes], bool],
    ) -> None:
        """Take where the links lead, and what draws."""
        self._base_url = base_url
        self._draw = draw
        self._now = now
        self._first_time = first_time

    def link(self, image: ImageInfo) -> str:
        """Return a link to an image; one that is to have expired already has."""
        lifetime = -60 if image.failure == "expired" else LIFETIME_SECONDS
        return self._base_url + write_link(image, now=self._now(), lifetime_seconds=lifetime)

    def answer(self, target: str, headers: Mapping[str, str]) -> Answer:
        """Answer the GET of a link."""
        for name in _NOT_FOR_STORAGE:
            if name in headers:
                reason = f"The request carries the header {name}, which is not for the storage."
                return storage_error(403, "SignatureDoesNotMatch", reason)
        image = read_link(target, now=self._now())
        return image if isinstance(image, Answer) else self._serve(target, image)

    def paint(self, image: ImageInfo) -> bytes:
        """Return the bytes of an image."""
        draw = self._draw or _default_draw()
        return draw(
            image.prompt,
            size=(image.width, image.height),
            watermark=image.watermark,
            seed_text=image.seed,
            image_format=image.image_format,
        )

    def _serve(self, target: str, image: ImageInfo) -> Answer:
        failure = image.failure or ""
        if failure in FIXED:
            return FIXED[failure]
        if failure == "image-500-once" and self._first_time(f"GET {target}".encode()):
            return FIXED["image-500"]
        if failure == "image-redirect":
            return Answer(302, headers={"Location": self.link(replace(image, failure=None))})
        content = self.paint(image)
        if failure == "image-corrupt":
            content = corrupt(content)
        headers = {"Content-Type": image.mime_type}
        if failure in CODINGS:
            headers["Content-Encoding"] = CODINGS[failure]
        return Answer(200, content, headers, fault=FAULTS.get(failure))


@functools.cache
def _default_draw() -> Draw:
    """Return what draws best here; Pillow is optional, and not quick to import."""
    try:
        from langchain_qwen_image.sandbox.drawing import draw
    except ImportError as error:
        _log.warning("%s. Until then its images are plain.", error)
        return draw_sunset
    return draw
