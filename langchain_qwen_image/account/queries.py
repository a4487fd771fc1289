"""Read calls and images out of an account's tables; each function runs on one snapshot."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from langchain_qwen_image.account.records import (
    CallRecord,
    ImageRecord,
    State,
    read_call,
    read_image,
)
from langchain_qwen_image.account.store import Transaction

__all__ = [
    "BY_ID",
    "BY_KEY",
    "Page",
    "find_image",
    "newest",
    "page",
    "read_one",
    "select_calls",
]

_CALLS = (
    "SELECT calls.*, EXISTS (SELECT 1 FROM raw_answers"
    " WHERE call = calls.seq AND size_bytes IS NOT NULL) AS has_raw_answer FROM calls WHERE "
)
BY_ID = _CALLS + "id = :id"
BY_KEY = _CALLS + "base_url = :base_url AND run = :run AND key = :key AND replaced_by IS NULL"
_PAGE = 500
_WITH_IMAGES = ("answered", "saved")
_IMAGES = (
    "SELECT images.*, links.url, calls.id AS call_id FROM images"
    " JOIN links ON links.image = images.seq JOIN calls ON calls.seq = images.call WHERE "
)
_BY_CALL = _IMAGES + "images.call BETWEEN :first AND :last ORDER BY images.call, position"
_BY_NAME = _IMAGES + "images.id = :name OR images.path = :name"


class Page(NamedTuple):
    """The number of a page's last call, and calls of the page."""

    end: int
    calls: list[CallRecord]


def newest(tx: Transaction) -> int:
    """Return the number of the call asked last; 0 if there is none."""
    row = tx.one("SELECT max(seq) AS seq FROM calls")
    return 0 if row is None or row["seq"] is None else int(row["seq"])


def page(
    tx: Transaction, after: int, until: int, run: str | None, states: Collection[State] | None
) -> Page:
    """Return those calls of a page that are wanted."""
    # Numbers may have gaps of any size in a file that was tampered with.
    row = tx.one(
        "SELECT max(seq) AS seq FROM (SELECT seq FROM calls"
        " WHERE seq > :after AND seq <= :until ORDER BY seq LIMIT :page) AS page",
        {"after": after, "until": until, "page": _PAGE},
    )
    end = until if row is None or row["seq"] is None else int(row["seq"])
    sql = "seq > :after AND seq <= :end"
    values: dict[str, Any] = {"after": after, "end": end}
    if run is not None:
        sql += " AND run = :run"
        values["run"] = run
    if run:
        sql += " AND run <> ''"  # as the index has it
    if states is not None:
        names = {f"state{number}": state for number, state in enumerate(states)}
        among = ", ".join(f":{name}" for name in names) or "NULL"
        sql += f" AND state IN ({among})"
        values |= names
    return Page(end, select_calls(tx, f"{_CALLS}{sql} ORDER BY seq", values))


def read_one(tx: Transaction, call_id: str) -> CallRecord:
    """Return the call of that id, which is there."""
    [call] = select_calls(tx, BY_ID, {"id": call_id})
    return call


def select_calls(tx: Transaction, sql: str, values: Mapping[str, Any]) -> list[CallRecord]:
    """Return the calls that a statement finds, with their images."""
    rows = tx.all(sql, values)
    if not rows:
        return []
    images: dict[str, list[ImageRecord]] = defaultdict(list)
    bought = [row["seq"] for row in rows if row["state"] in _WITH_IMAGES]
    span = {"first": bought[0], "last": bought[-1]} if bought else None
    for row in tx.all(_BY_CALL, span) if span else ():
        images[row["call_id"]].append(read_image(row))
    return [read_call(row, images[row["id"]]) for row in rows]


def find_image(tx: Transaction, name: str | bytes) -> ImageRecord | None:
    """Return the image of that id, or that is saved at that path."""
    row = tx.one(_BY_NAME, {"name": name})
    return None if row is None else read_image(row)
