"""Waiting for what must come: no test depends on how quick the machine is."""

import asyncio
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def press_ctrl_c(process: subprocess.Popen[Any]) -> None:
    """Send SIGINT, and wait until it was taken: two that wait together would be one."""
    process.send_signal(signal.SIGINT)
    status = Path(f"/proc/{process.pid}/status")
    wait_until(lambda: process.poll() is not None or not _is_pending(status, signal.SIGINT))


def wait_until_asleep(process: subprocess.Popen[Any]) -> None:
    """Wait until the main thread of a process waits for something, and runs no Python."""
    status = Path(f"/proc/{process.pid}/stat")
    if not status.exists():  # no Linux
        time.sleep(1)
        return
    wait_until(lambda: status.read_text().rpartition(")")[2].split()[0] == "S")


def _is_pending(status: Path, number: int) -> bool:
    if not status.exists():  # no Linux
        time.sleep(1)
        return False
    pending = re.findall(r"^(?:SigPnd|ShdPnd):\s*([0-9a-f]+)", status.read_text(), re.MULTILINE)
    return any(int(mask, 16) >> (number - 1) & 1 for mask in pending)
