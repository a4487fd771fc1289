"""The database of a fleet, as the command line names it."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TypeVar

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.cli.terminal import UsageError, fail
from langchain_qwen_image.defaults import DATABASE_VARIABLE, SANDBOX_URL
from langchain_qwen_image.environment import base_url_from_environment, checked_base_url
from langchain_qwen_image.fleet.database import Database
from langchain_qwen_image.fleet.items import Items
from langchain_qwen_image.fleet.records import Run

_T = TypeVar("_T")


def fleet_account(database: str | None) -> Account:
    """Return the account that a fleet pays from.

    Raises:
        UsageError: Nothing names it.
        ConfigurationError: It cannot be one.
    """
    url = (database or os.environ.get(DATABASE_VARIABLE, "")).strip()
    if not url:
        raise UsageError(
            f"Set {DATABASE_VARIABLE}, or --database, to postgresql://user:password@host/database."
        )
    return Account(url)


def base_url_of(*, sandbox: bool) -> str:
    """Return the gateway whose runs are meant: the sandbox's are apart."""
    return SANDBOX_URL if sandbox else checked_base_url(base_url_from_environment())


def in_database(database: Database, work: Callable[[], Awaitable[_T]]) -> _T:
    """Do something while the database is open.

    Raises:
        AccountError: It is not to be had.
    """

    async def opened() -> _T:
        async with database.opened(), database.readable_errors():
            return await work()

    return asyncio.run(opened())


async def known_run(items: Items, name: str) -> Run:
    """Return a run; exit where there is none of that name."""
    run = await items.run(name)
    if run is None:
        fail(f"There is no run {name!r} in the queue. `qwen-image fleet enqueue` makes one.")
    return run
