"""Puts the prompts of a file into the queue of a fleet's run."""

from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from typing import Any, NamedTuple

import typer

from langchain_qwen_image.bulk.lookup import RetryOptions, run_name
from langchain_qwen_image.bulk.request import BulkRequest
from langchain_qwen_image.cli.batch_plan import announce, plan
from langchain_qwen_image.cli.fleet_database import fleet_account, in_database
from langchain_qwen_image.cli.prompt_options import check_kind, generator_of
from langchain_qwen_image.cli.prompts import Prompts
from langchain_qwen_image.cli.terminal import amount, counting
from langchain_qwen_image.environment import sandbox_from_environment
from langchain_qwen_image.fleet.database import Database
from langchain_qwen_image.fleet.enqueue import Enqueuer


class Limit(NamedTuple):
    """What the person allows: a total for the account in US dollars, and not to be asked."""

    max_usd: float | None
    yes: bool


def enqueue_file(
    source: tuple[str, str | None, str | None],
    run: str,
    parameters: dict[str, Any],
    limit: Limit,
    retry: RetryOptions,
    database: str | None,
    sandbox: bool | None,
) -> None:
    """Read the file, say what it could cost, ask, and queue its rows.

    Args:
        source: The file, its kind, and its column of ids.
        run: Name of the run.
        parameters: Defaults for rows.
        limit: What may be spent.
        retry: What is queued again that may be billed twice.
        database: What `--database` says.
        sandbox: What `--sandbox` says.
    """
    check_kind(source[1])
    account = fleet_account(database)
    queue = Database(account)
    is_sandbox = sandbox_from_environment() if sandbox is None else sandbox
    usd = None if limit.max_usd is None else Decimal(str(limit.max_usd))
    with closing(Prompts(*source)) as rows:
        generator = generator_of(sandbox=is_sandbox, account=account, **parameters)
        enqueuer = Enqueuer(queue, generator, run_name(run, resume=True), retry)
        estimate = plan(
            generator,
            rows,
            lambda requests: in_database(queue, lambda: enqueuer.estimate(requests)),
        )
        announce(estimate, sandbox=is_sandbox, max_usd=limit.max_usd, yes=limit.yes)
        with counting("Queueing") as show:

            def tell(count: int) -> None:
                if show is not None:
                    show(count, estimate.requests)

            queued = in_database(queue, lambda: enqueuer.enqueue(_numbered(rows), usd, tell))
    typer.echo(f"{amount(queued, 'image')} queued in run {run}.")


def _numbered(rows: Prompts) -> Iterator[tuple[int, BulkRequest]]:
    for row in rows:
        yield row.line, BulkRequest(row.arguments, row.id)
