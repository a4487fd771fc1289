"""What every place for pictures can do, and how a picture and its sidecar are named."""

import json
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, BinaryIO

from langchain_qwen_image._naming import stem
from langchain_qwen_image._threads import in_thread
from langchain_qwen_image.download import Picture

SUFFIXES = {".png", ".jpg", ".webp"}
_NAMES_TRIED = 100

Fetch = Callable[[BinaryIO], Picture]
"""Writes a picture into a file and says what it is; `Fetcher.fetch` with its link."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A picture that was kept: where, a path or a store's key, and what it is."""

    path: str
    picture: Picture


class ImageStore(ABC):
    """A place for pictures and their sidecars, for any number of threads and tasks at once."""

    _ascii_only = False

    def keep(
        self,
        fetch: Fetch,
        *,
        image_id: str,
        prompt: str,
        created_at: datetime,
        sidecar: Mapping[str, object],
    ) -> Kept:
        """Fetch a picture and keep it with its sidecar; on any exception nothing is left.

        Args:
            fetch: Writes the picture into the file that it is given.
            image_id: What the short id in the name is made from.
            prompt: What the slug in the name is made from.
            created_at: Its date begins the name.
            sidecar: What to note beside the picture's own facts, all of it JSON.

        Raises:
            OSError: the disk is full, or the folder cannot be written.
            Exception: what `fetch` raises, and what a store of the caller's raises.
        """
        return self._keep(
            fetch, stem(prompt, image_id, created_at, ascii_only=self._ascii_only), sidecar
        )

    async def akeep(
        self,
        fetch: Fetch,
        *,
        image_id: str,
        prompt: str,
        created_at: datetime,
        sidecar: Mapping[str, object],
    ) -> Kept:
        """Keep as `keep` does, beside the event loop; a cancelled keep goes on to its end."""
        return await in_thread(
            self.keep,
            fetch,
            image_id=image_id,
            prompt=prompt,
            created_at=created_at,
            sidecar=sidecar,
        )

    @abstractmethod
    def read(self, path: str) -> bytes:
        """Return a kept picture, by the path that `keep` gave.

        Raises:
            ValueError: the path is not one of a picture in this store.
            FileNotFoundError: there is no such picture.
        """

    @abstractmethod
    def read_sidecar(self, path: str) -> dict[str, Any]:
        """Return what was noted beside a kept picture; raises as `read` does."""

    @abstractmethod
    def find(self, image_id: str) -> Iterator[str]:
        """Yield the paths of pictures whose names carry a short id, mostly one."""

    @abstractmethod
    def locate(self, path: str) -> str | None:
        """Return the path that a kept picture has now, or None if it is not there any more."""

    async def aread(self, path: str) -> bytes:
        """Read as `read` does, beside the event loop."""
        return await in_thread(self.read, path)

    @abstractmethod
    def _keep(self, fetch: Fetch, first_name: str, sidecar: Mapping[str, object]) -> Kept:
        """Keep under the first name, or one that begins with it."""


def names(first: str) -> Iterator[str]:
    """Yield the first name, then some that begin with it and are free in all likelihood."""
    yield first
    for _ in range(_NAMES_TRIED):
        yield f"{first}-{secrets.token_hex(3)}"


def record_of(name: str, picture: Picture, sidecar: Mapping[str, object]) -> bytes:
    """Return the sidecar's bytes; a lone surrogate of a prompt becomes its JSON escape."""
    facts = asdict(picture)
    suffix = facts.pop("suffix")
    record = {"file": f"{name}{suffix}", **sidecar, **facts}
    text = json.dumps(record, ensure_ascii=False, indent=2)
    return f"{text}\n".encode(errors="backslashreplace")
