"""Save answers to paid calls in which no image was found: a later version may read them.

They are as secret as links, and erased when their call is settled or given up.
"""

import hashlib
import os
import re
import tempfile
from itertools import count
from pathlib import Path

from langchain_qwen_image.account.marker import read_plain
from langchain_qwen_image.account.store import Transaction
from langchain_qwen_image.account.transitions import get_call
from langchain_qwen_image.errors import AccountError

__all__ = ["erase_settled", "read", "save", "write_out"]

# What is larger is a file of its own: the database stays small, and its pages in the cache.
_MAX_IN_TABLE = 64 * 1024
_BINARY = getattr(os, "O_BINARY", 0)
_UNSAFE = re.compile(r"[^\w.-]|^\.", re.ASCII)
_MAY_HAVE_ONE = ("sent", "queued", "unknown", "answered")
# A call is given up when another one was paid for in its place.
_SETTLED = """
SELECT DISTINCT calls.id, calls.seq FROM raw_answers JOIN calls ON calls.seq = raw_answers.call
LEFT JOIN calls AS successors ON successors.id = calls.replaced_by
WHERE size_bytes IS NOT NULL AND (calls.state IN ('refused', 'saved')
    OR successors.state IN ('answered', 'saved'))
    AND (calls.id = :id OR calls.replaced_by = :id)
"""


def save(tx: Transaction, call_id: str, body: bytes, content_type: str | None) -> None:
    """Save an answer in the place of an earlier one of its call; a large one is a file first."""
    call = get_call(tx, call_id)
    if call["state"] == "saved":
        return
    if call["state"] not in _MAY_HAVE_ONE:
        raise AccountError(f"Call {call_id} is {call['state']} and has no answer to save.")
    file = _file(tx, call_id) if len(body) > _MAX_IN_TABLE else None
    if file is not None:
        _write_file(file, body)
    _cut_short(tx, call["seq"])
    tx.execute(
        "INSERT INTO raw_answers (call, content_type, size_bytes, body)"
        " VALUES (:call, :content_type, :size_bytes, :body)",
        {
            "call": call["seq"],
            "content_type": content_type,
            "size_bytes": len(body),
            "body": body if file is None else None,
        },
    )


def read(tx: Transaction, call_id: str) -> bytes | None:
    """Return the answer that is saved with a call, or None."""
    row = tx.one(
        "SELECT body FROM raw_answers JOIN calls ON calls.seq = raw_answers.call"
        " WHERE calls.id = :id AND size_bytes IS NOT NULL",
        {"id": call_id},
    )
    if row is None:
        return None
    body: bytes | None = row["body"]
    if body is not None:
        return body
    file = _file(tx, call_id)
    return None if file is None else read_plain(file)


def erase_settled(tx: Transaction, call_id: str) -> None:
    """Erase the answers of a call and of the one in whose place it was asked, if not needed now.

    They are not if the images are saved, if the call bought nothing, or if it was given up.
    """
    for call in tx.all(_SETTLED, {"id": call_id}):
        _cut_short(tx, call["seq"])
        file = _file(tx, call["id"])
        if file is not None:
            file.unlink(missing_ok=True)
        tx.erased_secret()


def write_out(folder: Path, call_id: str, body: bytes) -> Path:
    """Write an answer to a file of its own in a folder, for its owner alone, over none."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    stem = _UNSAFE.sub("_", call_id)[:64]
    for number in count(1):
        file = folder / f"{stem}{f'-{number}' if number > 1 else ''}{_suffix(body)}"
        if file.is_file() and file.read_bytes() == body:
            return file
        try:
            descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY | _BINARY, 0o600)
        except FileExistsError:
            continue
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(body)
        return file
    raise AssertionError  # pragma: no cover - count does not end


def _suffix(body: bytes) -> str:
    return {b"{": ".json", b"[": ".json", b"<": ".html"}.get(body.lstrip()[:1], ".bin")


def _cut_short(tx: Transaction, seq: int) -> None:
    # And not deleted: rows that are deleted make SQLite move others (schema.py).
    tx.execute(
        "UPDATE raw_answers SET body = NULL, size_bytes = NULL"
        " WHERE call = :call AND size_bytes IS NOT NULL",
        {"call": seq},
    )


def _file(tx: Transaction, call_id: str) -> Path | None:
    beside = tx.answers_beside
    if beside is None:
        return None
    # Of a hash: a call's id may be any text, and the account may be somebody else's.
    name = hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return beside.with_name(f"{beside.name}-answer-{name}")


def _write_file(file: Path, body: bytes) -> None:
    """Write a file for its owner alone, whole or not at all."""
    descriptor, part = tempfile.mkstemp(prefix=f"{file.name}-", dir=file.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(body)
            opened.flush()
            os.fsync(descriptor)
        Path(part).replace(file)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
