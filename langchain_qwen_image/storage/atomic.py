"""Files that appear whole, under names that nobody else has, or not at all."""

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_PREFIX = ".qwen-image-"
_SUFFIX = ".part"
_OLD_SECONDS = 86_400.0


@contextmanager
def part_file(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Open a new file beside the final ones, readable and writable; afterwards it is gone.

    Its name is hidden and ends in `.part`. Its mode is that of any new file of this process, and
    becomes that of the final file.

    Raises:
        OSError: the folder cannot be written.
    """
    path = folder / f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    flags |= getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        with os.fdopen(os.open(path, flags, 0o666), "w+b") as file:
            yield path, file
    finally:
        with suppress(OSError):
            path.unlink()


def finish(file: BinaryIO) -> None:
    """Bring all that was written to the disk and close the file.

    Raises:
        OSError: the disk is full, or does not take it.
    """
    file.flush()
    os.fsync(file.fileno())
    file.close()


def publish(part: Path, final: Path) -> None:
    """Give a finished file its final name, all at once, unless the name is taken.

    Where the file system has no hard links the name is first taken by an empty file, so a crash
    just then leaves an empty file, never half a one.

    Raises:
        FileExistsError: the name is taken; nothing was changed.
        OSError: the folder cannot be written.
    """
    try:
        os.link(part, final)
    except FileExistsError:
        raise
    except OSError:
        final.open("xb").close()
        _replace(part, final)


def write_new_file(path: Path, content: bytes) -> Path:
    """Write a file, whole or not at all, and return its path; its folder is made when missing.

    Raises:
        FileExistsError: the name is taken; it is never overwritten.
        OSError: the disk is full, or the folder cannot be written.
    """
    return _write(path, content, publish)


def replace_file(path: Path, content: bytes) -> Path:
    """Write a file, whole or not at all, in the place of what has its name.

    Raises:
        OSError: the disk is full, or the folder cannot be written; the old file is still there.
    """
    return _write(path, content, Path.replace)


def _write(path: Path, content: bytes, put: Callable[[Path, Path], object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with part_file(path.parent) as (part, file):
        file.write(content)
        finish(file)
        put(part, path)
    sync_folder(path.parent)
    return path


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sweep(folder: Path) -> None:
    """Remove what a killed process left unfinished more than a day ago."""
    oldest = time.time() - _OLD_SECONDS
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX) and entry.name.endswith(_SUFFIX):
                _remove_if_old(entry, oldest)


def _remove_if_old(entry: os.DirEntry[str], oldest: float) -> None:
    with suppress(OSError):
        if entry.stat(follow_symlinks=False).st_mtime < oldest:
            Path(entry.path).unlink()


def _replace(part: Path, final: Path) -> None:
    try:
        part.replace(final)
    except BaseException:
        final.unlink(missing_ok=True)
        raise
