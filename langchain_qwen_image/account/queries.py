"""Read calls and images out of a ledger's tables; each function runs on one snapshot."""

import sqlite3
from collections import defaultdict
from typing import NamedTuple

from langchain_qwen_image.account.records import LedgerCall, LedgerImage, read_call, read_image

__all__ = ["BY_ID", "BY_ITEM", "Page", "find_image", "newest", "page", "select_calls"]

# Values are named or in their order: Python 3.12 takes ?1 for a name (gh-117995).
_CALLS = (
    "SELECT calls.*, EXISTS (SELECT 1 FROM raw_answers"
    " WHERE call = calls.seq AND size_bytes IS NOT NULL) AS has_raw_answer FROM calls WHERE "
)
BY_ID = _CALLS + "id = ?"
BY_ITEM = _CALLS + "batch = ? AND batch_item = ? AND replaced_by IS NULL"
_PAGE = 500
_BY_PAGE = _CALLS + (
    "seq > :after AND seq <= :end AND (:batch IS NULL OR batch = :batch)"
    " AND (:states IS NULL OR instr(:states, ',' || state || ',')) ORDER BY seq"
)
_IMAGES = (
    "SELECT images.*, links.url, calls.id AS call_id FROM images"
    " JOIN links ON links.image = images.seq JOIN calls ON calls.seq = images.call WHERE "
)
_BY_CALL = _IMAGES + "images.call BETWEEN ? AND ? ORDER BY images.call, position"
_BY_NAME = _IMAGES + "images.id = :name OR images.path = :name"


class Page(NamedTuple):
    """The number of a page's last call, and calls of the page."""

    end: int
    calls: list[LedgerCall]


def newest(connection: sqlite3.Connection) -> int:
    """Return the number of the call asked last; 0 if there is none."""
    seq: int = connection.execute("SELECT coalesce(max(seq), 0) FROM calls").fetchone()[0]
    return seq


def page(
    connection: sqlite3.Connection, after: int, until: int, batch: str | None, states: str | None
) -> Page:
    """Return those calls of a page that are wanted."""
    # Numbers may have gaps of any size in a file that was tampered with.
    end: int = connection.execute(
        "SELECT coalesce(max(seq), :until) FROM"
        " (SELECT seq FROM calls WHERE seq > :after AND seq <= :until ORDER BY seq LIMIT :page)",
        {"after": after, "until": until, "page": _PAGE},
    ).fetchone()[0]
    wanted = {"after": after, "end": end, "batch": batch, "states": states}
    return Page(end, select_calls(connection, _BY_PAGE, wanted))


def select_calls(
    connection: sqlite3.Connection,
    sql: str,
    values: tuple[str | int | None, ...] | dict[str, str | int | None],
) -> list[LedgerCall]:
    """Return the calls that a statement finds, with their images."""
    rows = connection.execute(sql, values).fetchall()
    if not rows:
        return []
    images: dict[str, list[LedgerImage]] = defaultdict(list)
    for row in connection.execute(_BY_CALL, (rows[0]["seq"], rows[-1]["seq"])):
        images[row["call_id"]].append(read_image(row))
    return [read_call(row, images[row["id"]]) for row in rows]


def find_image(connection: sqlite3.Connection, name: str | bytes) -> LedgerImage | None:
    """Return the image of that id, or that is saved at that path."""
    row = connection.execute(_BY_NAME, {"name": name}).fetchone()
    return None if row is None else read_image(row)
