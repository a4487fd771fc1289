"""What the commands say, and how: calm on a terminal, plain in a pipe."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from decimal import Decimal

INTERRUPTED = 130
"""Exit status after Ctrl-C: 128 and the signal's number, as shells have it."""

Sandbox = Annotated[
    bool | None,
    typer.Option(
        "--sandbox/--no-sandbox",
        help="Draw placeholders: no key, no network, no cost. Default: PIXAZO_SANDBOX.",
    ),
]
"""The option of every command that could pay; None where it was not given."""

AccountPath = Annotated[
    str | None,
    typer.Option(
        "--account",
        metavar="PATH",
        help="Account, if not the one next to the folder: file or address.",
    ),
]
"""The option of commands that take a folder; None for what the environment or the folder says."""


class UsageError(typer.BadParameter):
    """A mistake in the command line: the usage, and one sentence after `Error:`."""

    def format_message(self) -> str:
        """Return the sentence as it is; it names its option where there is one."""
        return self.message


def fail(sentence: str, status: int = 1) -> NoReturn:
    """Say one sentence on stderr and exit with the status."""
    note(sentence)
    raise typer.Exit(status)


def is_sandbox(given: bool | None) -> bool:
    """Return what `--sandbox` or `--no-sandbox` said, else what the environment says.

    Exits, with what to do, where a key is needed and none can be used.
    """
    from langchain_qwen_image.environment import (
        api_key_source,
        sandbox_from_environment,
        usable_key,
    )

    sandbox = sandbox_from_environment() if given is None else given
    if sandbox and given is None:
        note("Note: PIXAZO_SANDBOX is set: images are placeholders, and nothing is paid.")
    if not sandbox:
        if api_key_source() is None:
            fail(
                "Error: No API key was found. Set the environment variable PIXAZO_API_KEY, save "
                "the key in ~/.pixazo/api-key, or try with --sandbox."
            )
        usable_key(None)
    return sandbox


def note(sentence: str) -> None:
    """Say one sentence on stderr; what a server sent cannot move the cursor."""
    typer.echo(one_line(sentence), err=True)


def amount(number: int, what: str) -> str:
    """Return a number with what it counts, such as `1 image` or `2,000 images`."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def dollars(usd: "Decimal | float") -> str:
    """Return an amount with two decimals at least and no more than it needs."""
    from langchain_qwen_image.account.limits import dollars as written

    return written(usd)


def one_line(text: str, longest: int | None = None) -> str:
    """Return text in one line, without control characters, at most so many characters long."""
    words = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if longest is not None and len(words) > longest:
        return f"{words[: longest - 1].rstrip()}…"
    return words


def shown(path: Path | str) -> str:
    """Return a path as a person would write it here, and an address as it is."""
    if isinstance(path, str):
        from langchain_qwen_image.storage.addresses import is_bucket_address

        if is_bucket_address(path):
            return str(path)
        path = Path(path).absolute()
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
