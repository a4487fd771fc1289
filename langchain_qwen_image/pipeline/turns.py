"""The turns of one call in the pace of its gateway: waits for them, and tells how they fared."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from langchain_qwen_image.account.pace import Pace
from langchain_qwen_image.account.pace_state import Turn
from langchain_qwen_image.account.pace_store import TurnLostError
from langchain_qwen_image.account.store import Transaction
from langchain_qwen_image.concurrency.runtime import Runtime
from langchain_qwen_image.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    NotFoundError,
    PermissionDeniedError,
    QwenImageError,
)
from langchain_qwen_image.pipeline.observer import Check
from langchain_qwen_image.wire.answer import QueuedAnswer, WireAnswer
from langchain_qwen_image.wire.retry import is_refusal

_T = TypeVar("_T")
_SAYS_NOTHING = (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    NotFoundError,
    PermissionDeniedError,
)


class Turns:
    """Waits for the turns of one call, `longest` seconds in all.

    Attributes:
        is_given: Whether the caller waited for the one turn of the call, and tells how it fares.
        overtaken: Attempts that were refused while others were admitted. They do not count as
            retries: the gateway works, and the call only has to wait for its turn again.
    """

    def __init__(
        self, pace: Pace, runtime: Runtime, longest: float, *, given: Turn | None = None
    ) -> None:
        """Take the pace, the seconds to wait at most, all attempts together, or a turn."""
        self.is_given = given is not None
        self.overtaken = 0
        self._pace = pace
        self._runtime = runtime
        self._left = longest
        self._turn = given
        self._before: Turn | None = None

    async def wait(self) -> None:
        """Wait until the next POST may leave.

        Raises:
            RateLimitError: The turn did not come in time; nothing was sent.
        """
        if self.is_given:
            return
        self._before, begun = self._turn, self._pace.now()
        self._turn = await self._pace.turn(self._runtime, longest=self._left)
        self._left -= self._pace.now() - begun

    def check(self, tx: Transaction) -> None:
        """Look again in the transaction that takes the call's money.

        Raises:
            TurnLostError: Everybody was told to wait meanwhile; wait for the next turn.
        """
        if self._turn is not None:
            self._pace.check(self._turn, tx)

    async def tell(self, outcome: WireAnswer | QueuedAnswer | QwenImageError) -> float:
        """Tell how the POST fared, and return for how many seconds no other leaves."""
        turn = self._turn
        if turn is None or self.is_given or isinstance(outcome, _SAYS_NOTHING):
            return 0.0
        if not isinstance(outcome, QwenImageError) or not is_refusal(outcome):
            self._pace.admitted(turn)
            return 0.0
        refusal = await self._pace.refused(
            self._runtime, turn, outcome.retry_after, before=self._before
        )
        self.overtaken += refusal.others_admitted
        return self._pace.seconds_until(refusal)


async def in_turn(turns: Turns | None, begin: Callable[[Check | None], Awaitable[_T]]) -> _T:
    """Begin a POST in its turn; wait for another one if it is lost meanwhile.

    Raises:
        TurnLostError: It is lost, and was given by the caller.
        RateLimitError: No turn came in time.
    """
    if turns is None:
        return await begin(None)
    while True:
        await turns.wait()
        try:
            return await begin(turns.check)
        except TurnLostError:
            if turns.is_given:
                raise
