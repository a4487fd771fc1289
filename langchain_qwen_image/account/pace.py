"""The pace of one gateway in this process: when the next request may leave, and how others fared.

Where nothing was refused lately a turn costs nothing: no step of the store, no wait. Otherwise the
calls that wait here share what one of them asks for: turns for the next two seconds.
"""

import logging
import os
import random
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from itertools import count
from typing import NoReturn, TypeVar

from langchain_qwen_image.account import pace_rules as rules
from langchain_qwen_image.account.pace_state import PaceState, Refusal, Tally, Turn, at_time
from langchain_qwen_image.account.pace_store import (
    MemoryPaceStore,
    PaceStore,
    Rule,
    Seen,
    TurnLostError,
    run_step,
    too_late,
)
from langchain_qwen_image.account.store import Transaction
from langchain_qwen_image.concurrency.forks import new_lock
from langchain_qwen_image.concurrency.runtime import Runtime
from langchain_qwen_image.errors import QwenImageError

_T = TypeVar("_T")
_STEP = 1.0  # of a wait, and between two tales of success
_LATELY = 10.0
_ASKED_EVERY = rules.HORIZON / 2

logger = logging.getLogger("langchain_qwen_image")


class Pace:
    """One pace for all calls to a gateway that share it, in threads and event loops.

    Examples:
        >>> pace = Pace()  # of one's own: QwenImageTool(pace=pace), QwenImageGenerator(pace=pace)
    """

    def __init__(
        self, store: PaceStore | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take where the state is, by default this process, and what tells the seconds."""
        self._clock = clock
        self._ahead = 0.0
        self._store = MemoryPaceStore(self.now) if store is None else store
        self._seen = Seen(PaceState(), 0.0)
        self._offset = 0.0  # of this process's clock from the store's
        self._numbers = count()
        self._waiting: dict[int, None] = {}
        self._turns: deque[float] = deque()
        self._ask_at = 0.0
        self._is_asking = False
        self._pid = os.getpid()
        self._told_at = float("-inf")
        self._left: deque[float] = deque(maxlen=1000)
        self._lock = new_lock()

    def __reduce__(self) -> NoReturn:
        raise TypeError("A pace in memory cannot be pickled: the copy would be a second one.")

    def now(self) -> float:
        """Return the time; a sleep that returned early, as a test's does, counts as slept."""
        return self._clock() + self._ahead

    async def turn(self, runtime: Runtime, *, longest: float) -> Turn:
        """Wait until a request may leave, in steps of a second at most.

        Args:
            runtime: The world to wait in.
            longest: Seconds to wait at most.

        Raises:
            RateLimitError: The turn did not come in time.
        """
        number, latest = next(self._numbers), self.now() + longest
        try:
            while isinstance(found := self._look(number), float):
                left = latest - self.now()
                if not found:
                    await self._ask(runtime)
                elif left <= 0 or self._held_for() > left:
                    raise too_late(longest, max(found, self._held_for()))
                else:
                    await self._sleep(runtime, min(found, left, _STEP))
            return found
        finally:
            self._waiting.pop(number, None)

    def check(self, turn: Turn, tx: Transaction) -> None:
        """Look again in the transaction that takes a call's money; costs no other.

        Raises:
            TurnLostError: Another process was told to wait meanwhile; wait for another turn.
        """
        found, now = self._store.look(tx)
        state = at_time(found, now)
        self._saw(Seen(state, now))
        if turn.window != state.window and (state.rate or now < state.next_at):
            raise TurnLostError

    def admitted(self, turn: Turn) -> None:
        """Note that the gateway took the request, whatever came of it; nobody waits for that."""
        state, now = self._seen.state, self.now()
        if state.is_free or (not state.in_a_row and now - self._told_at < _STEP):
            return
        self._told_at = now
        with suppress(QwenImageError):  # of the account: the next step says so
            done = self._store.step(lambda state, now: (rules.admitted(state, now, turn.window), 0))
            if isinstance(done, Future):
                done.add_done_callback(self._saw_later)
            else:
                self._saw(done[1])

    async def refused(
        self, runtime: Runtime, turn: Turn, retry_after: float | None, *, before: Turn | None = None
    ) -> Refusal:
        """Slow everybody down, for the request bought nothing because it came too soon.

        Args:
            runtime: The world to wait for the store in.
            turn: What `turn` returned for the request.
            retry_after: Seconds that the gateway asked to wait.
            before: The turn of the call's attempt before.
        """
        tally, here = self._tally(), self.now()
        jitter = random.random()  # noqa: S311 - no secret
        return await self._step(
            runtime,
            lambda state, now: rules.refused(
                state,
                now,
                turn.window,
                retry_after,
                jitter=jitter,
                left_at=turn.left_at + now - here,
                before=None if before is None else before.window,
                tally=tally._replace(begun=tally.begun + now - here),
            ),
        )

    async def unreachable(self, runtime: Runtime, turn: Turn) -> Refusal:
        """Let everybody wait, for the request could not be sent."""
        return await self._step(
            runtime, lambda state, now: rules.unreachable(state, now, turn.window)
        )

    async def hold(self, runtime: Runtime, seconds: float) -> None:
        """Let no request leave for so many seconds."""
        await self._step(runtime, lambda state, now: (rules.hold(state, now, seconds), None))

    @property
    def admitted_at(self) -> float:
        """When the gateway last admitted a request, as far as anybody told while it was slow."""
        return self._seen.state.admitted_at + self._offset

    def seconds_until(self, refusal: Refusal) -> float:
        """Return for how many seconds a refusal holds everybody."""
        return max(0.0, refusal.until + self._offset - self.now())

    def _look(self, number: int) -> Turn | float:
        """Return the turn if it is there, else the seconds to wait; 0 for: ask the store."""
        with self._lock:
            if self._pid != os.getpid():  # forked: who waits, and who asks, is in the parent
                self._pid, self._is_asking = os.getpid(), False
                self._waiting.clear()
                self._turns.clear()
            self._waiting.setdefault(number, None)
            if (seen := self._store.peek()) is not None:
                self._saw(seen)
            state, now = self._seen.state, self.now()
            if not state.rate and now >= state.next_at + self._offset:
                self._left.append(now)
                return Turn(state.window, now)
            place = list(self._waiting).index(number)
            if place < len(self._turns):
                wait = self._turns[place] - now
                if wait <= 0:
                    self._turns.popleft()
                    return Turn(state.window, now)
                return wait
            if self._is_asking or now < self._ask_at:
                return max(0.05, self._ask_at - now)
            self._is_asking = True
            return 0.0

    async def _ask(self, runtime: Runtime) -> None:
        """Ask the store for as many turns as are waited for here."""
        try:
            wanted = max(1, len(self._waiting) - len(self._turns))
            grant = await self._step(runtime, lambda state, now: rules.take(state, now, wanted))
            with self._lock:
                self._turns.extend(time + self._offset for time in grant.times)
                self._ask_at = 0.0
                if len(grant.times) < wanted:
                    pause = _ASKED_EVERY * (0.5 + random.random())  # noqa: S311 - no secret
                    self._ask_at = max(grant.ask_at + self._offset, self.now() + pause)
        finally:
            self._is_asking = False

    async def _step(self, runtime: Runtime, rule: Rule[_T]) -> _T:
        try:
            told, seen = await run_step(self._store, runtime, rule)
        except QwenImageError as error:  # of the account; the call itself will say so
            logger.warning("the pace goes on in this process alone: %s", error)
            now = self.now() - self._offset
            state, told = rule(self._seen.state, now)
            seen = Seen(state, now)
        self._saw(seen)
        return told

    def _saw(self, seen: Seen) -> None:
        """Take over what the store says, unless something newer came first."""
        with self._lock:
            if seen.now < self._seen.now and seen.state.window < self._seen.state.window:
                return
            if seen.state.window != self._seen.state.window:
                self._turns.clear()
                self._ask_at = 0.0
            self._seen, self._offset = seen, self.now() - seen.now

    def _saw_later(self, done: "Future[tuple[int, Seen]]") -> None:
        if not done.exception():
            self._saw(done.result()[1])

    def _held_for(self) -> float:
        """Return the seconds for which no request leaves that has no turn yet."""
        return 0.0 if self._turns else self._seen.state.next_at + self._offset - self.now()

    async def _sleep(self, runtime: Runtime, seconds: float) -> None:
        begun = self._clock()
        await runtime.sleep(seconds)
        self._ahead += max(0.0, seconds - (self._clock() - begun))

    def _tally(self) -> Tally:
        """Return what was sent lately without being counted in the store, once."""
        with self._lock:
            lately = [time for time in self._left if time > self.now() - _LATELY]
            self._left.clear()
            return Tally(min(lately), len(lately)) if lately else Tally()
