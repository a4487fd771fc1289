"""Runs one worker of a fleet, from the command line."""

import asyncio
import logging
import os
import socket
import time
from contextlib import suppress
from functools import partial

import typer

from langchain_qwen_image.cli.batch_progress import stopping
from langchain_qwen_image.cli.fleet_database import base_url_of, fleet_account, in_database
from langchain_qwen_image.cli.fleet_table import without_answer
from langchain_qwen_image.cli.interrupts import run_interruptible
from langchain_qwen_image.cli.output import checked_place
from langchain_qwen_image.cli.prompt_options import generator_of
from langchain_qwen_image.cli.terminal import amount, fail, is_sandbox, note
from langchain_qwen_image.fleet.database import Database
from langchain_qwen_image.fleet.last_look import Left
from langchain_qwen_image.fleet.worker import FleetWorker

_LINE_SECONDS = 60.0


def run_worker(
    out: str, concurrency: int, database: str | None, sandbox: bool | None, *, until_empty: bool
) -> None:
    """Work until it is stopped, or until all is settled, and exit with what came of it."""
    for library in ("procrastinate", "psycopg.pool"):  # what they say of a lost connection, we say
        logging.getLogger(library).addHandler(logging.NullHandler())
    account = fleet_account(database)
    out = checked_place(out, account.location, sandbox=sandbox)
    queue = Database(account)
    is_free = is_sandbox(sandbox)
    new_generator = partial(generator_of, sandbox=is_free, account=account, save_to=out)
    new_generator().pipeline.make_ready()
    worker = FleetWorker(
        queue,
        base_url_of(sandbox=is_free),
        new_generator,
        concurrency=concurrency,
        until_empty=until_empty,
        tell=note,
    )
    note(
        f"Worker {socket.gethostname()}:{os.getpid()}, {amount(concurrency, 'request')} at a time, "
        f"saves in {out}. Ctrl-C finishes what is under way."
    )
    ended = run_interruptible(_watched(worker), lambda _: _finish(worker))
    typer.echo(_summary(worker))
    if ended.status:
        fail("Stopped. What it had not sent is still in the queue.", ended.status)
    _leave(worker, queue, ended.value or Left())


def _finish(worker: FleetWorker) -> None:
    worker.stop()
    if worker.in_flight:
        note(f"{stopping(worker.in_flight)}.")


async def _watched(worker: FleetWorker) -> Left:
    """Work, and say each minute how far it is."""

    async def lines() -> None:
        while True:
            await asyncio.sleep(_LINE_SECONDS)
            note(f"{time.strftime('%H:%M:%S')} {_summary(worker)}")

    saying = asyncio.create_task(lines())
    try:
        return await worker.work()
    finally:
        saying.cancel()
        with suppress(asyncio.CancelledError):
            await saying


def _summary(worker: FleetWorker) -> str:
    others = ", ".join(
        f"{count:,} {status}"
        for status, count in sorted(worker.progress.counts.items())
        if status not in ("saved", "elsewhere")
    )
    saved = f"{amount(worker.progress.counts['saved'], 'image')} saved by this worker"
    in_flight = f", {worker.in_flight} in progress" if worker.in_flight else ""
    return f"{saved}{f', {others}' if others else ''}{in_flight}."


def _leave(worker: FleetWorker, queue: Database, left: Left) -> None:
    """Exit, by what the runs came to that the worker had items of."""
    missing = in_database(queue, worker.count_missing)
    if left.items:
        note(without_answer(left))
    if missing or left.items:
        note(f"{amount(missing, 'image')} missing. See: qwen-image fleet status NAME")
        raise typer.Exit(1)
