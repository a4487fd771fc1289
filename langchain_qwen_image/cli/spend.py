"""`qwen-image spend`: what an account says was bought, per day."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer

from langchain_qwen_image.cli.tables import show_table
from langchain_qwen_image.cli.terminal import dollars

if TYPE_CHECKING:
    from langchain_qwen_image.account.spend import SpendDay

_COUNTS = ("asked", "paid", "saved", "lost", "unknown")


def spend(
    path: Annotated[
        str,
        typer.Argument(metavar="PATH", help="A folder of images, or an account: file or address."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the days as JSON.")] = False,
) -> None:
    """Show spending per day.

    Days are in UTC. Lost images were paid for and not saved, and their link has expired. Unknown
    calls were sent and have no known answer: they may have been billed.

    Exit status: 0 if the account was read, 1 if not, 2 for a usage error.
    """
    from langchain_qwen_image.account.spend import spend_by_day
    from langchain_qwen_image.recovery import account_at

    days = spend_by_day(account_at(path))
    if as_json:
        typer.echo(json.dumps([asdict(day) for day in days], default=float, indent=2))
    else:
        _show(days)


def _show(days: Sequence["SpendDay"]) -> None:
    rows = [
        (day.day, *(str(getattr(day, name)) for name in _COUNTS), dollars(day.usd)) for day in days
    ]
    if len(days) > 1:
        totals = (str(sum(getattr(day, name) for day in days)) for name in _COUNTS)
        rows.append(("all", *totals, dollars(sum((day.usd for day in days), Decimal(0)))))
    show_table(("day", *_COUNTS, "cost"), rows, numbers=True)
    perhaps = sum((day.usd_unknown for day in days), Decimal(0))
    if perhaps:
        typer.echo(f"Unknown calls may have cost up to {dollars(perhaps)} more.")
