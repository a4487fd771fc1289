"""Measure a fleet, and hold its laws: python -m benchmarks.fleet [--output FILE].

Workers are killed, the gateway limits, the database goes away. The laws are asserted: they hold on
a busy machine too. The figures are those of this machine.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import fleet_laws as laws
from benchmarks.report import FLEET, Table, machine, replace_section
from langchain_qwen_image import Account

sys.path.insert(0, str(laws.ROOT / "tests"))  # the server and the proxy that the tests have

_LIBRARIES = ("langchain-qwen-image", "procrastinate", "psycopg", "httpx")
_ANSWER_SECONDS = 4.0
_LIMIT = 5.0
_AWAY_SECONDS = 10.0


class Bench:
    """A server, and what is measured with it."""

    def __init__(self, folder: Path) -> None:
        """Start the server."""
        import postgres

        self._folder = folder
        self._server = postgres._start(os.getpid())
        self._numbers = iter(range(1000))

    def fleet(self, base_url: str, scale: laws.Scale, server: Any = None) -> laws.Fleet:
        """Return a fleet with a schema of its own, which is reached through a proxy or not."""
        import postgres

        url = (server or self._server).url(postgres.make_schema(self._server))
        return laws.Fleet(url, base_url, self._folder / f"images-{next(self._numbers)}", scale)

    def killed(self, scale: laws.Scale) -> Table:
        """Kill workers again and again."""
        with laws.gateway(weights=laws.SELDOM) as base_url:
            fleet = self.fleet(base_url, scale)
            fleet.enqueue()
            kills = fleet.work_through_kills()
            fleet.finish()
            found = laws.check_laws(fleet, kills)
        title = f"A fleet that is killed: {scale.workers} workers, {scale.total:,} images"
        names = ("saved", "unknown", "paid", "answers lost", "killed before the POST", "kills")
        states = found.states
        figures = (states["saved"], states["unknown"], found.paid, found.failures)
        row = [f"{one:,}" for one in (*figures, found.never_admitted, found.kills)]
        return Table(
            title,
            names,
            [row],
            [
                (
                    f"{scale.concurrency} requests at a time each; every worker killed -9 "
                    f"{scale.kills} times at a random moment; 429, 500, dropped connections and "
                    "slow answers. Asserted: no item has more than one admitted POST; saved, "
                    "answered and unknown are what was paid, the free failures, and what was "
                    "killed before it reached the gateway; the account's sum is their price to the "
                    "cent, with nothing reserved; each saved image is on the disk."
                )
            ],
        )

    def scaling(self, rounds: int, each: int) -> Table:
        """Compare 1, 2 and 4 workers, with 4 s an answer."""
        per_second: dict[int, list[float]] = {1: [], 2: [], 4: []}
        for _ in range(rounds):
            for workers, found in per_second.items():
                scale = laws.Scale(workers, each, 8, 0, (0, 0), timeout=60.0)
                with laws.gateway(delay=_ANSWER_SECONDS) as base_url:
                    at = self._admitted(self.fleet(base_url, scale))
                found.append(len(at) / (at[-1] - at[0] + _ANSWER_SECONDS))
        medians = {workers: statistics.median(found) for workers, found in per_second.items()}
        rows = [
            (f"{workers}", f"{median:.2f}", f"{median / medians[1]:.2f}")
            for workers, median in medians.items()
        ]
        return Table(
            "A fleet without a limit",
            ("workers", "images/s", "times one worker"),
            rows,
            [
                (
                    f"{_ANSWER_SECONDS:g} s an answer, 8 requests at a time each, {each} images "
                    f"for each worker; the median of {rounds}. The most is 2 images a second for "
                    "each."
                )
            ],
        )

    def limited(self, images: int) -> Table:
        """Let the gateway admit five a second."""
        scale = laws.Scale(4, images // 4, 8, 0, (0, 0), timeout=60.0)
        with laws.gateway(delay=1.0, rate=_LIMIT) as base_url:
            fleet = self.fleet(base_url, scale)
            at = self._admitted(fleet)
            refused = fleet.posts - len(at)
        rate = (len(at) - 1) / (at[-1] - at[0])
        row = (f"{rate:.2f}", f"{rate / _LIMIT:.0%}", f"{refused / (refused + len(at)):.1%}")
        return Table(
            f"A fleet at a limit of {_LIMIT:g} a second",
            ("images/s", "of the limit", "refused"),
            [row],
            [f"4 workers, 8 requests at a time each, {images} images, from a cold start."],
        )

    def away(self, scale: laws.Scale) -> Table:
        """Take the database away in the middle of a run."""
        from postgres_proxy import PostgresProxy

        with PostgresProxy(self._server) as proxy, laws.gateway(delay=0.3) as base_url:
            fleet = self.fleet(base_url, scale, proxy)
            fleet.enqueue()
            workers = [fleet.start() for _ in range(scale.workers)]
            laws.wait_for(lambda: fleet.posts > scale.total // 4)
            began = fleet.posts
            laws.away(proxy.refuse, _AWAY_SECONDS).join()
            meanwhile = fleet.posts - began
            for worker in workers:
                worker.communicate(timeout=600)
            fleet.finish()
            found = laws.check_laws(fleet, 0, cut=scale.workers * scale.concurrency)
            Account(fleet.url).close()
        row = [f"{found.states['saved']:,}", f"{found.states['unknown']}", f"{meanwhile}"]
        return Table(
            f"The database away for {_AWAY_SECONDS:g} s in the middle of a run",
            ("saved", "unknown", "POSTs meanwhile"),
            [row],
            [
                (
                    f"{scale.workers} workers, {scale.total} images; the same laws. A POST "
                    "meanwhile is one that was recorded before."
                )
            ],
        )

    def _admitted(self, fleet: laws.Fleet) -> list[float]:
        """Run workers that wait already, and return when each request was admitted."""
        workers = [fleet.start(until_empty=False) for _ in range(fleet.scale.workers)]
        laws.wait_for(lambda: fleet.workers_there() == len(workers))
        fleet.enqueue()
        account = Account(fleet.url)
        laws.wait_for(lambda: account.progress(laws.RUN).saved == fleet.scale.total)
        for worker in workers:
            worker.terminate()
            worker.communicate()
        account.close()
        return sorted(fleet.admitted_at)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the tables there too")
    given = parser.parse_args()
    began = time.monotonic()
    tables: list[Table] = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for measure in (
            lambda: bench.killed(laws.Scale(4, 250, 8, 4, (20, 50), timeout=8.0)),
            lambda: bench.away(laws.Scale(4, 100, 8, 0, (0, 0), timeout=20.0)),
            lambda: bench.limited(900),
            lambda: bench.scaling(3, 40),
        ):
            tables.append(measure())
            print(f"{tables[-1]}\n", flush=True)
    day = datetime.now(UTC).date()
    head = (
        f"Made by `make fleet-bench`, on {day}, in {(time.monotonic() - began) / 60:.0f} min. "
        f"Gateway, PostgreSQL and workers are processes of one machine.\n\n{machine(_LIBRARIES)}"
    )
    if given.output:
        replace_section(given.output, "\n\n".join([FLEET, head, *map(str, tables)]))


if __name__ == "__main__":
    main()
