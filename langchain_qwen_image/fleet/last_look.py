"""The last look at a run: what a worker had sent, or could not fetch, is asked about again."""

import asyncio
from collections.abc import Collection
from typing import NamedTuple

from langchain_qwen_image.bulk.settling import LAST_WAIT
from langchain_qwen_image.bulk.stopping import RunStoppedError
from langchain_qwen_image.fleet.desk import Desk
from langchain_qwen_image.fleet.items import Items

__all__ = ["Left", "look_once_more"]

_PAUSE_SECONDS = 1.0


class Left(NamedTuple):
    """Items that are still not at their end.

    Attributes:
        items: How many.
        seconds: After which all of them can be asked about again.
    """

    items: int = 0
    seconds: float = 0.0


async def look_once_more(desk: Desk, items: Items, runs: Collection[int] | None) -> Left:
    """Ask about items that are not at their end, a little while; return what is left.

    Args:
        desk: What settles them.
        items: Where they are.
        runs: Numbers of their runs; None for all.
    """
    left = await _ask(desk, items, runs)
    for _ in range(round(LAST_WAIT / _PAUSE_SECONDS)):
        if not left.items:
            break
        await asyncio.sleep(_PAUSE_SECONDS)
        left = await _ask(desk, items, runs)
    return left


async def _ask(desk: Desk, items: Items, runs: Collection[int] | None) -> Left:
    left, seconds, after = 0, 0.0, 0
    while batch := await items.open_ones(runs, after):
        for stored in batch:
            try:
                outcome = await desk.settle(stored)
            except RunStoppedError:
                left += 1
            else:
                await items.note(stored.item.number, outcome)
                left += outcome.again_after is not None
                seconds = max(seconds, outcome.again_after or 0.0)
        after = batch[-1].item.number
    return Left(left, seconds)
