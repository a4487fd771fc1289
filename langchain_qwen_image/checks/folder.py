"""What would keep images or the ledger from being written where they are to be."""

import errno
import os
import tempfile
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows, where SQLite locks by other means
    fcntl = None  # type: ignore[assignment]

_LEAST_BYTES = 64 * 1024
"""No image with its sidecar and its ledger is smaller."""
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
_WAY_OUT = "Choose another folder, or change its owner or mode."
_REASONS = {
    errno.EACCES: f"this user may not write there. {_WAY_OUT}",
    errno.EPERM: f"this user may not write there. {_WAY_OUT}",
    errno.EROFS: "its file system is mounted read-only. Choose another folder.",
    errno.ENOSPC: "its file system is full. Make room, or choose another folder.",
    errno.EDQUOT: "this user's disk quota is used up. Make room, or choose another folder.",
    errno.ENAMETOOLONG: "its name is too long. Choose a shorter one.",
    errno.ELOOP: "its symbolic links lead in a circle. Choose another folder.",
    errno.ENOTDIR: "{file!r} is no folder. Choose another one.",
    errno.ENOENT: "its path has a symbolic link that leads nowhere. Choose another folder.",
}


def folder_problem(folder: Path, what: str = "Images cannot be saved in") -> str | None:
    """Say why nothing can be written into a folder, which need not exist yet; None if it can."""
    name = f"{what} {str(folder)!r}"
    if "\0" in str(folder):
        return f"{name}: no name can have a null character."
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        return f"{name}: its name is not UTF-8, so no ledger or message can hold it. Rename it."
    try:
        _try_to_write(folder)
    except OSError as error:
        return f"{name}: {_reason(error)}"
    return None


def ledger_problem(ledger: Path) -> str | None:
    """Say why a ledger cannot be written to that file, which need not exist yet; None if it can."""
    problem = folder_problem(ledger.parent, f"The ledger {ledger.name!r} cannot be written in")
    if problem is not None:
        return problem
    if ledger.is_file() and not _may_write(ledger):
        return f"The ledger {str(ledger)!r} cannot be written: this user may only read it."
    if ledger.parent.is_dir() and not can_lock(ledger.parent):
        return (
            f"The ledger {str(ledger)!r} cannot be written: its file system has no locks, and "
            "without them two processes would destroy it. Give ledger=… a path on a local disk."
        )
    return None


def can_lock(folder: Path) -> bool:
    """Say whether files in an existing folder can be locked; True also when that is unknown."""
    if fcntl is None:
        return True
    try:
        with _unnamed_file(folder) as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _NO_LOCKS
    return True


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
