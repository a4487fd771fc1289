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
from langchain_qwen_image.account.pace_clock import PaceClock, SentLately
from langchain_qwen_image.account.pace_state import PaceState, Refusal, Turn, Wait, at_time
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
_SOON = 0.05

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
        self._clock = PaceClock(clock)
        self._store = MemoryPaceStore(clock) if store is None else store
        self._seen = Seen(PaceState(), 0.0)
        self._numbers = count()
        self._waiting: dict[int, None] = {}
        self._turns: deque[float] = deque()
        self._ask_at = 0.0
        self._is_asking = False
        self._pid = os.getpid()
        self._told_at = float("-inf")
        self._lately = SentLately()
        self._lock = new_lock()

    def __reduce__(self) -> NoReturn:
        raise TypeError("A pace in memory cannot be pickled: the copy would be a second one.")

    def __deepcopy__(self, _: object) -> "Pace":
        return self

    def now(self) -> float:
        """Return the time by this process's clock, in seconds."""
        return self._clock.now()

    async def turn(self, runtime: Runtime, *, longest: float) -> Turn:
        """Wait until a request may leave, in steps of a second at most.

        Args:
            runtime: The world to wait in.
            longest: Seconds to wait at most for the gateway. A busy machine or disk is no reason to
                fail: the store is asked once more at their end.

        Raises:
            RateLimitError: The turn did not come in time.
        """
        number, latest = next(self._numbers), self.now() + longest
        left, insists, has_insisted = max(0.0, longest), longest <= 0, False
        try:
            while not isinstance(found := self._look(number, insists=insists), Turn):
                if found is None:
                    has_insisted = not left
                    await self._ask(runtime)
                elif not found.is_unknown and (not left or self._held_for() > left):
                    raise too_late(longest, max(found.seconds, self._held_for()))
                else:
                    await self._clock.sleep(runtime, min(found.seconds, left or _STEP, _STEP))
                left = max(0.0, latest - self.now())
                insists = not left and not has_insisted
            return found
        finally:
            self._waiting.pop(number, None)

    def check(self, turn: Turn, tx: Transaction) -> None:
        """Look again in the transaction that takes a call's money; costs no other.

        Raises:
            TurnLostError: Another process was told to wait meanwhile; wait for another turn.
        """
        found, said = self._store.look(tx)
        offset, now = self._clock.offset(said), self._clock.in_store(said)
        state = at_time(found, now)
        self._saw(Seen(state, said), offset)
        if turn.window != state.window and (state.rate or now < state.next_at):
            raise TurnLostError

    def admitted(self, turn: Turn) -> None:
        """Note that the gateway took the request, whatever came of it; nobody waits for that."""
        state, now = self._seen.state, self.now()
        if state.is_free or (not state.in_a_row and now - self._told_at < _STEP):
            return
        self._told_at = now
        with suppress(QwenImageError):  # of the account: the next step says so
            done = self._store.step(
                self._clock.timed(lambda state, now: (rules.admitted(state, now, turn.window), 0))
            )
            if isinstance(done, Future):
                done.add_done_callback(self._saw_later)
            else:
                self._saw(done[1], done[0][1])

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
        here = self.now()
        uncounted = self._lately.take(here)
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
                uncounted=uncounted._replace(begun=uncounted.begun + now - here),
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
        return self._clock.here(self._seen.state.admitted_at)

    def seconds_until(self, refusal: Refusal) -> float:
        """Return for how many seconds a refusal holds everybody."""
        return max(0.0, self._clock.here(refusal.until) - self.now())

    def _look(self, number: int, *, insists: bool) -> Turn | Wait | None:
        """Return the turn if it is there, or how long to wait; None for: ask the store."""
        with self._lock:
            if self._pid != os.getpid():  # forked: who waits, and who asks, is in the parent
                self._pid, self._is_asking = os.getpid(), False
                self._waiting.clear()
                self._turns.clear()
            self._waiting.setdefault(number, None)
            if (seen := self._store.peek()) is not None:
                self._saw(seen, self._clock.offset(seen.now))
            state, now = self._seen.state, self.now()
            if not state.rate and now >= self._clock.here(state.next_at):
                self._lately.note(now)
                return Turn(state.window, now)
            place = list(self._waiting).index(number)
            if place < len(self._turns):
                if (seconds := self._turns[place] - now) > 0:
                    return Wait(seconds)
                self._turns.popleft()
                return Turn(state.window, now)
            if self._is_asking:
                return Wait(_SOON, is_unknown=True)
            if now < self._ask_at and not insists:
                return Wait(max(_SOON, self._ask_at - now))
            self._is_asking = True
            return None

    async def _ask(self, runtime: Runtime) -> None:
        """Ask the store for as many turns as are waited for here."""
        try:
            wanted = max(1, len(self._waiting) - len(self._turns))
            grant = await self._step(runtime, lambda state, now: rules.take(state, now, wanted))
            with self._lock:
                self._turns.extend(map(self._clock.here, grant.times))
                self._ask_at = 0.0
                if len(grant.times) < wanted:
                    pause = rules.HORIZON * random.uniform(0.25, 0.75)  # noqa: S311 - no secret
                    self._ask_at = max(self._clock.here(grant.ask_at), self.now() + pause)
        finally:
            self._is_asking = False

    async def _step(self, runtime: Runtime, rule: Rule[_T]) -> _T:
        timed = self._clock.timed(rule)
        try:
            (told, offset), seen = await run_step(self._store, runtime, timed)
        except QwenImageError as error:  # of the account; the call itself will say so
            logger.warning("the pace goes on in this process alone: %s", error)
            said = self._clock.said()
            state, (told, offset) = timed(self._seen.state, said)
            seen = Seen(state, said)
        self._saw(seen, offset)
        return told

    def _saw(self, seen: Seen, offset: float) -> None:
        """Take over what the store says, unless something newer came first."""
        with self._lock:
            if seen.now < self._seen.now and seen.state.window < self._seen.state.window:
                return
            if seen.state.window != self._seen.state.window:
                self._turns.clear()
                self._ask_at = 0.0
            self._seen = seen
            self._clock.set(offset)

    def _saw_later(self, done: "Future[tuple[tuple[int, float], Seen]]") -> None:
        if not done.exception():
            (_, offset), seen = done.result()
            self._saw(seen, offset)

    def _held_for(self) -> float:
        """Return the seconds for which no request leaves that has no turn yet."""
        return 0.0 if self._turns else self._clock.here(self._seen.state.next_at) - self.now()
