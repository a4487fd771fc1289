"""Books what comes after a POST in the end, whatever the books say at first: it is paid for.

A step that is not taken is repeated for some seconds within the call. Then the caller has its
result, and one thread of this process goes on. What it cannot book by the end of the process is
found by `recover`, from the files beside the images.
"""

import atexit
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from copy import copy
from itertools import chain, repeat

from langchain_qwen_image.account.store import Commit, NotTakenError
from langchain_qwen_image.concurrency.runtime import Runtime

Step = Callable[[], Commit[None]]
SECONDS = 10.0
"""How long a step is repeated within the call."""
_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)
_LONGEST_PAUSE = 1.0
_BACKGROUND_PAUSE = 2.0

logger = logging.getLogger("langchain_qwen_image")


class Bookings:
    """The steps of one call that may not get lost, in their order.

    Attributes:
        is_late: Whether a step is still tried in the background, and all others after it.
    """

    def __init__(self, runtime: Runtime, call_id: str, books: str) -> None:
        """Take the call, and what its books are called in a warning."""
        self._runtime = runtime
        self._call_id = call_id
        self._books = books
        self.is_late = False

    def in_world(self, runtime: Runtime) -> "Bookings":
        """Return the same, for what is done to the end in another world."""
        other = copy(self)
        other._runtime = runtime
        return other

    async def book(self, step: Step) -> None:
        """Take a step, now or later; one that the books refuse is only logged."""
        if self.is_late:  # it comes after the others
            _LATE.add(self._call_id, step)
            return
        left = SECONDS
        for pause in chain(_PAUSES, repeat(_LONGEST_PAUSE)):
            try:
                await self._runtime.either(lambda: step().result(), step)
                return
            except NotTakenError as error:
                problem = str(error)
            except Exception as error:  # the image is paid for, and is not lost over it
                logger.warning("call %s could not be booked: %s", self._call_id, error)
                return
            if left <= 0:
                break
            await self._runtime.sleep(min(pause, left))
            left -= pause
        self.is_late = True
        logger.warning(
            "call %s is not in %s yet, and is tried again in the background: %s",
            self._call_id,
            self._books,
            problem,
        )
        _LATE.add(self._call_id, step)


class _LateSteps:
    """What could not be booked in time: tried again by one thread, until the process ends."""

    def __init__(self, sleep: Callable[[float], object] = time.sleep) -> None:
        self._sleep = sleep
        self._steps: deque[tuple[str, Step]] = deque()
        self._start = threading.Lock()

    def add(self, call_id: str, step: Step) -> None:
        """Take a step over."""
        self._steps.append((call_id, step))
        if self._start.acquire(blocking=False):
            try:
                threading.Thread(target=self._run, name="qwen-image-late", daemon=True).start()
            except RuntimeError:  # no thread is to be had; the end of the process tries
                self._start.release()

    def take_all(self) -> None:
        """Try each step once, in the order of each call."""
        stuck: set[str] = set()
        for _ in range(len(self._steps)):
            call_id, step = self._steps.popleft()
            if call_id not in stuck and _is_taken(call_id, step):
                continue
            stuck.add(call_id)
            self._steps.append((call_id, step))

    def end(self) -> None:
        """Try once more, and name what is not booked; for the end of the process."""
        self.take_all()
        for call_id in dict.fromkeys(call_id for call_id, _ in self._steps):
            logger.warning("call %s could not be booked; `qwen-image recover` can do it", call_id)

    def forget(self) -> None:
        """Forget all in a forked child: the parent books it."""
        self.__init__(self._sleep)  # type: ignore[misc]

    def _run(self) -> None:
        while self._steps:
            self._sleep(_BACKGROUND_PAUSE)
            self.take_all()
        self._start.release()
        if self._steps and self._start.acquire(blocking=False):
            self._run()


def _is_taken(call_id: str, step: Step) -> bool:
    """Take a step, and say whether there is no more to do about it."""
    try:
        step().result()
    except NotTakenError:
        return False
    except Exception as error:
        logger.warning("call %s could not be booked: %s", call_id, error)
        return True
    logger.info("call %s is booked after all", call_id)
    return True


_LATE = _LateSteps()
atexit.register(_LATE.end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_LATE.forget)
