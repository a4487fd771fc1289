"""The tables of an account, in words that SQLite and PostgreSQL both read.

Money is decimal text, because it must be exact; times are microseconds since 1970, UTC.
"""

import re
from collections.abc import Iterator
from uuid import uuid4

from langchain_qwen_image.account.store import Transaction

__all__ = ["SCHEMA_VERSION", "TABLES", "fill", "statements_of", "table_of"]

SCHEMA_VERSION = 4

# A link is a secret, and so is a raw answer. SQLite's `secure_delete` clears what is deleted or cut
# short, but not the place that a row had before SQLite moved it to another page, as it does when
# rows grow or are deleted: 2 of 20,000 links were found so in the file, after they had been cut. So
# secrets have tables of their own, whose rows are only appended and cut short, which moves none.
TABLES = """
CREATE TABLE account (
    id TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL
);
CREATE TABLE calls (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    operation TEXT NOT NULL,
    prompt TEXT NOT NULL,
    parameters TEXT NOT NULL,
    model TEXT NOT NULL,
    base_url TEXT NOT NULL,
    run TEXT NOT NULL,
    key TEXT,
    fingerprint TEXT NOT NULL,
    cost_usd TEXT NOT NULL,
    cost_images INTEGER NOT NULL,
    request_id TEXT,
    error TEXT,
    message TEXT,
    attempts INTEGER NOT NULL,
    lease_micros INTEGER,
    lease_until INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    replaced_by TEXT,
    polling_path TEXT
);
CREATE UNIQUE INDEX current_of_key ON calls (base_url, run, key)
    WHERE key IS NOT NULL AND replaced_by IS NULL;
CREATE INDEX calls_of_run ON calls (run) WHERE run <> '';
CREATE INDEX leases ON calls (lease_until) WHERE state = 'sent';
CREATE TABLE images (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    call INTEGER NOT NULL REFERENCES calls (seq),
    position INTEGER NOT NULL,
    expires_at INTEGER,
    path TEXT,
    sha256 TEXT,
    size_bytes INTEGER,
    error TEXT
);
CREATE INDEX images_of_call ON images (call, position);
CREATE INDEX images_by_path ON images (path);
CREATE TABLE links (
    image INTEGER PRIMARY KEY REFERENCES images (seq),
    url TEXT NOT NULL
);
CREATE TABLE raw_answers (
    seq INTEGER PRIMARY KEY,
    call INTEGER NOT NULL REFERENCES calls (seq),
    content_type TEXT,
    size_bytes INTEGER,
    body BLOB
);
CREATE INDEX raw_answers_kept ON raw_answers (call) WHERE size_bytes IS NOT NULL;
CREATE TABLE totals (
    purse TEXT PRIMARY KEY,
    spent_usd TEXT NOT NULL,
    reserved_usd TEXT NOT NULL,
    spent_images INTEGER NOT NULL,
    reserved_images INTEGER NOT NULL
);
CREATE TABLE reservations (
    token TEXT PRIMARY KEY,
    day TEXT NOT NULL,
    usd TEXT NOT NULL,
    images INTEGER NOT NULL,
    lease_micros INTEGER NOT NULL,
    lease_until INTEGER NOT NULL
);
CREATE TABLE spent (
    day TEXT PRIMARY KEY,
    usd TEXT NOT NULL,
    images INTEGER NOT NULL
);
CREATE TABLE pace (
    base_url TEXT PRIMARY KEY,
    state TEXT NOT NULL
);
CREATE TABLE deliveries (
    key TEXT PRIMARY KEY,
    base_url TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    taken_by TEXT,
    taken_until INTEGER,
    touched_at INTEGER NOT NULL
);
CREATE INDEX deliveries_of ON deliveries (base_url, fingerprint);
"""


def statements_of(table: str) -> Iterator[str]:
    """Yield the statements that make a table, and the indexes of it."""
    return (one for one in TABLES.split(";") if table_of(one) == table)


def table_of(statement: str) -> str | None:
    """Return the table that a statement makes, or makes an index of."""
    found = re.search(r"CREATE TABLE (\w+)| ON (\w+)", statement)
    return found and (found[1] or found[2])


def fill(tx: Transaction) -> None:
    """Enter what every account has from the start: its id, and its purses."""
    tx.execute(
        "INSERT INTO account (id, created_at) VALUES (:id, :now)",
        {"id": uuid4().hex, "now": tx.now()},
    )
    for purse in ("gateway", "sandbox"):
        tx.execute(
            "INSERT INTO totals (purse, spent_usd, reserved_usd, spent_images, reserved_images)"
            " VALUES (:purse, '0', '0', 0, 0)",
            {"purse": purse},
        )
