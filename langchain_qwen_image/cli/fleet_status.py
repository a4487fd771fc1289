"""Shows how far a run of a fleet has come: live on a terminal, else once."""

import asyncio
import json
import sys
from dataclasses import asdict

import typer
from rich.console import Console
from rich.live import Live

from langchain_qwen_image.cli.fleet_database import (
    base_url_of,
    fleet_account,
    in_database,
    known_run,
)
from langchain_qwen_image.cli.fleet_table import (
    REASONS,
    WORKERS,
    facts,
    page,
    reason_rows,
    worker_rows,
)
from langchain_qwen_image.cli.tables import show_table
from langchain_qwen_image.cli.terminal import note
from langchain_qwen_image.environment import sandbox_from_environment
from langchain_qwen_image.fleet.database import Database
from langchain_qwen_image.fleet.items import Items
from langchain_qwen_image.fleet.status import RunStatus, read_status

_REFRESH_SECONDS = 2.0


def show_status(name: str, database: str | None, sandbox: bool | None, *, as_json: bool) -> None:
    """Show it until the run is settled, where that is a terminal; else once."""
    is_sandbox = sandbox_from_environment() if sandbox is None else sandbox
    base_url = base_url_of(sandbox=is_sandbox)
    queue = Database(fleet_account(database))
    if as_json or not sys.stdout.isatty():
        found = in_database(queue, lambda: _read(queue, base_url, name))
        if as_json:
            fields = {**asdict(found), "is_settled": found.is_settled, "is_paused": found.is_paused}
            typer.echo(json.dumps(fields, default=float, indent=2))
        else:
            print_status(found)
        return
    try:
        in_database(queue, lambda: _watch(queue, base_url, name))
    except KeyboardInterrupt:
        note("The run goes on.")


async def _read(queue: Database, base_url: str, name: str) -> RunStatus:
    run = await known_run(Items(queue, base_url), name)
    return await read_status(queue, base_url, run)


async def _watch(queue: Database, base_url: str, name: str) -> None:
    found = await _read(queue, base_url, name)
    with Live(page(found), console=Console(), auto_refresh=False) as live:
        while not found.is_settled:
            await asyncio.sleep(_REFRESH_SECONDS)
            found = await _read(queue, base_url, name)
            live.update(page(found), refresh=True)


def print_status(found: RunStatus) -> None:
    """Print how far a run has come, as tables."""
    show_table(("run", found.run), facts(found))
    for columns, rows in ((REASONS, reason_rows(found)), (WORKERS, worker_rows(found))):
        if rows:
            typer.echo("")
            show_table(columns, rows)
