"""The file that the user named for an image."""

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import typer

from langchain_qwen_image.storage.atomic import finish, part_file, publish, sync_folder
from langchain_qwen_image.storage.opening import Fetch, ImageStore, SavedImage
from langchain_qwen_image.storage.paths import read_regular
from langchain_qwen_image.storage.sidecar import Sidecar


class OneFile(ImageStore):
    """Keeps an image at a path of the user's, without a sidecar.

    What comes after the first image, or finds the name taken meanwhile, goes beside it as
    `NAME-2`, `NAME-3`, …: it is paid for.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        """Take the absolute path; `overwrite` lets the first image replace what is there."""
        self._path = path
        self._overwrite = overwrite

    def _save(self, fetch: Fetch, first_name: str, sidecar: Sidecar) -> SavedImage:
        folder = self._path.parent
        with part_file(folder) as (part, file):
            picture = fetch(file)
            finish(file)
            saved = SavedImage(str(self._publish(part)), picture)
        sync_folder(folder)
        return saved

    def read(self, path: str, *, max_bytes: int | None = None) -> bytes:
        """Read an image that was saved."""
        return read_regular(Path(path), max_bytes=max_bytes)

    def read_sidecar(self, path: str) -> Sidecar:
        """Raise `FileNotFoundError`: nothing is noted beside the user's files."""
        raise FileNotFoundError(f"there is nothing noted beside {path!r}")

    def find(self, image_id: str) -> Iterator[str]:
        """Yield nothing: the user's names carry no ids."""
        return iter(())

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


def checked_output(output: Path, *, force: bool) -> Path:
    """Return the absolute path that an image may be written to.

    Raises:
        typer.BadParameter: It may not, or cannot.
    """
    path = Path(os.path.abspath(output))  # noqa: PTH100, no symlink is followed
    try:
        is_there = _is_there(path)
    except OSError as error:
        raise typer.BadParameter(f"{output} cannot be written: {error.strerror}.") from None
    if path.is_dir() or (is_there and not path.is_file() and not path.is_symlink()):
        raise typer.BadParameter(f"{output} is not a file.")
    if is_there and not force:
        raise typer.BadParameter(f"{output} is there already; --force overwrites it.")
    check_folder(path.parent)
    return path


def check_folder(folder: Path) -> None:
    """Check that an image can be written into a folder.

    Raises:
        typer.BadParameter: It cannot.
    """
    if not folder.is_dir():
        raise typer.BadParameter(f"There is no folder {folder}.")
    if not os.access(folder, os.W_OK):
        raise typer.BadParameter(f"The folder {folder} cannot be written.")


def _is_there(path: Path) -> bool:
    """Say whether anything has the name, also a symbolic link that leads nowhere."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True
