"""Take over the file that an earlier version saved its account in: the folder of images itself.

It is moved, once, to where the folder's books are now, under SQLite's own lock on it: any number of
processes may begin at once, and a kill leaves it in the one place or in the other.
"""

import os
import secrets
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from langchain_qwen_image.account.marker import sync_folder
from langchain_qwen_image.account.opening import check_path, connect, primary_code
from langchain_qwen_image.account.schema import read_version
from langchain_qwen_image.errors import AccountError

__all__ = ["conflict", "take_over"]

_PATIENCE_SECONDS = 10.0
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def take_over(old: Path, new: Path) -> None:
    """Move an old file with all that belongs to it, unless another process has done so.

    What a killed process left in its log is played first. The tables are upgraded when it is next
    opened.

    Raises:
        ConfigurationError: It is not a file of ours, or of a newer version.
        AccountError: A process has it open, such as one of the earlier version; or there are books
            at the new place too; or it cannot be moved. Nothing was changed.
    """
    until = time.monotonic() + _PATIENCE_SECONDS
    while os.path.lexists(old):
        try:
            if _moved(old, new):
                return
        except FileNotFoundError:
            continue  # another process was faster
        except sqlite3.OperationalError as error:
            if not os.path.lexists(old):
                return
            if primary_code(error) not in (None, *_BUSY):
                raise _not_moved(old, new, str(error)) from None
            if time.monotonic() > until:
                raise _not_moved(old, new, "another process has it open") from None
        except (OSError, sqlite3.Error) as error:
            raise _not_moved(old, new, str(error)) from None
        time.sleep(0.005 + secrets.randbelow(30) / 1000)  # two that hold each other up part


def conflict(old: Path, new: Path) -> AccountError:
    """Say that a folder has an old file beside its books."""
    return AccountError(
        f"There are two records of one folder: {old}, written by an earlier version of this "
        f"package, and {new}. Nothing was sent. Stop every process of the earlier version. To see "
        f"what only the old file has, run: qwen-image recover {old}. Then move it away."
    )


def _moved(old: Path, new: Path) -> bool:
    check_path(old)
    before = _identity(old)
    with _locked(old):
        if _identity(old) != before:
            return False
        if os.path.lexists(new):
            raise conflict(old, new)
        new.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for file in _answers(old):
            file.rename(new.with_name(f"{new.name}{file.name.removeprefix(old.name)}"))
        for suffix in ("-wal", "-shm"):  # nothing is in them any more
            old.with_name(f"{old.name}{suffix}").unlink(missing_ok=True)
        if os.name != "nt":
            old.rename(new)
    if os.name == "nt":  # an open file cannot be moved there
        old.rename(new)
    for folder in (new.parent, new.parent.parent, old.parent):
        sync_folder(folder)
    return True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Have a file alone, with all that its log had in it, and nothing beside it."""

    def prepare(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # needs no shared memory
        read_version(connection, path)
        # A file with a write-ahead log stays one, and the log is empty from now on. A rollback
        # journal was played when the version was read.
        if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            raise sqlite3.OperationalError("database is locked")
        connection.execute("BEGIN EXCLUSIVE")

    with closing(connect(path, "mode=rw", prepare)) as connection:
        yield
        connection.rollback()


def _answers(old: Path) -> list[Path]:
    """Return the files of large raw answers; nothing else that has such a name."""
    found = old.parent.glob(f"{old.name}-answer-*")
    return [file for file in found if stat.S_ISREG(file.lstat().st_mode)]


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return (found.st_dev, found.st_ino)


def _not_moved(old: Path, new: Path, reason: str) -> AccountError:
    return AccountError(
        f"{old}, written by an earlier version of this package, could not be moved to {new}: "
        f"{reason}. Nothing was sent. Stop every process that uses it and run this again, or pass "
        f"account={str(old)!r} to use it where it is."
    )
