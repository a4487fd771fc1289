"""A gateway that admits so many requests a second, and the calls to it, in simulated time."""

import asyncio
from dataclasses import dataclass, field

from simulated_time import now

from langchain_qwen_image.account.pace import Pace
from langchain_qwen_image.concurrency.runtime import ASYNCIO


@dataclass
class Bucket:
    """A token bucket: a few requests at once, then so many a second; refusals come at once.

    Attributes:
        rate: Requests a second.
        burst: Requests at once.
        retry_after: What a refusal says.
        answers_after: Seconds until an admitted request is answered.
    """

    rate: float
    burst: float = 3
    retry_after: float | None = None
    answers_after: float = 1.0
    refused: int = 0
    admitted_at: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start with a full bucket."""
        self._filled, self._at = self.burst, now()

    async def post(self) -> bool:
        """Send a request, and return whether it was admitted when the answer is there."""
        elapsed, self._at = now() - self._at, now()
        self._filled = min(self.burst, self._filled + elapsed * self.rate)
        if self._filled < 1:
            self.refused += 1
            await asyncio.sleep(0.1)
            return False
        self._filled -= 1
        self.admitted_at.append(now())
        await asyncio.sleep(self.answers_after)
        return True


async def call(pace: Pace, gateway: Bucket, max_retries: int = 2, longest: float = 10.0**6) -> int:
    """Call as the sender does; the number of attempts.

    Raises:
        RuntimeError: More than `max_retries` attempts were refused while nobody was admitted.
        RateLimitError: A turn did not come in time.
    """
    before, lonely = None, 0
    for attempt in range(1, 1000):
        turn = await pace.turn(ASYNCIO, longest=longest)
        if await gateway.post():
            pace.admitted(turn)
            return attempt
        refusal = await pace.refused(ASYNCIO, turn, gateway.retry_after, before=before)
        before = turn
        lonely += not refusal.others_admitted
        if lonely > max_retries:
            raise RuntimeError("it was refused again and again")
    raise AssertionError("it was never admitted")


async def calls(
    paces: list[Pace], gateway: Bucket, wanted: int, at_once: int, *, max_retries: int = 1000
) -> float:
    """Call `wanted` times, `at_once` of them for each pace; the seconds until the last POST."""
    left = iter(range(wanted))
    begun = now()

    async def one_by_one(pace: Pace) -> None:
        for _ in left:
            await call(pace, gateway, max_retries)

    await asyncio.gather(*(one_by_one(pace) for pace in paces for _ in range(at_once)))
    return gateway.admitted_at[-1] - begun
