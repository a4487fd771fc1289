"""What a process has open of one SQLite file, as its end and a fork have to know it."""

import sqlite3
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path

from langchain_qwen_image.account.disk_reserve import DiskReserve
from langchain_qwen_image.account.opening import BUSY_SECONDS

__all__ = ["OpenFile", "Opened", "drop_rooms", "hold_all"]

Opened = tuple[sqlite3.Connection, tuple[int, int]]
"""A connection, and the device and inode of the file that it has open."""
_PIECE = 0.05  # seconds


class OpenFile:
    """What a process has of one file, and a fork has to know until the last of it is closed.

    Attributes:
        opened: The connections, by their use.
        reading: To be held while the one that reads is used or closed; a signal handler's read may
            come within another.
        writing: To be held while the one that writes is used, closed or cleared.
        reserve: Room on the disk.
    """

    def __init__(self, folder: Path) -> None:
        """Open nothing yet; the file is to be in the folder."""
        self.opened: dict[str, Opened] = {}
        self.reading, self.writing = threading.RLock(), threading.RLock()
        self.reserve = DiskReserve(folder)
        _open_files.add(self)

    def over_a_fork(self) -> Generator[None]:
        """Close the connections, which must not get into a child, and open none until the end."""
        with self.reading, self.writing:
            self._close()
            yield

    def close_in_the_end(self) -> None:
        """Close what nothing knows any more, or, at the end of the process, what may be in use."""
        # In pieces: a fork that has `writing` closes them, and may wait for what this thread holds.
        give_up = time.monotonic() + BUSY_SECONDS
        while self.opened and time.monotonic() < give_up:
            if self.writing.acquire(timeout=_PIECE):
                try:
                    self._close()
                finally:
                    self.writing.release()
        _open_files.discard(self)

    def _close(self) -> None:
        while self.opened:
            self.opened.popitem()[1][0].close()


_open_files: set[OpenFile] = set()


def hold_all() -> Iterator[Generator[None]]:
    """Return what holds each file of this process over a fork.

    SQLite has locks in memory, which it takes also when it closes a file: a child that got one of
    them locked could never open a file again.
    """
    return (file.over_a_fork() for file in list(_open_files))


def drop_rooms() -> None:
    """Leave the room that a forked child got from its parent to the parent."""
    for file in list(_open_files):
        file.reserve.drop()
