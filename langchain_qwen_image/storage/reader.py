"""Reads images back: from where they are saved, else from their links."""

import logging
from collections.abc import Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self

from langchain_qwen_image.concurrency.threads import in_thread
from langchain_qwen_image.defaults import SANDBOX_URL
from langchain_qwen_image.download.callers_client import AnyClient
from langchain_qwen_image.download.fetcher import MAX_IMAGE_BYTES, Fetcher, ImageInfo
from langchain_qwen_image.errors import DownloadError
from langchain_qwen_image.storage.addresses import is_bucket_address, parent_of
from langchain_qwen_image.storage.image_store import ImageStore
from langchain_qwen_image.storage.object_store import ObjectStore
from langchain_qwen_image.storage.paths import read_regular
from langchain_qwen_image.wire.links import is_inline

_KEY = (
    " It is the key of an image in its store: give the result, or the artifact, to fetch(…) of a "
    "tool or generator with the same save_to."
)

_log = logging.getLogger("langchain_qwen_image")


class ReadableImage(Protocol):
    """The shape of an image that can be read; `GeneratedImage` has it."""

    id: str
    url: str | None
    path: str | None
    mime_type: str | None
    width: int | None
    height: int | None
    size_bytes: int | None
    sha256: str | None


class ImageReader:
    """Reads saved images from their store, and others from their links.

    The async twin runs the same code in one of a few threads: an image is large, and the event
    loop must not wait for a disk.
    """

    def __init__(self, fetcher: Fetcher, store: ImageStore | None = None) -> None:
        """Take what fetches links, and the store where images are saved, if any."""
        self._fetcher = fetcher
        self._store = store

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def of_another(self, store: ImageStore) -> Self:
        """Return one like it that reads from another store."""
        return type(self)(self._fetcher, store)

    @property
    def store(self) -> ImageStore | None:
        """Where images are saved, if anywhere."""
        return self._store

    def read(self, image: ReadableImage) -> bytes:
        """Return an image's bytes: from where it is saved, else from its link.

        Raises:
            DownloadError: It is not there any more, or could not be fetched.
        """
        if image.path is None:
            return self._read_link(image)
        try:
            return self._read_saved(image.path)
        except (OSError, ValueError, DownloadError) as error:
            is_place = Path(image.path).is_absolute() or is_bucket_address(image.path)
            hint = _KEY if self._store is None and not is_place else ""
            problem = f"{image.path} cannot be read: {str(error).rstrip('.')}.{hint}"
        try:
            return self._read_link(image)
        except DownloadError as error:
            raise DownloadError(f"{problem} {error}") from None

    async def aread(self, image: ReadableImage) -> bytes:
        """Async twin of `read`."""
        return await in_thread(self.read, image)

    def cached_bytes(self, image: ReadableImage) -> bytes | None:
        """Return an image's bytes if it is saved, came inline or is the sandbox's; else None."""
        link = image.url or ""
        is_free = is_inline(link) or link.startswith(SANDBOX_URL + "/")
        try:
            if image.path is not None:
                return self._read_saved(image.path)
            return self._fetched(image)[1] if is_free else None
        except Exception as error:  # a notebook cell ends well, whatever a store says
            _log.debug("image %s cannot be shown: %s", image.id, error)
            return None

    def probe(self, url: str) -> str | None:
        """Return the media type that the first bytes behind a link have; None: no image.

        Raises:
            DownloadError: It could not be looked at now, or was not safe to fetch.
        """
        return self._fetcher.probe(url)

    def close(self) -> None:
        """Close the connections; a later fetch opens new ones."""
        self._fetcher.close()

    def _read_saved(self, path: str) -> bytes:
        if self._store is not None:
            return self._store.read(path)
        if is_bucket_address(path):
            return ObjectStore(parent_of(path)).read(path)
        return read_regular(Path(path))

    def _read_link(self, image: ReadableImage) -> bytes:
        info, content = self._fetched(image)
        note_info(image, info)
        return content

    def _fetched(self, image: ReadableImage) -> tuple[ImageInfo, bytes]:
        into = BytesIO()
        return self._fetch(image, into), into.getvalue()

    def _fetch(self, image: ReadableImage, into: BinaryIO) -> ImageInfo:
        if not image.url:
            raise DownloadError(
                f"Image {image.id} has no link any more. Check its file and the account."
            )
        return self._fetcher.fetch(image.url, into)


def note_info(image: ReadableImage, info: ImageInfo) -> None:
    """Note on an image what its bytes say of it."""
    image.mime_type = info.mime_type
    image.width, image.height = info.width, info.height
    image.size_bytes, image.sha256 = info.size_bytes, info.sha256


def make_fetcher(
    *,
    sandbox: bool,
    allow_loopback: bool,
    loopback_port: int | None = None,
    gateway: str = "",
    clients: Sequence[AnyClient | None] = (),
    max_image_bytes: int = MAX_IMAGE_BYTES,
) -> Fetcher:
    """Return what fetches the links of a gateway; the sandbox's answer without a network.

    `clients` are the caller's own, for their certificates and proxies.
    """
    transport = None
    if sandbox:
        from langchain_qwen_image.sandbox import SandboxTransport

        transport = SandboxTransport()
    return Fetcher(
        max_image_bytes=max_image_bytes,
        allow_loopback=allow_loopback,
        loopback_port=loopback_port,
        gateway=gateway,
        clients=[client for client in clients if client is not None],
        transport=transport,
    )


def default_reader(image: ReadableImage) -> ImageReader:
    """Return what reads an image that is bound to no generator, such as one from an artifact."""
    return reader_of(sandbox=(image.url or "").startswith(SANDBOX_URL + "/"))


@cache
def reader_of(*, sandbox: bool = False, allow_loopback: bool = False) -> ImageReader:
    """Return what reads the images of a gateway, one reader for all callers."""
    return ImageReader(make_fetcher(sandbox=sandbox, allow_loopback=allow_loopback))
