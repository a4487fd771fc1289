"""Completes one request of a bulk run, from the state that its key has in the account."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain, repeat

from langchain_qwen_image.account.records import CallRecord
from langchain_qwen_image.bulk.items import Item
from langchain_qwen_image.bulk.lookup import Lookup, PriorState, elsewhere, unknown
from langchain_qwen_image.bulk.stopping import RunStoppedError
from langchain_qwen_image.bulk.worker import Worker
from langchain_qwen_image.concurrency.threads import in_thread
from langchain_qwen_image.pipeline.standing import Action, lease_left

LAST_WAIT = 5.0
"""Seconds for which a run waits at its end for what other processes have sent, all together."""

_PAUSES = (0.1, 0.2, 0.4, 0.8)
_LONGEST_PAUSE = 1.0


class FirstLooks:
    """Tells when each request of a run was looked at once, by all its workers."""

    def __init__(self, workers: int) -> None:
        """Take how many workers look."""
        self._left = workers
        self._over = asyncio.Event()
        self._over_at = 0.0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Let a worker look, in the block."""
        try:
            yield
        finally:
            self._left -= 1
            if not self._left:
                self._over_at = time.monotonic()
                self._over.set()

    async def wait(self) -> None:
        """Wait until all have looked."""
        await self._over.wait()

    @property
    def seconds_since(self) -> float:
        """How long ago that was."""
        return time.monotonic() - self._over_at


class Settler:
    """Buys what was not bought; safe for the tasks of the run's loop."""

    def __init__(self, lookup: Lookup | None, worker: Worker, *, retry_lost: bool) -> None:
        """Take where calls are looked up, who buys, and whether lost images are paid for again."""
        self._lookup = lookup
        self._worker = worker
        self._retry_lost = retry_lost

    async def settle(self, item: Item) -> PriorState:
        """Buy an image, or find out what another call has bought.

        Raises:
            RunStoppedError: It bought nothing, and the run ends.
        """
        call = None if self._lookup is None else await in_thread(self._lookup.find, item.key)
        return await self.settle_from(call, item)

    async def settle_from(self, call: CallRecord | None, item: Item) -> PriorState:
        """Do the same, from the call that its key has in the account.

        Raises:
            RunStoppedError: It bought nothing, and the run ends.
        """
        state = None
        if call is not None and self._lookup is not None:
            state = await self._state_of(call, item, self._lookup)
        return await self._worker.buy(item) if state is None else state

    async def settle_at_last(self, item: Item, looked: FirstLooks) -> PriorState:
        """Do the same for a request that was under way elsewhere, and wait a little for that."""
        for pause in chain(_PAUSES, repeat(_LONGEST_PAUSE)):
            state = await self.settle(item)
            left = LAST_WAIT - looked.seconds_since
            if state.status != "elsewhere" or left <= 0:
                break
            try:
                await self._worker.unless_stopped(partial(asyncio.sleep, min(pause, left)))
            except RunStoppedError:
                break
        return state

    async def _state_of(self, call: CallRecord, item: Item, lookup: Lookup) -> PriorState | None:
        """Return how things stand with the call of a request; None if it is to be bought."""
        if (error := lookup.conflict(call, item)) is not None:
            return PriorState("failed", reason=str(error), error=error)
        match lookup.next_action(call):
            case Action.SEND | Action.REPLACE:
                return None
            case Action.WAIT:
                return elsewhere(lease_left(call))
            case Action.RESUME:
                return await self._worker.resume(call, item)
            case Action.HAND_OUT:
                state = await self._worker.replay(call, item)
                return None if state.status == "lost" and self._retry_lost else state
            case Action.REFUSE:
                return unknown(call)
