"""A folder of images, each beside a `.json` of the same name.

The sidecar takes its name first and so reserves it; the image follows. A kill in between leaves
a sidecar without an image and a hidden `.part`, never an image without its sidecar.
"""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, BinaryIO

from langchain_qwen_image.errors import FileAlreadyExistsError
from langchain_qwen_image.storage.atomic import finish, part_file, publish, sweep, sync_folder
from langchain_qwen_image.storage.failures import saving_into
from langchain_qwen_image.storage.filenames import OUR_STEM
from langchain_qwen_image.storage.image_store import (
    SUFFIXES,
    Fetch,
    ImageStore,
    SavedImage,
    names,
)
from langchain_qwen_image.storage.paths import checked_folder, open_regular, read_regular
from langchain_qwen_image.storage.sidecar import MAX_BYTES, Sidecar

if TYPE_CHECKING:
    from langchain_qwen_image.download.fetcher import ImageInfo

_SWEEP_SECONDS = 3600.0
_MOST_READ = 100


class FolderStore(ImageStore):
    """A folder, created when the first image comes; any number of processes may share it.

    Paths are absolute, so that they hold when the working directory changes.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Take a folder.

        Raises:
            ConfigurationError: it cannot be one; `checked_folder` says when.
        """
        self.folder: Path = checked_folder(folder)
        self._sweep_at = 0.0

    def __repr__(self) -> str:
        return f"FolderStore({str(self.folder)!r})"

    def _save(self, fetch: Fetch, first_name: str, sidecar: Sidecar) -> SavedImage:
        with saving_into(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._sweep()
            with part_file(self.folder) as (part, file):
                info = fetch(file)
                finish(file)
                for name in names(first_name):
                    if self._publish(part, name, sidecar, info):
                        return SavedImage(str(self.folder / f"{name}{info.suffix}"), info)
        raise FileAlreadyExistsError(f"no free name was found in {self.folder}")

    def read(self, path: str, *, max_bytes: int | None = None) -> bytes:
        """Read an image as `ImageStore.read` says; a bare file name is looked up in the folder."""
        return read_regular(self.inside(path), max_bytes=max_bytes)

    def open(self, name: str) -> BinaryIO:
        """Open as `ImageStore.open` says: a file of the folder itself, and no symbolic link."""
        if Path(name).name != name or Path(name).suffix not in SUFFIXES:
            raise ValueError(f"{name!r} is not the name of an image")
        return open_regular(self.folder / name, follows=False)

    def read_sidecar(self, path: str) -> Sidecar:
        """Return what `ImageStore.read_sidecar` says."""
        beside = self.inside(path).with_suffix(".json")
        return Sidecar.from_json(read_regular(beside, max_bytes=MAX_BYTES))

    def _all_names(self) -> Iterator[str]:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(self.folder) as entries:
            for entry in entries:
                yield entry.name

    def _path_of(self, name: str) -> str:
        return str(self.folder / name)

    def sidecars(self) -> Iterator[tuple[str | None, Sidecar]]:
        """Yield as `ImageStore.sidecars` says; what is no regular file, or damaged, is left out."""
        with suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.endswith(".json") and entry.is_file(follow_symlinks=False):
                    with suppress(OSError, ValueError):
                        content = read_regular(Path(entry.path), max_bytes=MAX_BYTES)
                        sidecar = Sidecar.from_json(content)
                        yield self._beside(sidecar), sidecar

    def key_of(self, path: str) -> str | None:
        """Return what `ImageStore.key_of` says."""
        whole = self.folder / path
        if ".." in whole.parts or not whole.is_relative_to(self.folder):
            return None
        return whole.relative_to(self.folder).as_posix()

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

    def _publish(self, part: Path, name: str, sidecar: Sidecar, info: "ImageInfo") -> bool:
        """Give an image and its sidecar a name, or say that it is taken.

        The same image may be saved by two processes at once: it is there once. A sidecar whose
        image did not follow gets it now.
        """
        beside, image = self.folder / f"{name}.json", self.folder / f"{name}{info.suffix}"
        is_first = True
        with part_file(self.folder) as (sidecar_part, file):
            file.write(sidecar.beside(name, info).to_json())
            finish(file)
            try:
                publish(sidecar_part, beside)
            except FileExistsError:
                is_first = False
                if not self._is_sidecar(image, sidecar, info):
                    return False
        try:
            sync_folder(self.folder)
            publish(part, image)
        except FileExistsError:
            if self._holds(image, sidecar, info):
                return True
            if is_first:
                beside.unlink(missing_ok=True)
            return False
        except BaseException:
            if is_first and not image.exists():
                beside.unlink(missing_ok=True)
            raise
        sync_folder(self.folder)
        return True

    def _beside(self, sidecar: Sidecar) -> str | None:
        """Return the path of a sidecar's image if it is there in full size."""
        name = sidecar.file or ""
        path = self.folder / name
        if path.name != name or path.suffix not in SUFFIXES:
            return None
        try:
            found = path.lstat()
        except (OSError, ValueError):
            return None
        return str(path) if S_ISREG(found.st_mode) and found.st_size == sidecar.size_bytes else None

    def _sweep(self) -> None:
        if time.monotonic() >= self._sweep_at:
            self._sweep_at = time.monotonic() + _SWEEP_SECONDS
            sweep(self.folder)


def has_paid_images(folder: Path) -> bool:
    """Say whether one of a folder's first sidecars names a call that was paid for."""
    read = 0
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            name, suffix = os.path.splitext(entry.name)  # noqa: PTH122 - of a string
            if suffix != ".json" or not OUR_STEM.fullmatch(name):
                continue
            with suppress(OSError, ValueError):
                found = Sidecar.from_json(read_regular(Path(entry.path), max_bytes=MAX_BYTES))
                if found.call_id is not None and not found.sandbox:
                    return True
            read += 1
            if read == _MOST_READ:
                break
    return False
