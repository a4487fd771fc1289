"""Waits for an answer that the gateway queued: asks for it until it is there, or time is up.

Asking is free. What a poll's answer means is decided in `wire.response`, whether and when there is
another one in `wire.retry`.
"""

import logging
import random
import time
from typing import Protocol

from langchain_qwen_image.concurrency.runtime import Runtime
from langchain_qwen_image.errors import QwenImageError, RequestTimeoutError
from langchain_qwen_image.wire.answer import QueuedAnswer, WireAnswer
from langchain_qwen_image.wire.retry import poll_delay

logger = logging.getLogger("langchain_qwen_image")


class Poll(Protocol):
    """Asks once for a queued answer."""

    async def __call__(self, polling_path: str) -> WireAnswer | QueuedAnswer:
        """Return what the gateway says, or raise a `QwenImageError`."""


async def wait_in_queue(
    runtime: Runtime, poll: Poll, queued: QueuedAnswer, *, seconds: float, advice: str
) -> WireAnswer:
    """Ask until the answer is there.

    Args:
        runtime: The world that waits.
        poll: Asks once.
        queued: What the gateway said so far.
        seconds: How long to wait at most.
        advice: What to do when time is up.

    Raises:
        RequestTimeoutError: It was not there in time; the gateway may still make the image.
        QwenImageError: The gateway says that it failed, or refuses to be asked.
    """
    outcome: QueuedAnswer | QwenImageError = queued
    path, asked, slept, started = queued.polling_path, 0, 0.0, time.monotonic()
    while True:
        pause = poll_delay(outcome, poll=asked, jitter=random.random())  # noqa: S311 - no secret
        if pause is None and isinstance(outcome, QwenImageError):
            raise outcome
        pause = pause or 0.0
        # Slept seconds count even where a test's clock does not move.
        if max(time.monotonic() - started, slept) + pause > seconds:
            raise _still_queued(outcome, seconds, advice)
        await runtime.sleep(pause)
        slept += pause
        asked += 1
        try:
            answer = await poll(path)
        except QwenImageError as error:
            outcome = error.with_traceback(None)  # its frames hold the key
            logger.debug("poll %d failed: %s", asked, error)
            continue
        if isinstance(answer, WireAnswer):
            return answer
        outcome, path = answer, answer.polling_path


def _still_queued(
    outcome: QueuedAnswer | QwenImageError, seconds: float, advice: str
) -> RequestTimeoutError:
    state = outcome.status if isinstance(outcome, QueuedAnswer) else f"no answer: {outcome}"
    return RequestTimeoutError(
        f"The gateway queued the request and had no image within {seconds:g} s ({state}). It may "
        f"still be generated and billed. {advice}",
        request_id=outcome.request_id,
    )
