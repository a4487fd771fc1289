"""One HTTP exchange under way, as the layers above and below it know it."""

import time
from contextvars import ContextVar


class CallAbandonedError(Exception):
    """Nobody waits for this call any more, and its request has not left."""


class Call:
    """One HTTP exchange under way: when it must end, and whether anybody still waits for it."""

    __slots__ = ("_answer_within", "abandoned", "deadline", "left")

    def __init__(self, deadline: float, *, answer_within: float | None = None) -> None:
        """Take the deadline as a reading of `time.monotonic`, in seconds.

        With `answer_within`, in seconds, the deadline is set anew when the request leaves.
        """
        self.deadline = deadline
        self.abandoned = False
        self.left = False
        self._answer_within = answer_within

    def leave(self, first_bytes: bytes) -> None:
        """Note that the request leaves now; a proxy's CONNECT is not yet the request.

        Raises:
            CallAbandonedError: nobody waits for the answer, so it must not be paid for.
        """
        if self.left or first_bytes.startswith(b"CONNECT "):
            return
        if self.abandoned:
            raise CallAbandonedError
        self.left = True
        if self._answer_within is not None:
            self.deadline = time.monotonic() + self._answer_within


current_call: ContextVar[Call | None] = ContextVar("current_call", default=None)
