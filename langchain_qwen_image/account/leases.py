"""How long a call that was sent may take: past it, anyone settles it as unknown and spent."""

import time
from dataclasses import dataclass, field

from langchain_qwen_image.account.records import CallRecord
from langchain_qwen_image.account.store import Row
from langchain_qwen_image.errors import AccountError

__all__ = ["OVER", "CallTakenError", "Lease", "is_over", "micros"]

# Over is also what ends later from now than it is long: the clock was set back.
OVER = "(lease_until <= :now OR lease_until - lease_micros > :now)"


class CallTakenError(AccountError):
    """Another process has sent the call or replaced it, so it was not sent again.

    Attributes:
        call: The call that has the key now, as it stands.
    """

    def __init__(self, message: str, call: CallRecord) -> None:
        """Note the call."""
        super().__init__(message)
        self.call = call


@dataclass(frozen=True, slots=True)
class Lease:
    """The time that a call has, by this machine's clocks: it began no later than the books say.

    Attributes:
        seconds: Its length.
        attempt: Which of the call's attempts it is for, counted from 1.
        begun: When it began, by the monotonic clock, in seconds.
        begun_wall: When it began, by the wall clock, in seconds: the other may stand still while
            the machine sleeps.
    """

    seconds: float
    attempt: int = 0
    begun: float = field(default_factory=time.monotonic)
    begun_wall: float = field(default_factory=time.time)

    def rest(self) -> float:
        """Return the seconds that are left for certain; 0 or less when it is over."""
        passed = max(time.monotonic() - self.begun, time.time() - self.begun_wall)
        return self.seconds - passed


def is_over(row: Row, now: int) -> bool:
    """Say whether the lease of a row is over at that moment."""
    until, length = row["lease_until"], row["lease_micros"]
    return bool(until <= now or until - length > now)


def micros(seconds: float) -> int:
    """Return seconds as microseconds."""
    return round(seconds * 1_000_000)
