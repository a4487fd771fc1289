"""What a bulk run has come to: a bar or one line per minute, and a table at the end."""

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING

import typer

from langchain_qwen_image.cli.prompts import Row
from langchain_qwen_image.cli.tables import show_table
from langchain_qwen_image.cli.terminal import amount, dollars, note, one_line, shown

if TYPE_CHECKING:
    from langchain_qwen_image.account.run_spend import RunSpend
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
    "elsewhere": "elsewhere",
}


class BatchProgress:
    """Counts outcomes as they come; of what is odd it remembers only as many as it shows.

    The money in it is for the bar alone: what is said at the end is counted by the run.

    Attributes:
        interrupted: Whether the user wants the run to end.
    """

    def __init__(self, total: int) -> None:
        """Begin with nothing done."""
        self.interrupted = False
        self._total = total
        self._counts: Counter[str] = Counter()
        self._usd = Decimal(0)
        self._missing: list[BulkOutcome] = []
        self._warned: list[tuple[int, str]] = []
        self._started = time.monotonic()
        self._seconds_elsewhere = 0.0

    def add(self, outcome: "BulkOutcome") -> None:
        """Count one."""
        self._counts[outcome.status] += 1
        self._usd += Decimal(str(outcome.cost_usd))
        if outcome.status == "elsewhere" and outcome.error is not None:
            longest = outcome.error.retry_after or 0.0
            self._seconds_elsewhere = max(self._seconds_elsewhere, longest)
        if not outcome.is_there and len(self._missing) < _ROWS_SHOWN:
            self._missing.append(outcome)
        for sentence in outcome.result.warnings if outcome.result is not None else ():
            if len(self._warned) < _ROWS_SHOWN:
                self._warned.append((outcome.number, sentence))

    @property
    def elsewhere(self) -> str | None:
        """What to do about requests that another process has sent, in a sentence; None if none."""
        count = self._counts["elsewhere"]
        if not count:
            return None
        return (
            f"Another process has sent {amount(count, 'request')} and has no answer yet. Run the "
            "same command again for the images. If that process was killed, "
            f"{'it counts' if count == 1 else 'they count'} as unknown in "
            f"{duration(self._seconds_elsewhere)} at the latest."
        )

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

    def show_missing(self, rows: Iterable[Row], name: str) -> None:
        """Print what is missing and why, and what was unusual about answers."""
        numbers = {one.number for one in self._missing} | {number for number, _ in self._warned}
        lines = _lines_of(rows, numbers) if numbers else {}
        for number, sentence in sorted(self._warned):
            note(f"Note: {name}, line {lines.get(number, '?')}: {sentence}")
        if not self._missing:
            return
        self._missing.sort(key=lambda outcome: outcome.number)
        with_ids = any(one.id is not None for one in self._missing)
        show_table(
            ("line", *(["id"] if with_ids else []), "outcome", "prompt", "why"),
            [
                (
                    str(lines.get(one.number, "")),
                    *([one.id or ""] if with_ids else []),
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

    def show_sum(self, out: str, spend: "RunSpend") -> int:
        """Print what is saved and what it cost, and return how many images are missing.

        Args:
            out: Where the images are.
            spend: What this process has paid.
        """
        reused = self._counts["reused"]
        there = reused + spend.saved
        before = f" ({reused:,} from earlier runs)" if reused else ""
        typer.echo(
            f"{there:,} of {amount(self._total, 'image')} "
            f"{'is' if self._total == 1 else 'are'} in {shown(out)}{before}."
        )
        if spend.images and spend.usd:
            typer.echo(f"Paid {dollars(spend.usd)} for {amount(spend.images, 'new image')}.")
        elif not spend.usd_unknown:
            typer.echo("Paid nothing.")
        if spend.usd_unknown:
            typer.echo(
                f"{amount(spend.unknown, 'request')} with no known answer may have been billed: "
                f"{dollars(spend.usd_unknown)} at most."
            )
        return self._total - there

    def _text(self, in_flight: int) -> str:
        if self.interrupted and in_flight:
            return stopping(in_flight)
        missing = sum(self._counts[status] for status in _WORDS)
        speed = self._counts["saved"] / max(time.monotonic() - self._started, 0.001)
        left = self._total - self._counts.total()
        parts = [
            f"{missing:,} missing" if missing else "",
            f"{in_flight} in progress",
            f"{speed:.2g}/s",
            dollars(self._usd),
            f"{duration(left / speed)} left" if speed and left else "",
        ]
        return ", ".join(part for part in parts if part)


def stopping(in_flight: int) -> str:
    """Say what a run waits for after the first Ctrl-C."""
    return (
        f"Stopping: waiting for {amount(in_flight, 'request')} that may be billed; "
        "press Ctrl-C again to leave without the answer"
    )


def _lines_of(rows: Iterable[Row], wanted: set[int]) -> dict[int, int]:
    """Read the file once more, for the lines of what is missing."""
    return {number: row.line for number, row in enumerate(rows) if number in wanted}


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


def duration(seconds: float) -> str:
    """Write a time as a person would: `40 s`, `12 min`, `3 h 5 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
