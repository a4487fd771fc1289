"""What would keep images or the account from being written where they are to be."""

import errno
import os
import tempfile
from pathlib import Path
from typing import IO

from langchain_qwen_image.account.opening import lock_problem
from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.storage.paths import checked_folder

_LEAST_BYTES = 64 * 1024
"""No image with its sidecar and its account is smaller."""
_WAY_OUT = "Choose another folder, or change its owner or mode."
_REASONS = {
    errno.EACCES: f"this user has no permission to write there. {_WAY_OUT}",
    errno.EPERM: f"this user has no permission to write there. {_WAY_OUT}",
    errno.EROFS: "its file system is mounted read-only. Choose another folder.",
    errno.ENOSPC: "its file system is full. Free some space, or choose another folder.",
    errno.EDQUOT: "this user's disk quota is used up. Free some space, or choose another folder.",
    errno.ENAMETOOLONG: "its name is too long. Choose a shorter one.",
    errno.ELOOP: "its symbolic links form a loop. Choose another folder.",
    errno.ENOTDIR: "{file!r} is not a folder. Choose another one.",
    errno.ENOENT: "its path has a broken symbolic link. Choose another folder.",
}


def name_problem(folder: Path) -> str | None:
    """Say why no folder for images can be there, by its name or what is in its place; or None."""
    try:
        checked_folder(folder)
    except ConfigurationError as error:
        return str(error)
    return None


def folder_problem(folder: Path, what: str = "Images cannot be saved in") -> str | None:
    """Say why nothing can be written into a folder, which need not exist yet; None if it can."""
    try:
        _try_to_write(folder)
    except OSError as error:
        return f"{what} {str(folder)!r}: {_reason(error)}"
    return None


def account_problem(account: Path) -> str | None:
    """Say why an account cannot be in that file, which need not exist yet; None if it can."""
    problem = folder_problem(account.parent, f"The account {account.name!r} cannot be written in")
    if problem is not None:
        return problem
    if account.is_file() and not _may_write(account):
        return f"The account {str(account)!r} cannot be written: this user may only read it."
    return lock_problem(account.parent) if account.parent.is_dir() else None


def existing(path: Path) -> Path:
    """Return the path, or what is nearest above it and exists.

    Raises:
        OSError: It cannot be told: a folder may not be looked into, or a link leads nowhere.
    """
    for one in (path, *path.parents):
        try:
            one.stat()
        except (FileNotFoundError, NotADirectoryError):
            if one.is_symlink():
                raise
        else:
            return one
    return path


def _try_to_write(folder: Path) -> None:
    """Write as much as an image takes at least, and leave nothing behind."""
    folder = folder.absolute()
    there = existing(folder)
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "Not a directory", str(there))
    if there == folder:
        with _unnamed_file(folder) as file:
            file.write(bytes(_LEAST_BYTES))
            file.flush()
    elif not _may_write(there):
        _unnamed_file(there).close()  # says why: no right, or a file system that is read-only
        raise PermissionError(errno.EACCES, "Permission denied", str(there))


def _may_write(path: Path) -> bool:
    """Say whether this user may, by the rights that count when it is tried."""
    mode = os.W_OK | os.X_OK if path.is_dir() else os.W_OK
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _unnamed_file(folder: Path) -> IO[bytes]:
    """Open a file that is gone when it is closed, and on Linux never has a name."""
    return tempfile.TemporaryFile(dir=folder)


def _reason(error: OSError) -> str:
    reason = _REASONS.get(error.errno or 0, f"{error.strerror}.")
    return reason.format(file=error.filename)
