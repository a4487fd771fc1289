"""Fetching and keeping, put together: from a link to a file with everything known about it."""

import logging
import tempfile
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Self

from langchain_qwen_image.concurrency.threads import in_thread
from langchain_qwen_image.defaults import SANDBOX_URL
from langchain_qwen_image.download.fetcher import MAX_IMAGE_BYTES, Fetcher, ImageInfo
from langchain_qwen_image.errors import ConfigurationError, DownloadError
from langchain_qwen_image.result import GeneratedImage, ImageGenerationResult
from langchain_qwen_image.storage.opening import ImageStore, open_store
from langchain_qwen_image.wire.links import is_inline, without_query

logger = logging.getLogger("langchain_qwen_image")


class ImageSaver:
    """Fetches images, keeps them where the caller wants them, and reads them back.

    The async twins run the same code in one of a few threads: an image is large, a cancelled task
    must not lose it, and the event loop must not wait for a disk.
    """

    def __init__(self, fetcher: Fetcher, store: ImageStore | None = None) -> None:
        """Take what fetches, and the store to keep images in, if any."""
        self._fetcher = fetcher
        self._store = store

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    @property
    def store(self) -> ImageStore | None:
        """Where images are saved, if anywhere."""
        return self._store

    def wants(self, image: GeneratedImage, *, inline: bool) -> bool:
        """Say whether an image is to be saved.

        With `inline`, also one that came inside the answer and has no store: nothing else holds it.
        """
        is_orphan = inline and image.url is not None and is_inline(image.url)
        return image.path is None and (self._store is not None or is_orphan)

    def save(self, image: GeneratedImage, result: ImageGenerationResult) -> None:
        """Keep one image, and note on it where, or in `download_error` why not."""
        try:
            self.save_or_raise(image, result)
        except Exception as error:  # the image is paid for: a store's own errors count too
            image.download_error = str(error) or type(error).__name__
            logger.warning(
                "image %s is paid for but could not be saved: %s", image.id, image.download_error
            )

    def save_or_raise(self, image: GeneratedImage, result: ImageGenerationResult) -> None:
        """Keep one image and note on it where.

        Raises:
            DownloadError: The link could not be fetched, or was not safe to fetch.
            OSError: The disk is full, or the folder cannot be written.
        """
        saved = (self._store or _last_resort()).save(
            partial(self._fetch, image),
            image_id=image.id,
            prompt=result.prompt,
            created_at=result.created_at,
            sidecar=_sidecar(image, result),
        )
        _note(image, saved.picture)
        image.path, image.download_error = saved.path, None
        logger.info("image %s is saved at %s", image.id, saved.path)

    def read(self, image: GeneratedImage) -> bytes:
        """Return an image's bytes: from where it is saved, else from its link.

        Raises:
            DownloadError: It is not there any more, or could not be fetched.
        """
        if image.path is None:
            return self._read_link(image)
        try:
            return self._read_saved(image.path)
        except (OSError, ValueError) as error:
            problem = f"{image.path} cannot be read: {error}."
        try:
            return self._read_link(image)
        except DownloadError as error:
            raise DownloadError(f"{problem} {error}") from None

    async def aread(self, image: GeneratedImage) -> bytes:
        """Async twin of `read`."""
        return await in_thread(self.read, image)

    def cached_bytes(self, image: GeneratedImage) -> bytes | None:
        """Return an image's bytes if it is saved, came inline or is the sandbox's; else None."""
        link = image.url or ""
        free = is_inline(link) or link.startswith(SANDBOX_URL + "/")
        try:
            if image.path is not None:
                return self._read_saved(image.path)
            return self._fetched(image)[1] if free else None
        except Exception as error:  # a notebook cell ends well, whatever a store says
            logger.debug("image %s cannot be shown: %s", image.id, error)
            return None

    def close(self) -> None:
        """Close the connections; a later fetch opens new ones."""
        self._fetcher.close()

    def _read_saved(self, path: str) -> bytes:
        return self._store.read(path) if self._store is not None else Path(path).read_bytes()

    def _read_link(self, image: GeneratedImage) -> bytes:
        picture, content = self._fetched(image)
        _note(image, picture)
        return content

    def _fetched(self, image: GeneratedImage) -> tuple[ImageInfo, bytes]:
        into = BytesIO()
        return self._fetch(image, into), into.getvalue()

    def _fetch(self, image: GeneratedImage, into: BinaryIO) -> ImageInfo:
        if not image.url:
            raise DownloadError(
                f"Image {image.id} has no link any more. Look for its file and the ledger."
            )
        try:
            return self._fetcher.fetch(image.url, into)
        except ImportError as error:  # the sandbox draws with Pillow, which is an extra
            problem = str(error)
        raise ConfigurationError(problem)


def make_fetcher(
    *, sandbox: bool, allow_loopback: bool, max_image_bytes: int = MAX_IMAGE_BYTES
) -> Fetcher:
    """Return what fetches the links of a gateway; the sandbox's answer without a network."""
    transport = None
    if sandbox:
        from langchain_qwen_image.sandbox import SandboxTransport

        transport = SandboxTransport()
    return Fetcher(
        max_image_bytes=max_image_bytes, allow_loopback=allow_loopback, transport=transport
    )


def default_source(image: GeneratedImage) -> ImageSaver:
    """Return what reads an image that is bound to no generator, such as one from an artifact."""
    return source_of(sandbox=(image.url or "").startswith(SANDBOX_URL + "/"))


@cache
def source_of(*, sandbox: bool = False, allow_loopback: bool = False) -> ImageSaver:
    """Return what reads the images of a gateway, and keeps none; one for all who ask."""
    return ImageSaver(make_fetcher(sandbox=sandbox, allow_loopback=allow_loopback))


@cache
def _last_resort() -> ImageStore:
    """Return a temporary folder, for an image that came inline and was given no home."""
    return open_store(tempfile.mkdtemp(prefix="qwen-image-"))


def _note(image: GeneratedImage, picture: ImageInfo) -> None:
    image.mime_type = picture.mime_type
    image.width, image.height = picture.width, picture.height
    image.size_bytes, image.sha256 = picture.size_bytes, picture.sha256


def _sidecar(image: GeneratedImage, result: ImageGenerationResult) -> dict[str, Any]:
    facts = result.model_dump(mode="json", exclude={"images"})
    return {"id": image.id, "url": without_query(image.url or ""), **facts}
