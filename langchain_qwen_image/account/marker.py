"""The marker of a folder of images: a small hidden file with the id of the account they are in."""

import errno
import os
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG

__all__ = [
    "MARKER_NAME",
    "BadMarkerError",
    "read_marker",
    "read_plain",
    "replace_marker",
    "write_marker",
]

MARKER_NAME = ".qwen-image-account"
_TEXT = re.compile(rb"account ([0-9a-f]{32})\n")
_LENGTH = len("account \n") + 32


class BadMarkerError(Exception):
    """What has the marker's name is no marker that this package wrote."""


def read_marker(folder: Path) -> str | None:
    """Return the id of the account that a folder's images are in; None if it has no marker.

    Raises:
        BadMarkerError: It cannot be read, or somebody else prepared it; reading it never blocks.
    """
    try:
        found = _TEXT.fullmatch(read_plain(folder / MARKER_NAME, _LENGTH + 1))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise BadMarkerError(str(error.strerror)) from None
    if found is None:
        raise BadMarkerError("it has not the form of one")
    return found[1].decode()


def read_plain(path: Path, most: int = -1) -> bytes:
    """Read a regular file, at most so many bytes; nothing that could block, or leads elsewhere.

    Raises:
        OSError: It cannot be read, or is no regular file.
    """
    flags = os.O_RDONLY
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY", "O_NOCTTY"):
        flags |= getattr(os, name, 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        if not S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "It is not a regular file", str(path))
        return file.read(most)


def write_marker(folder: Path, account_id: str) -> None:
    """Write the marker, whole or not at all, unless there is one; the folder is made when missing.

    Raises:
        OSError: The folder cannot be written.
    """
    _write(folder, account_id, _publish)


def replace_marker(folder: Path, account_id: str) -> None:
    """Write the marker, whole or not at all, in the place of what has its name.

    Raises:
        OSError: The folder cannot be written, or has a folder of that name.
    """
    _write(folder, account_id, Path.replace)


def _write(folder: Path, account_id: str, put: Callable[[Path, Path], object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".qwen-image-{secrets.token_hex(8)}.part"  # swept if a kill leaves it
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(part, flags, 0o666), "wb") as file:
        try:
            file.write(f"account {account_id}\n".encode())
            file.flush()
            os.fsync(file.fileno())
            put(part, folder / MARKER_NAME)
        finally:
            part.unlink(missing_ok=True)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _publish(part: Path, marker: Path) -> None:
    try:
        os.link(part, marker)
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        if not os.path.lexists(marker):
            part.replace(marker)
