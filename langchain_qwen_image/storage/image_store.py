"""What every place for images can do, and how an image and its sidecar are named."""

import hashlib
import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from langchain_qwen_image.storage.filenames import new_image_id, short, stem
from langchain_qwen_image.storage.sidecar import Sidecar

if TYPE_CHECKING:  # settings take a store, and load no HTTP library for it
    from langchain_qwen_image.download.fetcher import ImageInfo

SUFFIXES = {".png", ".jpg", ".webp"}
_NAMES_TRIED = 100

Fetch = Callable[[BinaryIO], "ImageInfo"]
"""Writes an image into a file and says what it is; `Fetcher.fetch` with its link."""


@dataclass(frozen=True, slots=True)
class SavedImage:
    """An image that was saved: where, a path or a store's key, and what it is."""

    path: str
    info: "ImageInfo"


class ImageStore(ABC):
    """A place for images and their sidecars, for any number of threads and tasks at once.

    Attributes:
        folder: The folder that the images are in, absolute; None if they are in none.
        address: Address of the place in an object store that they are in; None if in none.
    """

    folder: Path | None = None
    address: str | None = None
    _ascii_only = False

    def save(self, fetch: Fetch, sidecar: Sidecar) -> SavedImage:
        """Fetch an image and save it with its sidecar; on any exception nothing is left.

        Args:
            fetch: Writes the image into the file that it is given.
            sidecar: What is known of the image before its bytes came; the name is made from it.

        Raises:
            SaveError: the disk is full, or the folder cannot be written.
            Exception: what `fetch` raises, and what a store of the caller's raises.
        """
        return self._save(fetch, self._first_name(sidecar), sidecar)

    @abstractmethod
    def read(self, path: str, *, max_bytes: int | None = None) -> bytes:
        """Return a saved image, by the path that `save` gave.

        Raises:
            TooLargeError: it has more than `max_bytes` bytes.
            ValueError: the path is not one of an image in this store.
            FileNotFoundError: there is no such image.
        """

    def open(self, name: str) -> BinaryIO:
        """Open a saved image by its file name or key; raises as `read` does."""
        return BytesIO(self.read(name))

    @abstractmethod
    def read_sidecar(self, path: str) -> Sidecar:
        """Return what was noted beside a saved image; raises as `read` does."""

    def read_whole(self, path: str, *, max_bytes: int | None = None) -> tuple[Sidecar, bytes]:
        """Return a saved image and its sidecar, if its bytes are still those that were saved.

        Raises:
            TooLargeError: it has more than `max_bytes` bytes.
            ValueError: they are others, or `path` is not one of an image in this store.
            FileNotFoundError: there is no such image, or no sidecar beside it.
        """
        sidecar, content = self.read_sidecar(path), self.read(path, max_bytes=max_bytes)
        if sidecar.sha256 != hashlib.sha256(content).hexdigest():
            raise ValueError(f"{path!r} does not have the bytes that were saved")
        return sidecar, content

    def find_whole(self, image_id: str) -> tuple[str, Sidecar] | None:
        """Return path and sidecar of an image, by its id, whose bytes are still those saved.

        The whole store is walked through: where an account knows the image, it need not be.
        """
        return self.first_whole(image_id, self.find(image_id))

    def find_first_name(self, sidecar: Sidecar) -> tuple[str, Sidecar] | None:
        """Return what `find_whole` does of an image under the first name that `save` tries.

        Nothing is walked through: the name follows from prompt, id, day and the caller's own id.
        """
        with suppress(OSError, ValueError):
            beside = self.read_sidecar(f"{self._first_name(sidecar)}.png")  # any suffix will do
            path = self.locate(beside.file or "")
            if path is not None and sidecar.image_id is not None:
                return self.first_whole(sidecar.image_id, [path])
        return None

    def first_whole(self, image_id: str, paths: Iterable[str]) -> tuple[str, Sidecar] | None:
        """Return the first of some paths that has an image of that id, whole, and its sidecar."""
        for path in paths:
            with suppress(OSError, ValueError):  # no sidecar of ours, or no image
                sidecar, content = self.read_whole(path)
                if sidecar.image_id == image_id:
                    return path, replace(sidecar, size_bytes=len(content))
        return None

    def _is_sidecar(
        self, path: str | os.PathLike[str], sidecar: Sidecar, info: "ImageInfo"
    ) -> bool:
        """Say whether a sidecar that is there is that of the same image of the same call."""
        with suppress(OSError, ValueError):
            found = self.read_sidecar(os.fspath(path))
            is_same = found.call_id is not None and found.call_id == sidecar.call_id
            return is_same and (found.image_id, found.sha256) == (sidecar.image_id, info.sha256)
        return False

    def _holds(self, path: str | os.PathLike[str], sidecar: Sidecar, info: "ImageInfo") -> bool:
        """Say whether the same image is there, whole, as another process saved it."""
        with suppress(OSError, ValueError):
            found, _ = self.read_whole(os.fspath(path))
            return self._is_sidecar(path, sidecar, info) and found.sha256 == info.sha256
        return False

    def find(self, image_id: str) -> Iterator[str]:
        """Yield the paths of images whose names contain a short id, mostly one."""
        return (path for _, path in self.find_many([image_id]))

    def find_many(self, image_ids: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Yield ids with the paths of images whose names contain them, in one walk."""
        wanted = {short(one): one for one in image_ids}
        if not wanted:
            return
        for name in self._all_names():
            parts, suffix = os.path.splitext(name)  # noqa: PTH122 - of a string
            if suffix in SUFFIXES:
                for part in parts.split("-"):
                    if part in wanted:
                        yield wanted[part], self._path_of(name)

    def _all_names(self) -> Iterator[str]:
        """Yield the names of all that is in the store; none where it cannot be walked through."""
        return iter(())

    def _path_of(self, name: str) -> str:
        """Return the path of what has a name."""
        return name

    def _first_name(self, sidecar: Sidecar) -> str:
        return stem(
            sidecar.prompt or "",
            sidecar.image_id or new_image_id(),
            sidecar.created_at or datetime.now(UTC),
            item_id=sidecar.item_id,
            ascii_only=self._ascii_only,
        )

    def sidecars(self) -> Iterator[tuple[str | None, Sidecar]]:
        """Yield all sidecars, each with the path of its image, if that is there in full size.

        Where a store cannot be looked through there are none.
        """
        return iter(())

    def key_of(self, path: str) -> str | None:
        """Return the name that a saved image has in this store, with `/` between its parts.

        None for a path that leads out of it.
        """
        return path

    @abstractmethod
    def locate(self, path: str) -> str | None:
        """Return the path that a saved image has now, or None if it is not there any more."""

    @abstractmethod
    def _save(self, fetch: Fetch, first_name: str, sidecar: Sidecar) -> SavedImage:
        """Save under the first name, or one that begins with it."""


def names(first: str) -> Iterator[str]:
    """Yield the first name, then some that begin with it and are free in all likelihood."""
    yield first
    for _ in range(_NAMES_TRIED):
        yield f"{first}-{secrets.token_hex(3)}"
