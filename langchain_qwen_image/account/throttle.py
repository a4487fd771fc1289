"""How fast a bulk run sends: as fast as the gateway admits, found out together by all workers.

A gateway limits requests a second, so that is what is steered here. Nothing is held back until the
first refusal. From then on the run sends at a rate: 0.7 times what was admitted lately, and a
fiftieth of that more with each request (additive increase, multiplicative decrease). All refusals
of one burst count as one. While the gateway asks to wait, everybody waits.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from math import inf, isinf

_DECREASE = 0.7
_INCREASE = 0.02
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0
PATIENCE = 600.0
"""Seconds without any request admitted, waiting included, after which a run gives up."""


class Window:
    """The time between two slow-downs, and how its requests fared."""

    __slots__ = ("begun", "refused", "sent")

    def __init__(self, begun: float) -> None:
        """Begin then."""
        self.begun, self.sent, self.refused = begun, 0, 0


class AdaptiveThrottle:
    """Says when the next request may leave; for the tasks of one event loop."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Begin without a limit."""
        self._clock = clock
        self._sleep = sleep
        self._gate = asyncio.Lock()
        self._window = Window(clock())
        self._admitted_at = clock()
        self._next_at = 0.0
        self._rate = inf
        self._step = 0.0
        self._in_a_row = 0

    async def turn(self) -> Window:
        """Wait until a request may leave, and return the window that it belongs to."""
        async with self._gate:
            while (seconds := self._next_at - self._clock()) > 0:
                await self._sleep(seconds)  # a refusal meanwhile makes it longer
            now = self._clock()
            self._next_at = now + 1 / self.rate
            self._window.sent += 1
            return self._window

    @property
    def rate(self) -> float:
        """Requests a second that may leave now."""
        return self._rate + self._step * self._window.sent

    def admitted(self) -> None:
        """Note that the gateway took a request, whatever came of it."""
        self._admitted_at = self._clock()
        self._in_a_row = 0

    def refused(self, window: Window, retry_after: float | None) -> bool:
        """Slow down, for a request of that window bought nothing because it came too soon.

        Args:
            window: What `turn` returned for the request.
            retry_after: Seconds that the gateway asked to wait.

        Returns:
            Whether there is any point in going on.
        """
        window.refused += 1
        is_news = window is self._window  # a refusal of an older window only corrects the figures
        self._in_a_row += is_news
        pause = self._pause() if retry_after is None else retry_after
        if self._in_a_row > 1:
            self._rate *= _DECREASE if is_news else 1
        else:
            took = max(self._clock() - window.begun, 0.001) + (retry_after or 0)
            lately = max(window.sent - window.refused, 1) / took
            self._rate = min(self.rate if is_news else self._rate, _DECREASE * lately)
            self._step = _INCREASE * self._rate
        if is_news:
            self._window = Window(self._clock() + pause)
        return self._held(pause)

    def unreachable(self, window: Window) -> bool:
        """Wait, for a request of that window could not be sent; says nothing about the rate."""
        if window is self._window:
            self._in_a_row += 1
            self._window = Window(self._clock())
        return self._held(self._pause())

    def hold(self, seconds: float) -> None:
        """Let no request leave for so many seconds."""
        self._next_at = max(self._next_at, self._clock() + seconds)

    def _held(self, seconds: float) -> bool:
        self.hold(seconds)
        return self._next_at - self._admitted_at <= PATIENCE

    def _pause(self) -> float:
        """Return the seconds to wait where nobody says: what two requests take, then doubling."""
        if self._in_a_row == 1 and not isinf(self._rate):
            return min(_FIRST_PAUSE, 2 / self._rate)
        return min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (min(self._in_a_row, 10) - 1))
