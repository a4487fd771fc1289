"""Where the state of a pace is: in this process, or in a row of an account.

A step reads the state, changes it by a pure rule and writes it back, in one transaction; what it
gives back is what the rule said, and the state and the time of then.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple, Protocol, TypeVar

from langchain_qwen_image.account.pace_state import PaceState
from langchain_qwen_image.account.store import Transaction
from langchain_qwen_image.concurrency.forks import new_lock
from langchain_qwen_image.concurrency.runtime import Runtime
from langchain_qwen_image.errors import RateLimitError

_T = TypeVar("_T")
Rule = Callable[[PaceState, float], tuple[PaceState, _T]]
"""From the state and the time, the state afterwards and what to give back."""


class Seen(NamedTuple):
    """The state of a pace, and what the store's clock said when it was so."""

    state: PaceState
    now: float


class TurnLostError(Exception):
    """A turn that was waited for does not count any more; nothing was sent."""


def too_late(longest: float, seconds: float) -> RateLimitError:
    """Return the error of a call that waited as long as it may; the seconds are still to wait."""
    return RateLimitError(
        f"The gateway admits fewer requests than are waiting: no turn came within {longest:g} s, "
        f"so nothing was sent. Retry in {seconds:.0f} s, or set a longer timeout.",
        retry_after=max(0.0, seconds),
    )


class PaceStore(Protocol):
    """Holds the state of one gateway's pace; each step is atomic for all that share the store."""

    def step(self, rule: Rule[_T]) -> "tuple[_T, Seen] | Future[tuple[_T, Seen]]":
        """Change the state; returns at once, or a future where there is a disk or a network."""
        ...

    def peek(self) -> Seen | None:
        """Return the state where that costs nothing; elsewhere a call's own transaction looks."""
        ...

    def look(self, tx: Transaction) -> Seen:
        """Return the state, in a transaction of the account that does something else."""
        ...


async def run_step(store: PaceStore, runtime: Runtime, rule: Rule[_T]) -> tuple[_T, Seen]:
    """Do a step of a store and wait for it in either world."""
    done = store.step(rule)
    if isinstance(done, Future):
        waited = done
        return await runtime.either(lambda: waited.result(), lambda: asyncio.wrap_future(waited))
    return done


class MemoryPaceStore:
    """A state in this process; a forked child goes on with its own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start without a limit."""
        self.state = PaceState()
        self._clock = clock
        self._lock = new_lock()

    def step(self, rule: Rule[_T]) -> tuple[_T, Seen]:
        """Change the state."""
        with self._lock:
            now = self._clock()
            self.state, told = rule(self.state, now)
            return told, Seen(self.state, now)

    def peek(self) -> Seen:
        """Return the state."""
        return Seen(self.state, self._clock())

    def look(self, tx: Transaction) -> Seen:
        """Return the state, which is not in the account."""
        return self.peek()
