"""The clock of a pace: seconds of this process, and the times of a store against them."""

import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from langchain_qwen_image.account.pace_state import PaceState, Uncounted
from langchain_qwen_image.account.pace_store import Rule
from langchain_qwen_image.concurrency.forks import new_lock
from langchain_qwen_image.concurrency.runtime import Runtime

_T = TypeVar("_T")
_LATELY = 10.0
_ROUNDED = 0.01  # a timer may be early by so many seconds, and is no test's for that


class PaceClock:
    """Tells the time here, and what a time of the store's clock is here.

    Waits are measured here, so that a store's clock that is set stops nobody. A sleep that returned
    at once, as a test's does, counts as slept: here, and in what the store's clock says.
    """

    def __init__(self, tell: Callable[[], float] = time.monotonic) -> None:
        """Take what tells the seconds."""
        self._tell = tell
        self._ahead = 0.0
        self._offset = 0.0

    def now(self) -> float:
        """Return the time here."""
        return self._tell() + self._ahead

    def in_store(self, said: float) -> float:
        """Return the time of the store, by what its clock said."""
        return said + self._ahead

    def offset(self, said: float) -> float:
        """Return by how much this process's clock is ahead, by what the store's says now."""
        return self._tell() - said

    def set(self, offset: float) -> None:
        """Go by that offset, once the state that the store had then is gone by too."""
        self._offset = offset

    def timed(self, rule: Rule[_T]) -> Rule[tuple[_T, float]]:
        """Return a rule for a store, which gives the offset of its clock back too.

        The commit may come much later, and is not waited for to look at the clock.
        """

        def by_this_clock(state: PaceState, said: float) -> tuple[PaceState, tuple[_T, float]]:
            offset = self.offset(said)
            state, told = rule(state, self.in_store(said))
            return state, (told, offset)

        return by_this_clock

    def here(self, time: float) -> float:
        """Return what a time of the store is here."""
        return time + self._offset

    def said(self) -> float:
        """Return what the clock of the store says now, as far as it is known here."""
        return self._tell() - self._offset

    async def sleep(self, runtime: Runtime, seconds: float) -> None:
        """Wait."""
        until = self.now() + seconds
        await runtime.sleep(seconds)
        short = until - self.now()
        if short > max(_ROUNDED, seconds / 2):
            self._ahead += short


class SentLately:
    """What left while there was no limit, and was not counted in a store; safe for threads."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._times: deque[float] = deque(maxlen=1000)
        self._lock = new_lock()

    def note(self, now: float) -> None:
        """Note that a request leaves."""
        self._times.append(now)

    def take(self, now: float) -> Uncounted:
        """Return what left lately, once."""
        with self._lock:
            lately = [time for time in list(self._times) if time > now - _LATELY]
            self._times.clear()
            return Uncounted(min(lately), len(lately)) if lately else Uncounted()
