"""Files that versions 1 and 2 of the tables left, as those versions wrote them."""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

_APPLICATION_ID = 0x5157494D
_TABLES = """
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
    replaced_by TEXT{}
);
CREATE UNIQUE INDEX current_of_batch_item ON calls (batch, batch_item)
    WHERE batch IS NOT NULL AND replaced_by IS NULL;
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
_RAW_ANSWERS = """
CREATE TABLE raw_answers (
    seq INTEGER PRIMARY KEY,
    call INTEGER NOT NULL REFERENCES calls (seq),
    content_type TEXT,
    size_bytes INTEGER,
    body BLOB
);
CREATE INDEX raw_answers_kept ON raw_answers (call) WHERE size_bytes IS NOT NULL;
"""
_USUAL = {
    "state": "asked",
    "prompt": "a red fox",
    "parameters": json.dumps({"size": "512*512", "watermark": True}),
    "model": "qwen-image",
    "base_url": "https://gateway.example",
    "cost_usd": "0.045",
    "created_at": 1_790_000_000_000_000,
    "updated_at": 1_790_000_060_000_000,
}


def make_old(
    path: Path,
    version: int = 2,
    calls: Iterable[Mapping[str, Any]] = (),
    spent: Iterable[tuple[str, str, int]] = (),
    reservations: Iterable[tuple[str, str, str, int, str]] = (),
) -> None:
    """Write a file of that version; a call with a `link` has one image, with a `path` it is saved.

    Args:
        path: Where; its folder exists.
        version: 1 or 2.
        calls: Columns of the calls that differ from usual ones.
        spent: Day, US dollars, images.
        reservations: Token, day, US dollars, images, owner.
    """
    with closing(sqlite3.connect(path)) as file, file:
        tables = _TABLES.format("" if version == 1 else ",\n    polling_path TEXT")
        file.executescript(tables + ("" if version == 1 else _RAW_ANSWERS))
        file.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        file.execute(f"PRAGMA user_version = {version}")
        for number, given in enumerate(calls, start=1):
            row = {"id": f"c{number}", **_USUAL, **given}
            link, place = row.pop("link", None), row.pop("path", None)
            names = ", ".join(row)
            values = ", ".join(f":{name}" for name in row)
            file.execute(f"INSERT INTO calls (seq, {names}) VALUES ({number}, {values})", row)
            if link is not None:
                image = (number, f"{row['id']}-image", number, place)
                file.execute(
                    "INSERT INTO images (seq, id, call, position, path) VALUES (?, ?, ?, 0, ?)",
                    image,
                )
                file.execute("INSERT INTO links VALUES (?, ?)", (number, link))
        file.executemany("INSERT INTO spent VALUES (?, ?, ?)", spent)
        file.executemany("INSERT INTO reservations VALUES (?, ?, ?, ?, ?)", reservations)
