"""Where the user wants an image: a file, a folder, or standard output."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

from langchain_qwen_image.cli.terminal import UsageError
from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.storage.addresses import scheme_of
from langchain_qwen_image.storage.atomic import finish, part_file, publish, sync_folder
from langchain_qwen_image.storage.opening import Fetch, FolderStore, ImageStore, SavedImage
from langchain_qwen_image.storage.paths import checked_folder, nearest_existing, read_regular
from langchain_qwen_image.storage.sidecar import Sidecar


class Output:
    """The place that the user named, checked before anything is paid for.

    Attributes:
        save_to: What the generator takes.
        folder: Where the ledger is.
        is_stdout: Whether standard output is for the image's bytes alone.
    """

    def __init__(self, output: str | None, *, force: bool, as_json: bool) -> None:
        """Take what was given with `-o`.

        Args:
            output: A file, a folder, `-`, or None for the current folder.
            force: Let a file be overwritten.
            as_json: Whether standard output is wanted for something else.

        Raises:
            UsageError: It cannot be written.
        """
        self.is_stdout = output == "-"
        self.folder = Path.cwd()
        self.save_to: Path | ImageStore = self.folder
        if output is None:
            check_folder(self.folder)
        elif self.is_stdout:
            _check_stdout(as_json=as_json)
            check_folder(self.folder)
            self.save_to = StandardOutput(self.folder)
        elif is_folder(output):
            self.save_to = self.folder = checked_new_folder(output)
        else:
            path = checked_output(output, force=force)
            self.folder = path.parent
            self.save_to = OneFile(path, overwrite=force)


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

    def find(self, image_id: str) -> Iterator[str]:
        """Yield nothing."""
        return iter(())

    def locate(self, path: str) -> str | None:
        """Return None."""
        return None


def is_folder(output: str) -> bool:
    """Say whether a path that the user gave is a folder's: one that exists, or ends in `/`."""
    ends = ("/", os.sep, os.altsep or "/")
    return output.endswith(ends) or Path(output).is_dir()


def checked_new_folder(output: str, option: str = "-o") -> Path:
    """Return the absolute path of a folder, which need not exist yet.

    Raises:
        UsageError: It cannot be written, or is none.
    """
    _check_path(output, option)
    try:
        folder = checked_folder(output, option)
    except ConfigurationError as error:
        raise UsageError(str(error)) from None
    check_folder(nearest_existing(folder))
    return folder


def checked_output(output: str, *, force: bool) -> Path:
    """Return the absolute path of a file that an image may be written to.

    Raises:
        UsageError: It may not, or cannot.
    """
    _check_path(output, "-o")
    path = Path(os.path.abspath(output))  # noqa: PTH100, no symlink is followed
    exists = _exists(path, output)
    if exists and not path.is_file() and not path.is_symlink():
        hint = "; use -o - for standard output" if path.is_char_device() or path.is_fifo() else ""
        raise UsageError(f"{output} is not a file{hint}.")
    if exists and not force:
        raise UsageError(f"{output} exists; --force overwrites it.")
    check_folder(path.parent)
    return path


def check_folder(folder: Path) -> None:
    """Check that an image can be written into a folder.

    Raises:
        UsageError: It cannot.
    """
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}.")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"The folder {folder} cannot be written.")


def _check_stdout(*, as_json: bool) -> None:
    if as_json:
        raise UsageError("-o - and --json both write to standard output; use only one.")
    if sys.stdout is None:  # Python's own word for one that was closed, as by `>&-`
        raise UsageError("-o - writes to standard output, which is closed.")
    if sys.stdout.isatty():
        raise UsageError(
            "-o - writes the image's bytes to standard output, which is a terminal; redirect it "
            "to a file or a program."
        )


def _check_path(output: str, option: str) -> None:
    if output in ("", "-"):
        raise UsageError(f"{option} needs a path.")
    if (scheme := scheme_of(output)) is not None:
        raise UsageError(
            f"{option} {output} is an address ({scheme}:), not a path of this machine."
        )


def _exists(path: Path, output: str) -> bool:
    """Say whether anything has the name, also a symbolic link that leads nowhere."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror}.") from None
    except ValueError:
        raise UsageError(f"{output!r} cannot be a path.") from None
    return True
