"""A bucket of an object store as a place for images: S3, Google Cloud Storage, Azure.

The laws are those of a folder. The sidecar takes its name first, by a conditional write, and the
image follows; nothing is ever overwritten or deleted. A kill in between leaves a sidecar without
an image, never an image without its sidecar.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from langchain_qwen_image.concurrency.threads import THREADS
from langchain_qwen_image.errors import DownloadError, FileAlreadyExistsError, SaveError
from langchain_qwen_image.storage.addresses import (
    bucket_address,
    is_bucket_address,
    parent_of,
)
from langchain_qwen_image.storage.bucket import Bucket, BucketError
from langchain_qwen_image.storage.image_store import (
    SUFFIXES,
    Fetch,
    ImageStore,
    SavedImage,
    names,
)
from langchain_qwen_image.storage.paths import file_name
from langchain_qwen_image.storage.sidecar import MAX_BYTES, Sidecar

if TYPE_CHECKING:
    from langchain_qwen_image.download.fetcher import ImageInfo

_JSON = "application/json"


class ObjectStore(ImageStore):
    """A prefix of a bucket; any number of machines may share it.

    The path of an image is its whole address, so that it can be read on any machine. An image goes
    through memory on its way there.
    """

    def __init__(self, address: str | os.PathLike[str]) -> None:
        """Take an address such as `s3://bucket/prefix`; nothing is opened.

        Raises:
            ConfigurationError: It cannot be one, or `obstore` is not installed.
        """
        self.bucket = Bucket(bucket_address(address))
        self.address: str = self.bucket.address

    def __repr__(self) -> str:
        return f"ObjectStore({self.address!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (ObjectStore, (self.address,))

    def _save(self, fetch: Fetch, first_name: str, sidecar: Sidecar) -> SavedImage:
        buffer = BytesIO()
        info = fetch(buffer)
        with _saving_into(self.address):
            for name in names(first_name):
                if self._publish(name, sidecar, info, buffer.getvalue()):
                    return SavedImage(f"{self.address}/{name}{info.suffix}", info)
        raise FileAlreadyExistsError(f"no free name was found in {self.address}")

    def read(self, path: str, *, max_bytes: int | None = None) -> bytes:
        """Read an image as `ImageStore.read` says, by its address or its name alone.

        Raises:
            DownloadError: The object store could not be asked.
        """
        with _reading(self.address):
            return self.bucket.get(self._name(path), max_bytes=max_bytes)

    def read_sidecar(self, path: str) -> Sidecar:
        """Return what `ImageStore.read_sidecar` says; raises as `read` does."""
        with _reading(self.address):
            return self._sidecar_of(self._name(path))

    def _all_names(self) -> Iterator[str]:
        with _reading(self.address):
            for one in self.bucket.listed():
                yield one.name

    def _path_of(self, name: str) -> str:
        return f"{self.address}/{name}"

    def sidecars(self) -> Iterator[tuple[str | None, Sidecar]]:
        """Yield as `ImageStore.sidecars` says; one that is damaged is left out.

        Raises:
            DownloadError: The object store could not be asked.
        """
        with _reading(self.address), ThreadPoolExecutor(THREADS) as pool:
            sizes = {one.name: one.size_bytes for one in self.bucket.listed()}
            noted = (name for name in sizes if name.endswith(".json"))
            for sidecar in pool.map(self._readable_sidecar, noted):
                if sidecar is not None:
                    name = sidecar.file or ""
                    is_image = PurePosixPath(name).suffix in SUFFIXES
                    is_whole = is_image and sizes.get(name) == sidecar.size_bytes
                    yield f"{self.address}/{name}" if is_whole else None, sidecar

    def key_of(self, path: str) -> str | None:
        """Return what `ImageStore.key_of` says."""
        try:
            return self._name(path)
        except ValueError:
            return None

    def locate(self, path: str) -> str | None:
        """Return what `ImageStore.locate` says, also of an image that was moved here.

        Raises:
            DownloadError: The object store could not be asked.
        """
        name = file_name(path)
        with _reading(self.address):
            return f"{self.address}/{name}" if self.bucket.has(name) else None

    def _publish(self, name: str, sidecar: Sidecar, info: "ImageInfo", content: bytes) -> bool:
        """Give an image and its sidecar a name, or say that it is taken.

        The same image may be saved by two machines at once, or its first write may have come
        through without an answer: it is there once.
        """
        image = f"{name}{info.suffix}"
        noted = sidecar.beside(name, info).to_json()
        if not self.bucket.put_new(f"{name}.json", noted, _JSON) and not self._is_sidecar(
            image, sidecar, info
        ):
            return False
        return self.bucket.put_new(image, content, info.mime_type) or self._holds(
            image, sidecar, info
        )

    def _name(self, path: str) -> str:
        """Return the name of an image below the prefix.

        Raises:
            ValueError: The path is of another place, or not one of an image.
        """
        name = file_name(path)
        is_here = not is_bucket_address(path) or parent_of(path) == self.address
        if not is_here or name not in (path, path.removeprefix(f"{self.address}/")):
            raise ValueError(f"{path!r} is not inside {self.address}")
        if PurePosixPath(name).suffix not in SUFFIXES:
            raise ValueError(f"{path!r} is not the path of an image")
        return name

    def _sidecar_of(self, name: str) -> Sidecar:
        beside = str(PurePosixPath(name).with_suffix(".json"))
        return Sidecar.from_json(self.bucket.get(beside, max_bytes=MAX_BYTES))

    def _readable_sidecar(self, name: str) -> Sidecar | None:
        with suppress(OSError, ValueError):
            return self._sidecar_of(name)
        return None


@contextmanager
def _saving_into(address: str) -> Iterator[None]:
    try:
        yield
        return
    except BucketError as error:
        problem = f"The image is paid for, but could not be saved in {address}: {error}."
    raise SaveError(problem)


@contextmanager
def _reading(address: str) -> Iterator[None]:
    try:
        yield
        return
    except BucketError as error:
        problem = f"{address} cannot be read: {error}."
    raise DownloadError(problem)
