"""A program that buys keys with a generator, and dies where it is told to.

Tests of kills run it in processes of its own, and go on with its generator in theirs.
"""

import os
import random
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from langchain_qwen_image import QwenImageGenerator
from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.store import Transaction
from langchain_qwen_image.errors import (
    BudgetExceededError,
    CallInProgressError,
    ResultUnknownError,
)
from langchain_qwen_image.pipeline import sender
from langchain_qwen_image.storage import folder as folder_module

STEPS = ("asked", "sent", "answered", "saved")
MOMENTS = (
    *(f"{when} {step}" for step in STEPS[:2] for when in ("before", "within", "after")),
    "after POST",
    *(f"{when} answered" for when in ("before", "within", "after")),
    *("with nothing on disk", "between sidecar and image"),
    *(f"{when} saved" for when in ("before", "within", "after")),
)
"""Where a process may die: between two steps, in the transaction of each, and between files."""


def generator(
    account: Account, gateway: str, folder: Path, *, timeout: float = 60
) -> QwenImageGenerator:
    """Return a generator that has these books and saves there."""
    return QwenImageGenerator(
        account=account,
        base_url=gateway,
        api_key="test-key-buyer",
        save_to=folder,
        timeout=timeout,
        max_retries=0,
        pace=False,
    )


def main(arguments: Sequence[str]) -> None:
    """Buy keys in an order of chance, and die at a moment of the first, if one is given.

    The keys that this process has an image of are written, one a line.
    """
    location, gateway, folder, moment, timeout, limit, *keys = arguments
    account = Account(location, max_images=int(limit) if limit else None)
    buying = generator(account, gateway, Path(folder), timeout=float(timeout))
    buying.pipeline.make_ready()
    _watch(account, moment)
    _say("ready")
    random.shuffle(keys)
    for key in keys:
        try:
            buying.invoke(key, idempotency_key=key)
        except (CallInProgressError, ResultUnknownError, BudgetExceededError) as error:
            sys.stderr.write(f"{key}: {error}\n")
        else:
            _say(key)


def _watch(account: Account, moment: str) -> None:
    steps = iter(STEPS)
    submit = account._store.submit

    def watched(job: Callable[[Transaction], Any]) -> Any:
        step = next(steps)
        _die_if(moment == f"before {step}")

        def job_of_step(tx: Transaction) -> Any:
            value = job(tx)
            _die_if(moment == f"within {step}")
            return value

        commit = submit(job_of_step)
        commit.exception()
        _die_if(moment == f"after {step}")
        return commit

    publish, named = (
        folder_module.publish,
        iter(("with nothing on disk", "between sidecar and image")),
    )

    def watched_publish(*arguments: Any) -> Any:
        _die_if(moment == next(named))
        return publish(*arguments)

    if moment:
        account._store.submit = watched  # type: ignore[method-assign]
        folder_module.publish = watched_publish
    if moment == "after POST":
        sender.parse_response = lambda *_, **__: _die_if(True)  # type: ignore[assignment]


def _die_if(it_is_time: bool) -> None:
    if it_is_time:
        os.kill(os.getpid(), signal.SIGKILL)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
