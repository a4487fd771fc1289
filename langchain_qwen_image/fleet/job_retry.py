"""When a job of the queue runs again: never lost, whatever it ended with."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procrastinate import BaseRetryStrategy

__all__ = ["LaterError", "put_back"]

_AFTER_FAILURE = 5.0
_LONGEST = 600.0


class LaterError(Exception):
    """The job is to run again.

    Attributes:
        seconds: After which.
    """

    def __init__(self, seconds: float) -> None:
        """Note after how many seconds."""
        super().__init__(f"again after {seconds:g} s")
        self.seconds = seconds


def put_back() -> "BaseRetryStrategy":
    """Return the rule: after what a `LaterError` says, else soon."""
    from procrastinate import BaseRetryStrategy, RetryDecision
    from procrastinate.jobs import Job

    class PutBack(BaseRetryStrategy):
        def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision:
            """Say when the job runs again."""
            seconds = min(_AFTER_FAILURE * 2 ** min(job.attempts, 10), _LONGEST)
            if isinstance(exception, LaterError):
                seconds = exception.seconds
            return RetryDecision(retry_in={"seconds": seconds})

    return PutBack()
