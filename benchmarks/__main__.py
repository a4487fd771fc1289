"""Run the benchmarks, print their tables, and write them to a file.

python -m benchmarks
python -m benchmarks --quick     # a few calls of each, to see that they work
"""

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import accounts, calls, parsing, processes, throughput
from benchmarks.clients import OURS_AND_OTHERS, RETRYING
from benchmarks.gateway import Remote, running
from benchmarks.report import Bound, Table, bounds_table, kept_section, machine

_INTRODUCTION = """\
# Results

Made by `make bench`, on {day}. The gateway is on loopback, in a process of its own, and answers
each client in its own format. Contestants take turns within each round, so that a machine whose
speed drifts is unfair to nobody; what counts are the ratios. CPU time is that of the client's
process.

{machine}
"""


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few calls of each")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the tables there too")
    given = parser.parse_args()
    bounds: list[Bound] = []
    tables = []
    with running() as gateway:
        for table, promised in _quick(gateway) if given.quick else _thorough(gateway):
            tables.append(table)
            bounds += promised
            print(f"{table}\n", flush=True)
    tables.insert(0, bounds_table(bounds))
    print(tables[0])
    if given.output:
        introduction = _INTRODUCTION.format(day=datetime.now(UTC).date(), machine=machine())
        text = "\n\n".join([introduction.strip(), *map(str, tables)])
        section = kept_section(given.output)
        given.output.write_text(f"{text}\n{section}", encoding="utf-8")


def _thorough(gateway: Remote) -> Iterator[tuple[Table, list[Bound]]]:
    yield calls.lost_answers(gateway, {**OURS_AND_OTHERS, **RETRYING}, timeout=1.0)
    yield calls.overhead(gateway, rounds=15, calls=100)
    yield accounts.overhead(gateway, rounds=15, calls=100)
    yield throughput.at_once(gateway, rounds=5, calls=1000, latency=0.2)
    yield processes.cpu_by_flight(gateway, rounds=5, calls=2000)
    yield throughput.blocking(gateway, calls=500, latency=0.2), []
    yield processes.memory_in_flight(gateway, calls=1000, latency=3.0)
    yield processes.bulk(gateway, rounds=3, calls=200, latency=0.2), []
    yield processes.imports(rounds=15)
    yield parsing.parsing(rounds=5)


def _quick(gateway: Remote) -> Iterator[tuple[Table, list[Bound]]]:
    yield calls.lost_answers(gateway, OURS_AND_OTHERS, timeout=0.2)
    yield calls.overhead(gateway, rounds=1, calls=2)
    yield accounts.overhead(gateway, rounds=1, calls=2)
    yield throughput.at_once(gateway, rounds=1, calls=40, latency=0.01)
    yield processes.cpu_by_flight(gateway, rounds=1, calls=8, few=2, many=4, contestants=1)
    yield throughput.blocking(gateway, calls=8, latency=0.01), []
    yield processes.memory_in_flight(gateway, calls=20, latency=0.3)
    yield processes.bulk(gateway, rounds=1, calls=3, latency=0.01, contestants=1), []
    yield processes.imports(rounds=1, contestants=3)
    yield parsing.parsing(rounds=1, small=1 << 12)


if __name__ == "__main__":
    main()
