"""Make a file of an earlier version one of this version; no money is forgotten.

Versions 1 and 2 had a ledger, a budget, or both in one file. What their budget counted beyond the
calls in the file stays counted, as spent. Version 3 had no deliveries.
"""

import json
import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from langchain_qwen_image.account.keys import fingerprint
from langchain_qwen_image.account.limits import EXACT, ZERO, Totals
from langchain_qwen_image.account.money import (
    Purse,
    add,
    held,
    images_of,
    purse_of,
    usd_of,
    write_totals,
)
from langchain_qwen_image.account.reservations import count_spent
from langchain_qwen_image.account.sqlite import SqliteTransaction
from langchain_qwen_image.account.tables import TABLES, fill, statements_of, table_of

__all__ = ["RUNS", "tables_of", "upgrade"]

# The tables that the next version changes or drops; the others are as they were.
_CALLS_2 = """
CREATE TABLE calls (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    prompt TEXT NOT NULL,
    parameters TEXT NOT NULL,
    model TEXT NOT NULL,
    base_url TEXT NOT NULL,
    cost_usd TEXT NOT NULL,
    request_id TEXT,
    error TEXT,
    message TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    batch TEXT,
    batch_item TEXT,
    replaced_by TEXT,
    polling_path TEXT
);
CREATE UNIQUE INDEX current_of_batch_item ON calls (batch, batch_item)
    WHERE batch IS NOT NULL AND replaced_by IS NULL;
"""
_BUDGET_2 = """
CREATE TABLE reservations (
    token TEXT PRIMARY KEY,
    day TEXT NOT NULL,
    usd TEXT NOT NULL,
    images INTEGER NOT NULL,
    owner TEXT NOT NULL
);
CREATE TABLE spent (
    day TEXT PRIMARY KEY,
    usd TEXT NOT NULL,
    images INTEGER NOT NULL
);
"""
# Made when a bulk run first claims its folder: other files do without.
RUNS = "CREATE TABLE runs (batch TEXT PRIMARY KEY, owner TEXT NOT NULL)"

_IN_BOTH = ("images", "links", "raw_answers")
_NEW_CALL = """
INSERT INTO new_calls (seq, id, state, operation, prompt, parameters, model, base_url, run, key,
    fingerprint, cost_usd, cost_images, request_id, error, message, attempts, lease_micros,
    lease_until, created_at, updated_at, replaced_by, polling_path)
VALUES (:seq, :id, :state, 'generate', :prompt, :parameters, :model, :base_url,
    coalesce(:batch, ''), :batch_item, :fingerprint, :cost_usd, :cost_images, :request_id, :error,
    :message, :attempts, :lease_micros, :lease_until, :created_at, :updated_at, :replaced_by,
    :polling_path)
"""
_OLD_CALLS = """
SELECT calls.*, (SELECT count(*) FROM images WHERE images.call = calls.seq) AS bought FROM calls
"""


def tables_of(version: int) -> str:
    """Return the statements that made a file of an earlier version."""
    if version == 3:
        return ";".join(one for one in TABLES.split(";") if table_of(one) != "deliveries")
    shared = [one for one in TABLES.split(";") if table_of(one) in _IN_BOTH]
    calls = _CALLS_2
    if version == 1:
        shared = [one for one in shared if table_of(one) != "raw_answers"]
        calls = calls.replace(",\n    polling_path TEXT", "")
    return calls + ";".join(shared) + ";" + _BUDGET_2


def upgrade(connection: sqlite3.Connection, version: int) -> None:
    """Change the tables, inside a transaction of the caller."""
    _make(connection, "deliveries")
    if version == 3:
        return
    if version == 1:
        connection.execute("ALTER TABLE calls ADD COLUMN polling_path TEXT")
        _make(connection, "raw_answers")
        connection.execute("UPDATE links SET url = rtrim(url)")
    # Money of a call is where its state says. What is left is of programs, and of other accounts.
    sums = connection.execute(
        "SELECT day, usd, images FROM spent UNION ALL"
        " SELECT day, usd, images FROM reservations WHERE token NOT LIKE 'call:%' ORDER BY day"
    ).fetchall()
    for name in ("spent", "reservations"):
        connection.execute(f"DROP TABLE {name}")
    connection.execute("DROP TABLE IF EXISTS runs")
    for name in ("account", "totals", "spent", "reservations", "pace"):
        _make(connection, name)
    tx = SqliteTransaction(connection, Path(), lambda: None)
    fill(tx)
    totals = _upgrade_calls(connection)
    totals["gateway"] = _carry_over(tx, sums, totals)
    for purse, held_there in totals.items():
        write_totals(tx, purse, held_there)


def _upgrade_calls(connection: sqlite3.Connection) -> dict[Purse, Totals]:
    """Write the calls anew, and return what they hold."""
    calls, index, *others = (one for one in TABLES.split(";") if table_of(one) == "calls")
    connection.execute(calls.replace("CREATE TABLE calls", "CREATE TABLE new_calls"))
    totals: dict[Purse, Totals] = {"gateway": Totals(), "sandbox": Totals()}
    connection.executemany(_NEW_CALL, _new_calls(connection, totals))
    connection.execute("DROP TABLE calls")
    connection.execute("ALTER TABLE new_calls RENAME TO calls")
    for statement in (index, *others):
        connection.execute(statement)
    return totals


def _new_calls(
    connection: sqlite3.Connection, totals: dict[Purse, Totals]
) -> Iterator[dict[str, Any]]:
    for row in connection.execute(_OLD_CALLS):
        call = dict(row)
        state, usd, images = call["state"], usd_of(call["cost_usd"]), max(1, call["bought"])
        purse = purse_of(call["base_url"])
        totals[purse] = add(totals[purse], held(state, usd, images))
        is_sent = state == "sent"  # by a version that cannot write here any more
        yield call | {
            "fingerprint": fingerprint(
                "generate", call["model"], call["prompt"], json.loads(call["parameters"])
            ),
            "cost_images": images,
            "lease_micros": 0 if is_sent else None,
            "lease_until": call["updated_at"] if is_sent else None,
        }


def _carry_over(
    tx: SqliteTransaction, sums: list[sqlite3.Row], totals: dict[Purse, Totals]
) -> Totals:
    """Count what the budget counted beyond the calls, on its last days; return all there is."""
    known = add(totals["gateway"], totals["sandbox"])
    usd = EXACT.subtract(_sum(sums), EXACT.add(known.spent_usd, known.reserved_usd))
    images = sum(images_of(row["images"]) for row in sums)
    images -= known.spent_images + known.reserved_images
    for row in reversed(sums):
        day = Totals(
            spent_usd=min(max(usd, ZERO), usd_of(row["usd"])),
            spent_images=min(max(images, 0), row["images"]),
        )
        if not (day.spent_usd or day.spent_images):
            continue
        usd, images = EXACT.subtract(usd, day.spent_usd), images - day.spent_images
        count_spent(tx, row["day"], day.spent_usd, day.spent_images)
        totals["gateway"] = add(totals["gateway"], day)
    return totals["gateway"]


def _sum(sums: list[sqlite3.Row]) -> Decimal:
    total = ZERO
    for row in sums:
        total = EXACT.add(total, usd_of(row["usd"]))
    return total


def _make(connection: sqlite3.Connection, table: str) -> None:
    for statement in statements_of(table):
        connection.execute(statement)
