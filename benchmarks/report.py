"""Figures into tables: the same text on the terminal and in RESULTS.md."""

import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@dataclass
class Table:
    """One table, with what it says above and below."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [self.columns, ["---", *["---:"] * (len(self.columns) - 1)], *self.rows]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return "\n\n".join([f"## {self.title}", table, *self.notes])


@dataclass(frozen=True)
class Bound:
    """What was promised of a figure, and the figure."""

    what: str
    at_most: float | None
    measured: float
    at_least: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the promise is saved."""
        below = self.at_most is None or self.measured <= self.at_most
        return below and (self.at_least is None or self.measured >= self.at_least)


def spread(figures: Iterable[float], digits: int = 2) -> list[str]:
    """Return minimum, median and maximum."""
    ordered = sorted(figures)
    return [f"{one:,.{digits}f}" for one in (ordered[0], statistics.median(ordered), ordered[-1])]


def quicker(figures: Mapping[str, float], ours: str, *, fewer_is_better: bool = True) -> str:
    """Say which clients beat ours, from one figure of each."""
    sign = 1 if fewer_is_better else -1
    names = [name for name, one in figures.items() if sign * one < sign * figures[ours]]
    return f"Quicker than {ours} here: {', '.join(names) or 'none'}."


def bounds_table(bounds: Iterable[Bound]) -> Table:
    """Put promises and figures side by side."""
    table = Table("Promised and measured", ("figure", "promised", "measured", "holds"))
    for bound in bounds:
        promised = f"≤ {bound.at_most:g}" if bound.at_most is not None else f"≥ {bound.at_least:g}"
        holds = "yes" if bound.holds else "**no**"
        table.rows.append((bound.what, promised, f"{bound.measured:.3g}", holds))
    return table


FLEET = "# A fleet"
"""Where the section begins that `make fleet-bench` writes."""


def replace_section(file: Path, section: str) -> None:
    """Write the section about fleets anew, at the end of a file of results."""
    others = file.read_text(encoding="utf-8").partition(f"\n{FLEET}\n")[0].rstrip()
    file.write_text(f"{others}\n\n{section}\n", encoding="utf-8")


def kept_section(file: Path) -> str:
    """Return the section about fleets that a file has, with an empty line before it."""
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    _, found, section = text.partition(f"\n{FLEET}\n")
    return f"\n{FLEET}\n{section}" if found else ""


_CLIENTS = (
    *("langchain-qwen-image", "langchain-core", "httpx", "pydantic", "openai", "dashscope"),
    *("langchain-community", "litellm", "aiohttp", "httpx-aiohttp", "tenacity"),
)


def machine(names: Iterable[str] = _CLIENTS) -> str:
    """Say what this was measured on, without saying which machine it is."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    lines = [
        f"- {_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB",
        (
            f"- {platform.system()} {platform.release().partition('-')[0]}, "
            f"{platform.python_implementation()} {platform.python_version()}"
        ),
        f"- {', '.join(_versions(names))}",
    ]
    return "\n".join(lines)


def _processor() -> str:
    try:
        facts = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in facts.splitlines() if "model name" in line]
    return names[0] if names else platform.machine()


def _versions(names: Iterable[str]) -> list[str]:
    found = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} not installed")
    return found
