"""What the commands say, and how: calm on a terminal, plain in a pipe."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from langchain_qwen_image.generator import QwenImageGenerator

INTERRUPTED = 130
"""Exit status after Ctrl-C: 128 and the signal's number, as shells have it."""

_PIPE_WIDTH = 100_000


def fail(sentence: str, status: int = 1) -> NoReturn:
    """Say one sentence on stderr and exit with the status."""
    note(sentence)
    raise typer.Exit(status)


def check_key(generator: "QwenImageGenerator") -> None:
    """Exit, with what to do, where there is no key and one is needed."""
    if generator.api_key is None and not generator.sandbox:
        fail("Error: No key. Set the environment variable PIXAZO_API_KEY, or try with --sandbox.")


def note(sentence: str) -> None:
    """Say one sentence on stderr; what a server sent cannot move the cursor."""
    typer.echo(one_line(sentence), err=True)


def amount(number: int, what: str) -> str:
    """Return a number with what it counts, such as `1 image` or `2,000 images`."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def one_line(text: str, longest: int | None = None) -> str:
    """Return text in one line, without control characters, at most so many characters long."""
    words = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if longest is not None and len(words) > longest:
        return f"{words[: longest - 1].rstrip()}…"
    return words


def shown(path: Path) -> str:
    """Return a path as a person would write it here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


@contextmanager
def waiting(what: str) -> Iterator[Callable[[str], None]]:
    """Show on stderr that something goes on, with its seconds; nothing when piped.

    Yields what replaces the text; when piped, that is said as a sentence.
    """
    if not sys.stderr.isatty():
        yield lambda text: note(f"{text}.")
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    columns = SpinnerColumn(), TextColumn("{task.description} {task.elapsed:.0f} s")
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda text: progress.update(task, description=f"{text},")


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """Yield what to tell how many of how many are done: a bar on stderr; None when piped."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = TextColumn(what), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def show_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = False
) -> None:
    """Print a table on stdout; in a pipe as aligned text, one row per line.

    `numbers` puts all columns but the first flush right.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    console = Console(width=None if terminal else _PIPE_WIDTH)
    table = Table(box=SIMPLE_HEAD if terminal else None, pad_edge=False)
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if numbers and place else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    with console.capture() as capture:
        console.print(table)
    lines = (line.rstrip() for line in capture.get().splitlines())
    typer.echo("\n".join(lines).strip("\n"))
