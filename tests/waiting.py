"""Waiting for what must come: no test depends on how quick the machine is."""

import asyncio
import time
from collections.abc import Callable

PATIENCE = 120.0
"""Seconds after which something that must come is missing. Only a failure takes so long."""


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {PATIENCE:.0f} s"
        time.sleep(0.005)


async def await_until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds, and let the loop go on."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {PATIENCE:.0f} s"
        await asyncio.sleep(0.005)
