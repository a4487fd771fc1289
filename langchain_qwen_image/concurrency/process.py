"""Processes of this machine: what is done once in each, and whether one still runs."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

__all__ = ["OncePerProcess", "is_running", "this_process"]


def this_process() -> str:
    """Return the name of this process: its number, and when it started where Linux says so."""
    return f"{os.getpid()}:{_started(os.getpid())}"


def is_running(name: str) -> bool:
    """Say whether the process of that name still runs.

    Where the start is not known, another process that took the number over is taken for it.
    """
    pid, _, started = name.partition(":")
    if started:
        return _started(int(pid)) == started
    if int(pid) == os.getpid():
        return True
    return sys.platform != "win32" and _answers(int(pid))


def _started(pid: int) -> str:
    """Return the start in clock ticks since boot; empty if gone, or not on Linux."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()  # the name before it may hold spaces
    return "" if fields[0] in "ZX" else fields[19]


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class OncePerProcess:
    """Does something once in each process, and again where it failed."""

    def __init__(self, work: Callable[[], None]) -> None:
        """Take what is to be done; it may be done more than once when threads meet."""
        self._work = work
        self._done_in: set[int] = set()

    @property
    def is_due(self) -> bool:
        """Whether it is still to be done in this process."""
        return os.getpid() not in self._done_in

    def __call__(self) -> None:
        """Do it; an error leaves it due."""
        self._work()
        self._done_in.add(os.getpid())
