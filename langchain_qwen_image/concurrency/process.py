"""What is done once in each process."""

import os
from collections.abc import Callable

__all__ = ["OncePerProcess"]


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
