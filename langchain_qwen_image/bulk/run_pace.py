"""How fast a bulk run sends: as fast as its account's pace lets it, with a patience of its own."""

from langchain_qwen_image.account.pace import Pace
from langchain_qwen_image.account.pace_state import Turn
from langchain_qwen_image.concurrency.runtime import ASYNCIO
from langchain_qwen_image.errors import ConnectionFailedError, QwenImageError, RateLimitError

PATIENCE = 600.0
"""Seconds without any request admitted, waiting included, after which a run ends."""


class RunPace:
    """The turns of a run's requests; for the tasks of one event loop."""

    def __init__(self, pace: Pace | None) -> None:
        """Take the account's pace; without one, refusals slow down this run all the same."""
        self._pace = Pace() if pace is None else pace
        self._admitted_at = self._pace.now()

    async def turn(self) -> Turn:
        """Wait until the next request may leave.

        Raises:
            RateLimitError: There is no point in going on.
        """
        while True:
            try:
                return await self._pace.turn(ASYNCIO, longest=PATIENCE)
            except RateLimitError as error:
                if not self._is_patient(error.retry_after or 0.0):
                    raise

    def admitted(self, turn: Turn) -> None:
        """Note that the gateway took the request, whatever came of it."""
        self._admitted_at = self._pace.now()
        self._pace.admitted(turn)

    async def refused(self, error: QwenImageError, turn: Turn) -> bool:
        """Slow down, for the request bought nothing; false if there is no point in going on."""
        if isinstance(error, ConnectionFailedError):
            refusal = await self._pace.unreachable(ASYNCIO, turn)
        else:
            refusal = await self._pace.refused(ASYNCIO, turn, error.retry_after)
        return self._is_patient(self._pace.seconds_until(refusal))

    async def hold(self, seconds: float) -> None:
        """Let no request leave for so many seconds."""
        await self._pace.hold(ASYNCIO, seconds)

    def _is_patient(self, seconds: float) -> bool:
        """Say whether to go on if nothing is admitted for so many seconds more."""
        last = max(self._admitted_at, self._pace.admitted_at)
        return self._pace.now() + seconds - last <= PATIENCE
