"""Keeping pictures: each with its sidecar, whole or not at all, never over another one.

In a folder a picture lies beside a `.json` of the same name: what was asked for, what it cost, and
what the picture's bytes say. The sidecar takes its name first and so reserves it; the picture
follows. A kill in between leaves a sidecar without a picture and a hidden `.part`, never a picture
without its sidecar.
"""

import json
import os
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from langchain_core.stores import BaseStore, ByteStore

from langchain_qwen_image._atomic import finish, part_file, publish, sweep, sync_folder
from langchain_qwen_image._naming import short, stem
from langchain_qwen_image._threads import in_thread
from langchain_qwen_image.download import Picture
from langchain_qwen_image.errors import ConfigurationError

__all__ = ["FolderStore", "ImageStore", "Kept", "KeyStore", "open_store"]

_SUFFIXES = {".png", ".jpg", ".webp"}
_SWEEP_SECONDS = 3600.0
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


class FolderStore(ImageStore):
    """A folder, created when the first picture comes; any number of processes may share it.

    Paths are absolute, so that they hold when the working directory changes.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Take a folder.

        Raises:
            ConfigurationError: there is something else in its place.
        """
        self.folder = Path(os.path.abspath(Path(folder).expanduser()))  # noqa: PTH100, no symlink is followed
        if self.folder.exists() and not self.folder.is_dir():
            raise ConfigurationError(f"save_to must be a folder; {self.folder} is a file.")
        self._sweep_at = 0.0

    def __repr__(self) -> str:
        return f"FolderStore({str(self.folder)!r})"

    def _keep(self, fetch: Fetch, first_name: str, sidecar: Mapping[str, object]) -> Kept:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        with part_file(self.folder) as (part, file):
            picture = fetch(file)
            finish(file)
            for name in _names(first_name):
                if self._publish(part, name, _record(name, picture, sidecar), picture):
                    return Kept(str(self.folder / f"{name}{picture.suffix}"), picture)
        raise FileExistsError(f"no free name was found in {self.folder}")

    def read(self, path: str) -> bytes:
        """Read a picture as `ImageStore.read` says; a bare file name is looked up in the folder."""
        return self.inside(path).read_bytes()

    def read_sidecar(self, path: str) -> dict[str, Any]:
        """Return what `ImageStore.read_sidecar` says."""
        facts: dict[str, Any] = json.loads(self.inside(path).with_suffix(".json").read_bytes())
        return facts

    def find(self, image_id: str) -> Iterator[str]:
        """Yield as `ImageStore.find` says."""
        named = self.folder.glob(f"*-{short(image_id)}*")
        return (str(path) for path in named if path.suffix in _SUFFIXES)

    def locate(self, path: str) -> str | None:
        """Return what `ImageStore.locate` says, also when the folder was moved."""
        here = self.folder / Path(path).name
        return str(here) if here.is_file() else None

    def inside(self, path: str | os.PathLike[str]) -> Path:
        """Return the real path of a picture in this folder.

        Raises:
            ValueError: the path leads out of the folder, or not to a picture.
        """
        real = Path(os.path.realpath(self.folder / path))
        if not real.is_relative_to(os.path.realpath(self.folder)):
            raise ValueError(f"{os.fspath(path)!r} is not inside {self.folder}")
        if real.suffix not in _SUFFIXES:
            raise ValueError(f"{os.fspath(path)!r} is not the path of a picture")
        return real

    def _publish(self, part: Path, name: str, record: bytes, picture: Picture) -> bool:
        """Give a picture and its sidecar a name, or say that it is taken."""
        beside = self.folder / f"{name}.json"
        with part_file(self.folder) as (record_part, file):
            file.write(record)
            finish(file)
            try:
                publish(record_part, beside)
            except FileExistsError:
                return False
        try:
            sync_folder(self.folder)
            publish(part, self.folder / f"{name}{picture.suffix}")
        except FileExistsError:
            beside.unlink(missing_ok=True)
            return False
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        sync_folder(self.folder)
        return True

    def _sweep(self) -> None:
        if time.monotonic() >= self._sweep_at:
            self._sweep_at = time.monotonic() + _SWEEP_SECONDS
            sweep(self.folder)


class KeyStore(ImageStore):
    """A `ByteStore` of the caller's; sidecar and picture go there in one `mset`, in this order.

    Keys are like file names, of ASCII characters only: some stores refuse others.
    """

    _ascii_only = True

    def __init__(self, store: ByteStore) -> None:
        """Take the store; a picture goes through memory on its way there."""
        self._store = store

    def __repr__(self) -> str:
        return f"KeyStore({type(self._store).__name__})"

    def _keep(self, fetch: Fetch, first_name: str, sidecar: Mapping[str, object]) -> Kept:
        buffer = BytesIO()
        picture = fetch(buffer)
        for name in _names(first_name):
            keys = [f"{name}.json", f"{name}{picture.suffix}"]
            if any(value is not None for value in self._store.mget(keys)):
                continue
            values = [_record(name, picture, sidecar), buffer.getvalue()]
            self._store.mset(list(zip(keys, values, strict=True)))
            return Kept(keys[1], picture)
        raise FileExistsError("no free key was found in the store")

    def read(self, path: str) -> bytes:
        """Read a picture as `ImageStore.read` says."""
        if Path(path).suffix not in _SUFFIXES:
            raise ValueError(f"{path!r} is not the key of a picture")
        value = self._store.mget([path])[0]
        if value is None:
            raise FileNotFoundError(f"there is no {path!r} in the store")
        return value

    def read_sidecar(self, path: str) -> dict[str, Any]:
        """Return what `ImageStore.read_sidecar` says."""
        value = self._store.mget([str(Path(path).with_suffix(".json"))])[0]
        if value is None:
            raise FileNotFoundError(f"there is nothing noted beside {path!r} in the store")
        facts: dict[str, Any] = json.loads(value)
        return facts

    def find(self, image_id: str) -> Iterator[str]:
        """Yield as `ImageStore.find` says; every key of the store is looked at."""
        name = f"-{short(image_id)}"
        return (
            key for key in self._store.yield_keys() if name in key and Path(key).suffix in _SUFFIXES
        )

    def locate(self, path: str) -> str | None:
        """Return what `ImageStore.locate` says, judged by the sidecar, which is short."""
        return path if self._store.mget([str(Path(path).with_suffix(".json"))])[0] else None


def open_store(save_to: str | os.PathLike[str] | ByteStore) -> ImageStore:
    """Return the store for a folder's path or a `ByteStore`.

    Raises:
        ConfigurationError: it is neither, or a file stands where the folder should be.
    """
    if isinstance(save_to, BaseStore):
        return KeyStore(save_to)
    if isinstance(save_to, str | os.PathLike) and os.fspath(save_to):
        return FolderStore(save_to)
    raise ConfigurationError(
        f"save_to must be a folder's path or a ByteStore, not {type(save_to).__name__}."
    )


def _names(first: str) -> Iterator[str]:
    yield first
    for _ in range(_NAMES_TRIED):
        yield f"{first}-{secrets.token_hex(3)}"


def _record(name: str, picture: Picture, sidecar: Mapping[str, object]) -> bytes:
    """Return the sidecar's bytes; a lone surrogate of a prompt becomes its JSON escape."""
    facts = asdict(picture)
    suffix = facts.pop("suffix")
    record = {"file": f"{name}{suffix}", **sidecar, **facts}
    text = json.dumps(record, ensure_ascii=False, indent=2)
    return f"{text}\n".encode(errors="backslashreplace")
