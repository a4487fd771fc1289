"""Tables on standard output: a line per row, or a block per row on a narrow terminal."""

import sys
from collections.abc import Sequence

import typer

from langchain_qwen_image.cli.terminal import one_line

_PIPE_WIDTH = 100_000
_READABLE = 30
"""Columns that a sentence needs beside others; with fewer, each row is a block of lines."""


def show_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = False
) -> None:
    """Print a table; on a terminal too narrow for it, each row as a block of lines.

    Args:
        columns: Their names.
        rows: Their cells; the last column may be long, and is wrapped.
        numbers: Put all columns but the first flush right.
    """
    cells = [[one_line(cell) for cell in row] for row in rows]
    terminal = sys.stdout.isatty()
    if terminal and not _fits([list(columns), *cells]):
        lines = _blocks(columns, cells)
    else:
        lines = _aligned(columns, cells, numbers=numbers, terminal=terminal)
    typer.echo("\n".join(line.rstrip() for line in lines).strip("\n"))


def _fits(rows: list[list[str]]) -> bool:
    """Say whether the last column has room for words when all others are whole."""
    from rich.cells import cell_len
    from rich.console import Console

    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    room = Console().width - sum(width + 2 for width in widths[:-1])
    return room >= min(widths[-1], _READABLE)


def _aligned(
    columns: Sequence[str], rows: list[list[str]], *, numbers: bool, terminal: bool
) -> list[str]:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if terminal else _PIPE_WIDTH)
    table = Table(box=SIMPLE_HEAD if terminal else None, pad_edge=False)
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if numbers and place else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    with console.capture() as capture:
        console.print(table)
    return capture.get().splitlines()


def _blocks(columns: Sequence[str], rows: list[list[str]]) -> list[str]:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    margin = max(map(len, columns))
    with console.capture() as capture:
        for row in rows:
            block = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
            block.add_column(no_wrap=True, min_width=margin)
            block.add_column(overflow="fold")
            for name, cell in zip(columns, row, strict=True):
                if cell:
                    block.add_row(name, Text(cell))
            console.print(block)
            console.print()
    return capture.get().splitlines()
