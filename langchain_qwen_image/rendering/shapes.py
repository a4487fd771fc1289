"""The shapes that a result and its images must have to be shown; `result` has the classes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol


class ShownImage(Protocol):
    """One image, as `GeneratedImage` has it."""

    @property
    def id(self) -> str:
        """Short id."""

    @property
    def url(self) -> str | None:
        """Link, or a `data:` URI."""

    @property
    def expires_at(self) -> datetime | None:
        """When the link expires, if known."""

    @property
    def width(self) -> int | None:
        """Width in pixels."""

    @property
    def height(self) -> int | None:
        """Height in pixels."""

    @property
    def mime_type(self) -> str | None:
        """Media type."""

    @property
    def path(self) -> str | None:
        """Path or store key, once saved."""

    @property
    def public_url(self) -> str | None:
        """Address at which a browser sees it, if it has one."""

    @property
    def told_path(self) -> str | None:
        """The path as models and browsers may know it."""

    @property
    def download_error(self) -> str | None:
        """Why it could not be saved."""

    def cached_bytes(self) -> bytes | None:
        """Return the bytes if nothing has to be fetched for them."""

    def _repr_html_(self) -> str: ...


class ShownResult(Protocol):
    """One result, as `ImageGenerationResult` has it."""

    @property
    def images(self) -> Sequence[ShownImage]:
        """The images, at least one."""

    @property
    def image(self) -> ShownImage:
        """The first image."""

    @property
    def prompt(self) -> str:
        """What was asked for."""

    @property
    def cost_usd(self) -> float:
        """Price in US dollars."""

    @property
    def replayed(self) -> bool:
        """True when an earlier call paid for the images."""

    @property
    def sandbox(self) -> bool:
        """True when the images are placeholders."""

    @property
    def warnings(self) -> Sequence[str]:
        """What was unusual about the answer."""

    def _repr_html_(self) -> str: ...
