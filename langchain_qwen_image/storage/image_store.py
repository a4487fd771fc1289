"""What every place for images can do, and how an image and its sidecar are named."""

import json
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, BinaryIO

from langchain_qwen_image.download.fetcher import ImageInfo
from langchain_qwen_image.storage.filenames import stem

SUFFIXES = {".png", ".jpg", ".webp"}
_NAMES_TRIED = 100

Fetch = Callable[[BinaryIO], ImageInfo]
"""Writes an image into a file and says what it is; `Fetcher.fetch` with its link."""


@dataclass(frozen=True, slots=True)
class SavedImage:
    """An image that was saved: where, a path or a store's key, and what it is."""

    path: str
    info: ImageInfo


class ImageStore(ABC):
    """A place for images and their sidecars, for any number of threads and tasks at once."""

    _ascii_only = False

    def save(
        self,
        fetch: Fetch,
        *,
        image_id: str,
        prompt: str,
        created_at: datetime,
        sidecar: Mapping[str, object],
    ) -> SavedImage:
        """Fetch an image and save it with its sidecar; on any exception nothing is left.

        Args:
            fetch: Writes the image into the file that it is given.
            image_id: What the short id in the name is made from.
            prompt: What the slug in the name is made from.
            created_at: Its date begins the name.
            sidecar: What to note beside the image's own facts, all of it JSON.

        Raises:
            OSError: the disk is full, or the folder cannot be written.
            Exception: what `fetch` raises, and what a store of the caller's raises.
        """
        return self._save(
            fetch, stem(prompt, image_id, created_at, ascii_only=self._ascii_only), sidecar
        )

    @abstractmethod
    def read(self, path: str) -> bytes:
        """Return a saved image, by the path that `save` gave.

        Raises:
            ValueError: the path is not one of an image in this store.
            FileNotFoundError: there is no such image.
        """

    @abstractmethod
    def read_sidecar(self, path: str) -> dict[str, Any]:
        """Return what was noted beside a saved image; raises as `read` does."""

    @abstractmethod
    def find(self, image_id: str) -> Iterator[str]:
        """Yield the paths of images whose names carry a short id, mostly one."""

    @abstractmethod
    def locate(self, path: str) -> str | None:
        """Return the path that a saved image has now, or None if it is not there any more."""

    @abstractmethod
    def _save(self, fetch: Fetch, first_name: str, sidecar: Mapping[str, object]) -> SavedImage:
        """Save under the first name, or one that begins with it."""


def names(first: str) -> Iterator[str]:
    """Yield the first name, then some that begin with it and are free in all likelihood."""
    yield first
    for _ in range(_NAMES_TRIED):
        yield f"{first}-{secrets.token_hex(3)}"


def record_of(name: str, info: ImageInfo, sidecar: Mapping[str, object]) -> bytes:
    """Return the sidecar's bytes; a lone surrogate of a prompt becomes its JSON escape."""
    facts = asdict(info)
    suffix = facts.pop("suffix")
    record = {"file": f"{name}{suffix}", **sidecar, **facts}
    text = json.dumps(record, ensure_ascii=False, indent=2)
    return f"{text}\n".encode(errors="backslashreplace")
