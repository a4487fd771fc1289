"""What a bulk run has come to: a bar or a line a minute, and a table at the end."""

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from langchain_qwen_image.cli.terminal import note, one_line, show_table, shown

if TYPE_CHECKING:
    from langchain_qwen_image.bulk import BulkOutcome, BulkStatus

_LINE_SECONDS = 60.0
_BAR_SECONDS = 0.25
_ROWS_SHOWN = 50
_PROMPT_CHARACTERS = 32
_WORDS: "dict[BulkStatus, str]" = {
    "failed": "failed",
    "unknown": "unknown",
    "unsaved": "not fetched",
    "lost": "lost",
}


class Tally:
    """Counts outcomes; of images that are missing it keeps only as many as it shows.

    Attributes:
        interrupted: Whether the user has had enough.
    """

    def __init__(self, total: int) -> None:
        """Begin with nothing done."""
        self.interrupted = False
        self._total = total
        self._counts: Counter[str] = Counter()
        self._paid = self._perhaps = Decimal(0)
        self._bought = 0
        self._missing: list[BulkOutcome] = []
        self._started = time.monotonic()

    @property
    def missing(self) -> int:
        """Images that are not there, of those that had their turn or not."""
        return self._total - self._counts["saved"] - self._counts["reused"]

    def add(self, outcome: "BulkOutcome") -> None:
        """Count one."""
        self._counts[outcome.status] += 1
        cost = Decimal(str(outcome.cost_usd))
        if outcome.status == "unknown":
            self._perhaps += cost
        elif cost:
            self._paid += cost
            self._bought += 1
        if not outcome.is_there and len(self._missing) < _ROWS_SHOWN:
            self._missing.append(outcome)

    @contextmanager
    def shown(self, in_flight: Callable[[], int]) -> Iterator[None]:
        """Show on stderr how far it is, until the end."""
        over = threading.Event()
        with _bar(self._total) if sys.stderr.isatty() else _lines() as (say, seconds):

            def tick() -> None:
                while not over.wait(seconds):
                    say(self._counts.total(), self._text(in_flight()))

            ticker = threading.Thread(target=tick, daemon=True)
            ticker.start()
            try:
                yield
            finally:
                over.set()
                ticker.join()
                say(self._counts.total(), self._text(in_flight()))

    def show_missing(self, rows: Iterable[tuple[int, dict[str, Any]]]) -> None:
        """Print what is missing and why."""
        if not self._missing:
            return
        lines = self._lines_of(rows)
        self._missing.sort(key=lambda outcome: outcome.number)
        show_table(
            ("line", "outcome", "prompt", "why"),
            [
                (
                    str(lines.get(one.number, "")),
                    _WORDS.get(one.status, one.status),
                    one_line(one.request.prompt, _PROMPT_CHARACTERS) if one.request else "",
                    one.reason or "",
                )
                for one in self._missing
            ],
        )
        left = sum(self._counts[status] for status in _WORDS) - len(self._missing)
        if left:
            typer.echo(f"… and {left:,} more.")

    def show_sum(self, out: Path) -> None:
        """Print what is there, and what it cost."""
        there = self._total - self.missing
        reused = self._counts["reused"]
        before = f" ({reused:,} from earlier runs)" if reused else ""
        typer.echo(f"{there:,} of {self._total:,} images are in {shown(out.absolute())}{before}.")
        paid = f"${self._paid:,.3f} for {self._bought:,} new ones" if self._bought else "nothing"
        typer.echo(f"Paid {paid}.")
        if self._perhaps:
            typer.echo(
                f"Perhaps ${self._perhaps:,.3f} more for requests whose answer never came; "
                "--retry-unknown asks for them again."
            )

    def _text(self, in_flight: int) -> str:
        if self.interrupted and in_flight:
            return f"stopping: {in_flight} on the way, paid for; Ctrl-C again gives up on them"
        missing = sum(self._counts[status] for status in _WORDS)
        speed = self._counts["saved"] / max(time.monotonic() - self._started, 0.001)
        left = self._total - self._counts.total()
        parts = [
            f"{missing:,} missing" if missing else "",
            f"{in_flight} in flight",
            f"{speed:.2g}/s",
            f"${self._paid + self._perhaps:,.2f}",
            f"{_duration(left / speed)} left" if speed and left else "",
        ]
        return ", ".join(part for part in parts if part)

    def _lines_of(self, rows: Iterable[tuple[int, dict[str, Any]]]) -> dict[int, int]:
        """Read the file once more, for the lines of what is missing."""
        wanted = {one.number for one in self._missing}
        return {number: line for number, (line, _) in enumerate(rows) if number in wanted}


_Say = Callable[[int, str], None]


@contextmanager
def _bar(total: int) -> Iterator[tuple[_Say, float]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = BarColumn(24), MofNCompleteColumn(), TextColumn("{task.description}")
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=total)
        yield (
            lambda done, text: progress.update(task, completed=done, description=text),
            _BAR_SECONDS,
        )


@contextmanager
def _lines() -> Iterator[tuple[_Say, float]]:
    yield (
        lambda done, text: note(f"{time.strftime('%H:%M:%S')} {done:,} done, {text}"),
        _LINE_SECONDS,
    )


def _duration(seconds: float) -> str:
    """Write a time as a person would: `40 s`, `12 min`, `3 h 5 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
