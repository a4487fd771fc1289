"""`qwen-image doctor`: what may be wrong with this machine, in words and colours."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from langchain_qwen_image.cli.terminal import one_line, waiting

if TYPE_CHECKING:
    from langchain_qwen_image.checks.finding import Finding

_COLOURS = {"ok": "green", "unsure": "yellow", "fails": "red"}
_PIPE_WIDTH = 100_000


def doctor(
    save_to: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Also check a folder, or s3://…, for images."),
    ] = None,
    sandbox: Annotated[
        bool | None,
        typer.Option(
            "--sandbox/--no-sandbox",
            help="Check only what the sandbox needs. Default: PIXAZO_SANDBOX.",
        ),
    ] = None,
) -> None:
    """Check this machine: key, network, folder.

    Checks the clock, SQLite and fonts too. Nothing is paid for, and the key is neither sent nor
    shown.

    Exit status: 0 if nothing fails, 1 if something does, 2 for a usage error.
    """
    from langchain_qwen_image.checks.doctor import examine
    from langchain_qwen_image.environment import sandbox_from_environment

    only = sandbox_from_environment() if sandbox is None else sandbox
    with waiting("Checking this machine,"):
        findings = list(examine(place=save_to, sandbox=only))
    _show(findings)
    words = [finding.level.value for finding in findings]
    failing, unsure = words.count("fails"), words.count("unsure")
    if failing:
        typer.echo(f"\nFailing: {failing}; unsure: {unsure}.")
        raise typer.Exit(1)
    typer.echo(f"\nNothing fails; unsure: {unsure}." if unsure else "\nNo problems found.")


def _show(findings: "list[Finding]") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        word = finding.level.value
        mark = Text(word, style=f"bold {_COLOURS[word]}")
        table.add_row(mark, finding.topic, Text(one_line(finding.text)))
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    with console.capture() as capture:
        console.print(table)
    typer.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))
