"""Long tables: the quick run takes their first rows, `make test-all` takes all of them."""

from collections.abc import Iterable
from typing import Any

import pytest
from _pytest.mark.structures import ParameterSet


def thinned(rows: Iterable[Any], *, quick: int) -> list[Any]:
    """Return the rows of a table, those after the first `quick` ones marked `long`."""
    return [row if place < quick else _marked(row) for place, row in enumerate(rows)]


def _marked(row: Any) -> ParameterSet:
    if isinstance(row, ParameterSet):
        return pytest.param(*row.values, id=row.id, marks=[*row.marks, pytest.mark.long])
    values = row if isinstance(row, tuple) else (row,)
    return pytest.param(*values, marks=pytest.mark.long)
