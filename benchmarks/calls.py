"""What one call costs over a plain post, and what is paid when its answer is lost."""

import gc
import logging
import statistics
import time
import warnings
from contextlib import suppress

from benchmarks.clients import OURS_AND_OTHERS, Ask, Make
from benchmarks.gateway import Remote
from benchmarks.report import Bound, Table, quicker, spread

_FAULTS = ("timeout", "reset", "500", "504")


def overhead(gateway: Remote, *, rounds: int, calls: int) -> tuple[Table, list[Bound]]:
    """Time calls in turn, so many of each a round; the ratio is to the plain post's."""
    gateway.set()
    asks, skipped = _made(OURS_AND_OTHERS, gateway, timeout=30.0)
    seconds: dict[str, list[float]] = {name: [] for name in asks}
    for ask in asks.values():
        _cpu_seconds(ask, min(calls, 20))
    for _ in range(rounds):
        for name, ask in asks.items():
            seconds[name].append(_cpu_seconds(ask, calls))
    table = Table(
        "One call, warm",
        ("client", "CPU µs", "ratio min", "median", "max"),
        notes=[
            (
                "CPU time of the client's process for one call, beside that of "
                f"`httpx.Client.post` in the same round; {rounds} rounds of {calls} calls each."
            ),
            *skipped,
        ],
    )
    base = seconds["httpx.Client.post"]
    for name, figures in seconds.items():
        ratios = [ours / theirs for ours, theirs in zip(figures, base, strict=True)]
        table.rows.append((name, f"{statistics.median(figures) * 1e6:,.0f}", *spread(ratios)))
    medians = {name: statistics.median(figures) for name, figures in seconds.items()}
    table.notes.append(quicker(medians, "QwenImageTool"))
    pairs = zip(seconds["QwenImageTool"], seconds["minimal StructuredTool"], strict=True)
    ratio = statistics.median(ours / minimal for ours, minimal in pairs)
    return table, [Bound("`tool.invoke` / minimal `StructuredTool`, CPU", 1.0, ratio)]


def lost_answers(
    gateway: Remote, makers: dict[str, Make], *, timeout: float
) -> tuple[Table, list[Bound]]:
    """Count, at the gateway, the paid POSTs of one logical call whose answer is lost."""
    gateway.set()
    asks, skipped = _made(makers, gateway, timeout=timeout)
    table = Table(
        "Paid POSTs for one call whose answer is lost",
        ("client", "no answer", "reset after the request", "500", "504"),
        notes=[
            (
                "Counted at the gateway. The service has no idempotency key, so each POST may buy "
                f"an image. Everything with its defaults, but for a timeout of {timeout:g} s."
            ),
            *skipped,
        ],
    )
    worst = 0
    for name, ask in asks.items():
        posts = [_posts(gateway, ask, fault) for fault in _FAULTS]
        table.rows.append((name, *(str(number) for number in posts)))
        if name.startswith("QwenImage"):
            worst = max(worst, *posts)
    return table, [Bound("paid POSTs for a lost answer, ours", 1, worst)]


def _made(
    makers: dict[str, Make], gateway: Remote, *, timeout: float
) -> tuple[dict[str, Ask], list[str]]:
    """Make each client and try it once; say which cannot be had."""
    asks, skipped = {}, []
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    for name, make in makers.items():
        try:
            ask = make(gateway.base_url, timeout)
            ask()
        except ImportError as error:
            skipped.append(f"Skipped: {name} ({error.name or error} is not installed).")
        else:
            asks[name] = ask
    return asks, skipped


def _cpu_seconds(ask: Ask, calls: int) -> float:
    gc.collect()
    started = time.process_time()
    for _ in range(calls):
        ask()
    return (time.process_time() - started) / calls


def _posts(gateway: Remote, ask: Ask, fault: str) -> int:
    gateway.set(fault=fault)
    with suppress(Exception):
        ask()
    posts = gateway.counts()["posts"]
    gateway.set()
    return posts
