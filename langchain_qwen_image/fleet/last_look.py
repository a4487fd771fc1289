"""The last look at a run: what a worker had sent, or could not fetch, is asked about again."""

import asyncio
from collections.abc import Collection

from langchain_qwen_image.bulk.settling import LAST_WAIT
from langchain_qwen_image.bulk.stopping import RunStoppedError
from langchain_qwen_image.fleet.desk import Desk
from langchain_qwen_image.fleet.items import Items

__all__ = ["look_once_more"]

_PAUSE_SECONDS = 1.0


async def look_once_more(desk: Desk, items: Items, runs: Collection[int] | None) -> int:
    """Ask about items that are not at their end, a little while; return how many still are not.

    Args:
        desk: What settles them.
        items: Where they are.
        runs: Numbers of their runs; None for all.
    """
    left = await _ask(desk, items, runs)
    for _ in range(round(LAST_WAIT / _PAUSE_SECONDS)):
        if not left:
            break
        await asyncio.sleep(_PAUSE_SECONDS)
        left = await _ask(desk, items, runs)
    return left


async def _ask(desk: Desk, items: Items, runs: Collection[int] | None) -> int:
    left, after = 0, 0
    while batch := await items.open_ones(runs, after):
        for stored in batch:
            try:
                outcome = await desk.settle(stored)
            except RunStoppedError:
                left += 1
            else:
                await items.note(stored.item.number, outcome)
                left += outcome.again_after is not None
        after = batch[-1].item.number
    return left
