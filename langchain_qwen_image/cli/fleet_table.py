"""The status of a fleet's run as a page on a terminal, and as rows."""

from typing import TYPE_CHECKING

from langchain_qwen_image.cli.batch_progress import duration
from langchain_qwen_image.cli.terminal import amount, dollars, one_line

if TYPE_CHECKING:
    from rich.console import RenderableType

    from langchain_qwen_image.fleet.last_look import Left
    from langchain_qwen_image.fleet.status import RunStatus

REASONS = ("images", "outcome", "why")
WORKERS = ("worker", "in progress", "state")
_BAR = 40


def facts(status: "RunStatus") -> list[tuple[str, str]]:
    """Return what is counted, each with its name; what is 0 and seldom is left out."""
    seldom = {"elsewhere", "not fetched", "unknown", "lost", "failed"}
    counts = [
        ("asked", status.asked),
        ("saved", status.saved),
        ("in progress", status.in_progress),
        ("waiting", status.waiting),
        ("elsewhere", status.elsewhere),
        ("not fetched", status.unsaved),
        ("unknown", status.unknown),
        ("lost", status.lost),
        ("failed", status.failed),
    ]
    rows = [(name, f"{count:,}") for name, count in counts if count or name not in seldom]
    limit = "" if status.max_usd is None else f", {dollars(status.max_usd)} at most in the account"
    reserved = f", {dollars(status.reserved_usd)} reserved" if status.reserved_usd else ""
    rows.append(("spent", f"{dollars(status.spent_usd)}{reserved}{limit}"))
    if (status.waiting or status.in_progress) and not status.is_paused:
        rows.append(("images a second", f"{status.images_per_second:.2g}"))
        left = "" if status.seconds_left is None else duration(status.seconds_left)
        rows.append(("time left", left or "not known yet"))
    rows.append(("state", _state(status)))
    return rows


def reason_rows(status: "RunStatus") -> list[tuple[str, str, str]]:
    """Return why images are missing: how many, what they came to, and the reason."""
    return [(f"{one.items:,}", one.status, one.reason) for one in status.failures]


def without_answer(left: "Left") -> str:
    """Say what to do about requests that have no answer yet."""
    return (
        f"{amount(left.items, 'request')} of another worker without an answer yet. If that worker "
        f"was killed, they count as unknown in {duration(left.seconds)} at the latest. Then run: "
        "qwen-image fleet settle NAME"
    )


def worker_rows(status: "RunStatus") -> list[tuple[str, str, str]]:
    """Return the workers: name, what each has under way, and what it does."""
    return [
        (
            f"{one.host}:{one.pid}",
            f"{one.in_flight} of {one.concurrency}",
            "works" if one.paused is None else f"paused: {one.paused}",
        )
        for one in status.workers
    ]


def page(status: "RunStatus") -> "RenderableType":
    """Return all of it, for a terminal."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    counts = Table.grid(padding=(0, 2, 0, 0))
    counts.add_column(style="dim", no_wrap=True)
    counts.add_column()
    for name, value in facts(status):
        counts.add_row(name, Text(value, style="bold red" if _is_bad(name) else ""))
    share = status.saved / max(status.asked, 1)
    bar = Table.grid(padding=(0, 1, 0, 0))
    done = ProgressBar(total=max(status.asked, 1), completed=status.saved, width=_BAR)
    bar.add_row(Text(f"Run {status.run}", style="bold"), done, f"{share:.0%}")
    parts: list[RenderableType] = [bar, counts]
    for columns, rows in ((REASONS, reason_rows(status)), (WORKERS, worker_rows(status))):
        if rows:
            parts.append(_table(columns, rows))
    return Group(*parts)


def _table(columns: tuple[str, str, str], rows: list[tuple[str, str, str]]) -> "RenderableType":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in columns[:-1]:
        table.add_column(name, no_wrap=True)
    table.add_column(columns[-1], overflow="fold")
    for row in rows:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    return table


def _is_bad(name: str) -> bool:
    return name in ("unknown", "lost", "failed")


def _state(status: "RunStatus") -> str:
    if status.is_settled:
        return "settled" if not status.missing else f"settled, {status.missing:,} missing"
    if status.is_paused:
        return f"paused: {status.workers[0].paused}"
    if not (status.waiting or status.in_progress):
        return "all sent; complete it with qwen-image fleet settle"
    if not status.workers:
        return "no worker is there: qwen-image fleet work"
    working = sum(worker.paused is None for worker in status.workers)
    return f"{working} of {len(status.workers)} workers at work"
