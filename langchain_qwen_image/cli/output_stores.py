"""Where an image goes that the user gave a name of its own: a file, or standard output."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

from langchain_qwen_image.storage.atomic import finish, part_file, publish, sync_folder
from langchain_qwen_image.storage.opening import Fetch, FolderStore, ImageStore, SavedImage
from langchain_qwen_image.storage.paths import read_regular
from langchain_qwen_image.storage.sidecar import Sidecar


class OneFile(ImageStore):
    """Saves an image at a path of the user's, without a sidecar.

    What comes after the first image, or finds the name taken meanwhile, goes beside it as
    `NAME-2`, `NAME-3`, …: it is paid for.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        """Take the absolute path; `overwrite` lets the first image replace what is there."""
        self.folder = path.parent
        self._path = path
        self._overwrite = overwrite

    def _save(self, fetch: Fetch, first_name: str, sidecar: Sidecar) -> SavedImage:
        folder = self._path.parent
        with part_file(folder) as (part, file):
            info = fetch(file)
            finish(file)
            saved = SavedImage(str(self._publish(part)), info)
        sync_folder(folder)
        return saved

    def read(self, path: str, *, max_bytes: int | None = None) -> bytes:
        """Read an image that was saved."""
        return read_regular(Path(path), max_bytes=max_bytes)

    def read_sidecar(self, path: str) -> Sidecar:
        """Raise `FileNotFoundError`: nothing is noted beside the user's files."""
        raise FileNotFoundError(f"there is no .json file next to {path!r}")

    def locate(self, path: str) -> str | None:
        """Return the path if the image is there."""
        return path if Path(path).is_file() else None

    def _publish(self, part: Path) -> Path:
        if self._overwrite:
            self._overwrite = False
            return part.replace(self._path)
        names = self._names()
        while True:
            path = next(names)
            with suppress(FileExistsError):
                publish(part, path)
                return path

    def _names(self) -> Iterator[Path]:
        yield self._path
        for number in count(2):
            yield self._path.with_stem(f"{self._path.stem}-{number}")


class StandardOutput(ImageStore):
    """Writes an image's bytes to standard output, whole; a second image goes into a folder."""

    def __init__(self, folder: Path) -> None:
        """Take the folder for what else is paid for."""
        self.folder = folder
        self._others = FolderStore(folder)
        self._is_used = False

    def _save(self, fetch: Fetch, first_name: str, sidecar: Sidecar) -> SavedImage:
        if self._is_used:
            return self._others._save(fetch, first_name, sidecar)
        with tempfile.TemporaryFile() as file:
            info = fetch(file)
            file.seek(0)
            self._is_used = True
            try:
                shutil.copyfileobj(file, sys.stdout.buffer)
                sys.stdout.buffer.flush()
            except BrokenPipeError:  # who reads has gone; the interpreter flushes at its end too
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise
        return SavedImage("-", info)

    def read(self, path: str, *, max_bytes: int | None = None) -> bytes:
        """Raise `FileNotFoundError`: what was written to standard output is gone."""
        raise FileNotFoundError("the image was written to standard output")

    def read_sidecar(self, path: str) -> Sidecar:
        """Raise `FileNotFoundError`: there is none."""
        raise FileNotFoundError("the image was written to standard output")

    def locate(self, path: str) -> str | None:
        """Return None."""
        return None
