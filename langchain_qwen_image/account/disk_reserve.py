"""Hold room on a disk, so that what is paid for can be noted when others have filled it up."""

import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import IO

__all__ = ["DiskReserve"]

# The file grows by some 3 KiB an answer, so that this is enough for 300 calls that are under way.
_BYTES = 1024 * 1024
_AT_LEAST = 64 * 1024
_CHUNK = 32 * 1024


class DiskReserve:
    """Room beside a file: a file without a name, which goes with the process, however it ends."""

    def __init__(self, folder: Path) -> None:
        """Hold nothing yet."""
        self._folder = folder
        self._file: IO[bytes] | None = None

    def hold(self) -> bool:
        """Hold the room; return False if it was held before.

        Raises:
            OSError: The disk is full.
        """
        if self._file is not None:
            return False
        file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - stays open
        try:
            _fill(file, shutil.disk_usage(self._folder).free)
        except BaseException:
            file.close()
            raise
        self._file = file
        weakref.finalize(self, file.close)
        return True

    def release(self) -> None:
        """Give the room back to the disk."""
        if self._file is not None:
            self._file.truncate(0)
            self.drop()

    def drop(self) -> None:
        """Let go of the file, as a forked child does with that of its parent."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _fill(file: IO[bytes], free: int) -> None:
    # On a small disk, more is left to the account than is held.
    wanted = max(_AT_LEAST, min(_BYTES, free // 4))
    for _ in range(0, wanted, _CHUNK):
        file.write(os.urandom(_CHUNK))  # zeros take no room on some disks
    os.fsync(file)  # a network's disk says only now that it is full
