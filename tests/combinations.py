"""Which combinations of a test's parameters the quick run takes; `make test-all` takes them all.

A test of 20 rows, two twins and two stores has 80 combinations. The quick run has 20 of them: each
row once, and the twins and the stores in turn.
"""

from collections import defaultdict

import pytest


def leave_combinations(items: list[pytest.Item]) -> None:
    """Mark as `long` what is off the diagonal of a test's parameters."""
    tests: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if hasattr(item, "callspec") and item.get_closest_marker("long") is None:
            tests[item.nodeid.partition("[")[0]].append(item)
    for combinations in tests.values():
        _leave(combinations)


def _leave(combinations: list[pytest.Item]) -> None:
    # Private, but what is public (`indices`) counts each combination where decorators are stacked.
    ids = [item.callspec._idlist for item in combinations]  # type: ignore[attr-defined]
    tables = [list(dict.fromkeys(column)) for column in zip(*ids, strict=True)]
    longest = max(range(len(tables)), key=lambda place: len(tables[place]))
    for item, chosen in zip(combinations, ids, strict=True):
        turn = tables[longest].index(chosen[longest])
        if any(rows[turn % len(rows)] != row for rows, row in zip(tables, chosen, strict=True)):
            item.add_marker("long")
