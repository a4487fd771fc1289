"""Where a gallery's images are, and its page: a folder, or a place in an object store."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, NamedTuple, Protocol, TypeVar

from langchain_qwen_image.concurrency.threads import THREADS
from langchain_qwen_image.errors import ConfigurationError, DownloadError
from langchain_qwen_image.rendering.thumbnail import MAX_BYTES as MAX_IMAGE_BYTES
from langchain_qwen_image.storage.addresses import bucket_address, is_bucket_address
from langchain_qwen_image.storage.atomic import finish, part_file, publish, sync_folder
from langchain_qwen_image.storage.bucket import Bucket, BucketError
from langchain_qwen_image.storage.paths import read_regular
from langchain_qwen_image.storage.sidecar import MAX_BYTES

__all__ = ["GENERATOR", "File", "FolderPlace", "Place", "place_of"]

GENERATOR = '<meta name="generator" content="langchain-qwen-image gallery'
"""What our pages are known by, within their first lines."""
_NAME = "index.html"
_HTML = "text/html; charset=utf-8"
_HEAD_BYTES = 1024
_A = TypeVar("_A")
_B = TypeVar("_B")


class File(NamedTuple):
    """What a listing says of a file: its size in bytes, and when it was written last."""

    size_bytes: int
    modified_ns: int


class Place(Protocol):
    """A place with images, and perhaps a page of theirs.

    Attributes:
        folder: The folder, if it is one.
        title: What the page is called by default.
        page: Where the page is: a path or an address.
    """

    folder: Path | None
    title: str
    page: Path | str

    def files(self) -> dict[str, File]:
        """Return the files of the place; folders below it, links and hidden files are left out."""

    def sidecar(self, name: str) -> bytes:
        """Return the bytes of a sidecar, or raise `OSError` or `ValueError`."""

    def image(self, name: str) -> bytes | Path:
        """Return an image: its bytes, or where they are."""

    def each(self, work: Callable[[_A], _B], items: Iterable[_A]) -> Iterator[_B]:
        """Do something that reads for each of some items, and yield in their order."""

    def earlier_page(self) -> BinaryIO | None:
        """Open the page that is there, if there is one."""

    def check(self, *, force: bool) -> None:
        """Raise `ConfigurationError` if the page's name has something else, unless `force`."""

    def new_page(self, *, force: bool) -> AbstractContextManager[BinaryIO]:
        """Open a new page, which takes its name when all is written."""


def place_of(given: str | os.PathLike[str]) -> Place:
    """Return the place that a folder's path or an address means.

    Raises:
        ConfigurationError: There is no such folder, or the address cannot be used.
    """
    if is_bucket_address(given):
        return BucketPlace(bucket_address(given, "DIR"))
    return FolderPlace(Path(given).expanduser())


class FolderPlace:
    """A folder of this machine."""

    def __init__(self, folder: Path) -> None:
        """Take the folder.

        Raises:
            ConfigurationError: There is none.
        """
        if not folder.is_dir():
            raise ConfigurationError(f"There is no folder {folder}.")
        self.folder: Path | None = folder
        self.title = folder.resolve().name
        self.page: Path | str = folder / _NAME
        self._folder, self._target = folder, folder / _NAME

    def files(self) -> dict[str, File]:
        """Return what `Place.files` says."""
        files = {}
        with os.scandir(self._folder) as found:
            for one in found:
                if not one.name.startswith(".") and one.is_file(follow_symlinks=False):
                    with suppress(FileNotFoundError):  # deleted just now
                        stat = one.stat(follow_symlinks=False)
                        files[one.name] = File(stat.st_size, stat.st_mtime_ns)
        return files

    def sidecar(self, name: str) -> bytes:
        """Return what `Place.sidecar` says."""
        return read_regular(self._folder / name, max_bytes=MAX_BYTES)

    def image(self, name: str) -> bytes | Path:
        """Return the path."""
        return self._folder / name

    def each(self, work: Callable[[_A], _B], items: Iterable[_A]) -> Iterator[_B]:
        """Do one after the other."""
        return map(work, items)

    def earlier_page(self) -> BinaryIO | None:
        """Open what has the page's name."""
        with suppress(OSError):
            return self._target.open("rb")
        return None

    def check(self, *, force: bool) -> None:
        """Do what `Place.check` says."""
        if self._target.is_symlink() or self._target.is_file():
            if not force and not self._is_gallery():
                raise _not_a_gallery(self._target)
        elif self._target.exists():
            raise ConfigurationError(f"{self._target} is not a file.")

    @contextmanager
    def new_page(self, *, force: bool) -> Iterator[BinaryIO]:
        """Open a hidden file in the folder."""
        with part_file(self._folder) as (part, file):
            yield file
            finish(file)
            try:
                publish(part, self._target)
            except FileExistsError:  # an earlier page, or what somebody has put there meanwhile
                self.check(force=force)
                part.replace(self._target)
        sync_folder(self._folder)

    def _is_gallery(self) -> bool:
        if self._target.is_symlink():
            return False
        with self._target.open("rb") as file:
            return GENERATOR.encode() in file.read(_HEAD_BYTES)


class BucketPlace:
    """A place in an object store; what is slow there is done by some threads."""

    def __init__(self, address: str) -> None:
        """Take its address.

        Raises:
            ConfigurationError: `obstore` is not installed.
        """
        self.folder: Path | None = None
        self.title = address.rpartition("/")[2]
        self.page: Path | str = f"{address}/{_NAME}"
        self._bucket = Bucket(address)

    def files(self) -> dict[str, File]:
        """Return what `Place.files` says."""
        with _asking(self._bucket):
            return {
                one.name: File(one.size_bytes, int(one.modified_at.timestamp() * 1e9))
                for one in self._bucket.listed()
            }

    def sidecar(self, name: str) -> bytes:
        """Return what `Place.sidecar` says."""
        with _asking(self._bucket):
            return self._bucket.get(name, max_bytes=MAX_BYTES)

    def image(self, name: str) -> bytes | Path:
        """Return the bytes."""
        with _asking(self._bucket):
            return self._bucket.get(name, max_bytes=MAX_IMAGE_BYTES)

    def each(self, work: Callable[[_A], _B], items: Iterable[_A]) -> Iterator[_B]:
        """Do some at a time."""
        with ThreadPoolExecutor(THREADS) as pool:
            yield from pool.map(work, items)

    def earlier_page(self) -> BinaryIO | None:
        """Copy the page into a temporary file."""
        try:
            with _asking(self._bucket):
                content = self._bucket.get(_NAME)
        except FileNotFoundError:
            return None
        file = TemporaryFile()  # noqa: SIM115 - closed by who asked for it
        file.write(content)
        file.seek(0)
        return file

    def check(self, *, force: bool) -> None:
        """Do what `Place.check` says."""
        with _asking(self._bucket):
            head = self._bucket.start_of(_NAME, _HEAD_BYTES)
        if head is not None and not force and GENERATOR.encode() not in head:
            raise _not_a_gallery(self.page)

    @contextmanager
    def new_page(self, *, force: bool) -> Iterator[BinaryIO]:
        """Open a temporary file."""
        with TemporaryFile() as file:
            yield file
            self.check(force=force)
            file.seek(0)
            with _asking(self._bucket):
                self._bucket.put(_NAME, file, _HTML)


@contextmanager
def _asking(bucket: Bucket) -> Iterator[None]:
    try:
        yield
        return
    except BucketError as error:
        problem = f"The gallery in {bucket.address} could not be made: {error}."
    raise DownloadError(problem)


def _not_a_gallery(page: Path | str) -> ConfigurationError:
    return ConfigurationError(
        f"{page} already exists and is not a gallery; --force (force=True) overwrites it."
    )
