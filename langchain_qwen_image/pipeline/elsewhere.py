"""Waits for a call that another process has sent, by reading its row in the account."""

import logging
from itertools import chain, repeat

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.records import CallRecord
from langchain_qwen_image.concurrency.runtime import Runtime
from langchain_qwen_image.errors import CallInProgressError
from langchain_qwen_image.pipeline.standing import lease_left

_PAUSES = (0.2, 0.3, 0.5, 0.8, 1.2)
_LONGEST_PAUSE = 2.0

logger = logging.getLogger("langchain_qwen_image")


class Elsewhere:
    """Waits for calls of other processes, for one caller and at most its own timeout."""

    def __init__(self, runtime: Runtime, account: Account, seconds: float) -> None:
        """Take the seconds that the caller waits at most, in all."""
        self._runtime = runtime
        self._account = account
        self._left = seconds

    async def outcome_of(self, call: CallRecord) -> CallRecord:
        """Wait until a call that was sent has come further, and return the one of its key then.

        Raises:
            CallInProgressError: It takes longer than this caller waits; nothing was sent by it.
        """
        logger.info("call %s is under way in another process; it is waited for", call.id)
        for pause in chain(_PAUSES, repeat(_LONGEST_PAUSE)):
            if not lease_left(call):  # by this clock; the account's decides
                await self._runtime.beside(lambda: self._account.expire().result())
                call = await self._runtime.beside(self._read, call)
            if call.state != "sent":
                return call
            if self._left <= 0:
                raise _still_under_way(call)
            seconds = min(pause, self._left, lease_left(call) or pause)
            await self._runtime.sleep(seconds)
            self._left -= seconds  # also where a test's clock does not move
            call = await self._runtime.beside(self._read, call)
        raise AssertionError  # the pauses have no end

    def _read(self, call: CallRecord) -> CallRecord:
        found = None
        if call.key is not None:
            found = self._account.find_key(call.base_url, call.run, call.key)
        return found or self._account.get(call.id) or call


def _still_under_way(call: CallRecord) -> CallInProgressError:
    return CallInProgressError(
        "The same call is under way in another process, and takes longer than this one waits. "
        "Nothing was sent for it. Ask again later: it gets what that one buys.",
        retry_after=round(lease_left(call), 1),
    )
