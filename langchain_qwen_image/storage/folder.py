"""A folder of images, each beside a `.json` of the same name.

The sidecar takes its name first and so reserves it; the image follows. A kill in between leaves
a sidecar without an image and a hidden `.part`, never an image without its sidecar.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from langchain_qwen_image.download.fetcher import ImageInfo
from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.storage.atomic import finish, part_file, publish, sweep, sync_folder
from langchain_qwen_image.storage.filenames import short
from langchain_qwen_image.storage.image_store import (
    SUFFIXES,
    Fetch,
    ImageStore,
    SavedImage,
    names,
    record_of,
)

_SWEEP_SECONDS = 3600.0


class FolderStore(ImageStore):
    """A folder, created when the first image comes; any number of processes may share it.

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

    def _save(self, fetch: Fetch, first_name: str, sidecar: Mapping[str, object]) -> SavedImage:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        with part_file(self.folder) as (part, file):
            info = fetch(file)
            finish(file)
            for name in names(first_name):
                if self._publish(part, name, record_of(name, info, sidecar), info):
                    return SavedImage(str(self.folder / f"{name}{info.suffix}"), info)
        raise FileExistsError(f"no free name was found in {self.folder}")

    def read(self, path: str) -> bytes:
        """Read an image as `ImageStore.read` says; a bare file name is looked up in the folder."""
        return self.inside(path).read_bytes()

    def read_sidecar(self, path: str) -> dict[str, Any]:
        """Return what `ImageStore.read_sidecar` says."""
        facts: dict[str, Any] = json.loads(self.inside(path).with_suffix(".json").read_bytes())
        return facts

    def find(self, image_id: str) -> Iterator[str]:
        """Yield as `ImageStore.find` says."""
        named = self.folder.glob(f"*-{short(image_id)}*")
        return (str(path) for path in named if path.suffix in SUFFIXES)

    def locate(self, path: str) -> str | None:
        """Return what `ImageStore.locate` says, also when the folder was moved."""
        here = self.folder / Path(path).name
        return str(here) if here.is_file() else None

    def inside(self, path: str | os.PathLike[str]) -> Path:
        """Return the real path of an image in this folder.

        Raises:
            ValueError: the path leads out of the folder, or not to an image.
        """
        real = Path(os.path.realpath(self.folder / path))
        if not real.is_relative_to(os.path.realpath(self.folder)):
            raise ValueError(f"{os.fspath(path)!r} is not inside {self.folder}")
        if real.suffix not in SUFFIXES:
            raise ValueError(f"{os.fspath(path)!r} is not the path of an image")
        return real

    def _publish(self, part: Path, name: str, record: bytes, info: ImageInfo) -> bool:
        """Give an image and its sidecar a name, or say that it is taken."""
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
            publish(part, self.folder / f"{name}{info.suffix}")
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
