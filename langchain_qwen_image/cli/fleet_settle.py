"""Completes a run of a fleet, and writes its tables."""

import asyncio
from collections.abc import Iterator
from typing import Any

import typer

from langchain_qwen_image.cli.fleet_database import (
    base_url_of,
    fleet_account,
    in_database,
    known_run,
)
from langchain_qwen_image.cli.fleet_status import print_status
from langchain_qwen_image.cli.fleet_table import without_answer
from langchain_qwen_image.cli.manifest import check_manifest, record, write_manifest
from langchain_qwen_image.cli.output import checked_place
from langchain_qwen_image.cli.prompt_options import generator_of
from langchain_qwen_image.cli.terminal import is_sandbox, note, waiting
from langchain_qwen_image.fleet.database import Database
from langchain_qwen_image.fleet.desk import Desk
from langchain_qwen_image.fleet.items import Items
from langchain_qwen_image.fleet.last_look import Left, look_once_more
from langchain_qwen_image.fleet.status import RunStatus, read_status


def settle_run(name: str, out: str, database: str | None, sandbox: bool | None) -> None:
    """Ask once more, write the tables, and exit with what is missing."""
    account = fleet_account(database)
    out = checked_place(out, account.location, sandbox=sandbox)
    check_manifest(out)
    is_free = is_sandbox(sandbox)
    base_url = base_url_of(sandbox=is_free)
    queue = Database(account)
    generator = generator_of(sandbox=is_free, account=account, save_to=out)

    async def settled() -> tuple[RunStatus, Left, Exception | None]:
        items = Items(queue, base_url)
        run = await known_run(items, name)
        desk = Desk(generator, items)
        left = await look_once_more(desk, items, {run.id})
        await _write(out, items, run.id)
        return await read_status(queue, base_url, run), left, desk.failure

    with waiting("Settling,"):
        status, left, failure = in_database(queue, settled)
    print_status(status)
    if left.items:
        note(without_answer(left))
    if failure is not None:
        note(f"Stopped: {failure}")
    if status.missing:
        raise typer.Exit(1)


async def _write(out: str, items: Items, run: int) -> None:
    """Write the tables, a page of rows in memory at a time."""
    loop = asyncio.get_running_loop()

    def records() -> Iterator[dict[str, Any]]:
        after = 0
        while rows := asyncio.run_coroutine_threadsafe(items.rows(run, after), loop).result():
            after = rows[-1]["id"]
            for row in rows:
                names = ("line", "item_id", "status", "path", "cost_usd")
                yield record(*(row[name] for name in names))

    await asyncio.to_thread(write_manifest, out, records())
