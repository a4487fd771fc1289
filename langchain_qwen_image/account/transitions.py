"""Move a call through its states, one SQL function a step; each runs inside a transaction.

asked ─► sent ─► answered ─► saved
sent ─► asked: the attempt bought nothing, and is to be repeated
sent ─► queued ─► answered, refused or unknown: the image is asked for until it is there
sent ─► refused ─► asked: it bought nothing, and may be asked again
sent ─► unknown ─► queued, answered or refused: the answer came late
"""

import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_qwen_image.account.database import LedgerError
from langchain_qwen_image.account.records import State

__all__ = ["AlreadyAskedError", "get_call"]

_MAY_BECOME: Mapping[State, tuple[State, ...]] = {
    "asked": ("sent", "refused"),
    "sent": ("asked", "queued", "answered", "refused", "unknown"),
    "queued": ("answered", "refused", "unknown"),
    "answered": (),
    "saved": (),
    "refused": ("asked",),
    "unknown": ("queued", "answered", "refused"),
}


class AlreadyAskedError(LedgerError):
    """An item of a batch has a call that was paid for, or may have been.

    Attributes:
        call_id: The call that the item has.
        state: How far that call has come.
    """

    def __init__(self, message: str, *, call_id: str, state: State) -> None:
        """Note the call that is in the way."""
        super().__init__(message)
        self.call_id = call_id
        self.state = state


def ask(connection: sqlite3.Connection, row: Mapping[str, Any], pay_again: bool) -> None:
    """Enter a call, in the place of its batch item's earlier one if that may be asked again."""
    earlier = _find(connection, row["id"])
    if earlier is not None:
        if any(earlier[name] != row[name] for name in ("prompt", "parameters", "batch_item")):
            raise LedgerError(f"Call {row['id']} is in the ledger with another request.")
        if earlier["state"] == "refused":  # it bought nothing, and is asked once more
            _move(connection, row["id"], "asked")
        return
    if row["batch"] is not None:
        _replace(connection, row, pay_again)
    connection.execute(
        "INSERT INTO calls (id, state, prompt, parameters, model, base_url, cost_usd, batch,"
        " batch_item, created_at, updated_at) VALUES (:id, 'asked', :prompt, :parameters, :model,"
        " :base_url, :cost_usd, :batch, :batch_item, :now, :now)",
        {**row, "now": _now()},
    )


def _replace(connection: sqlite3.Connection, row: Mapping[str, Any], pay_again: bool) -> None:
    earlier = connection.execute(
        "SELECT id, state FROM calls WHERE batch = ? AND batch_item = ? AND replaced_by IS NULL",
        (row["batch"], row["batch_item"]),
    ).fetchone()
    if earlier is None:
        return
    state = earlier["state"]
    may_follow = state in ("asked", "refused") or (pay_again and state not in ("queued", "saved"))
    if not may_follow:
        raise AlreadyAskedError(
            f"Item {row['batch_item']} of batch {row['batch']} is {state} by call {earlier['id']}; "
            "it is not paid for again.",
            call_id=earlier["id"],
            state=state,
        )
    connection.execute("UPDATE calls SET replaced_by = ? WHERE id = ?", (row["id"], earlier["id"]))


def send(connection: sqlite3.Connection, call_id: str) -> None:
    """Note that a POST is about to leave; a call whose place was taken must not send."""
    call = get_call(connection, call_id)
    if call["replaced_by"] is not None:
        raise LedgerError(f"Call {call_id} was replaced by {call['replaced_by']}; do not send it.")
    _move(connection, call_id, "sent", attempts=1)


def wait(connection: sqlite3.Connection, call_id: str, error: str) -> None:
    """Note that an attempt bought nothing and is to be repeated."""
    _move(connection, call_id, "asked", error=error)


def queue(
    connection: sqlite3.Connection, call_id: str, polling_path: str, request_id: str | None
) -> None:
    """Note that the image is not made yet, and where to ask for it; a repeat may change that."""
    _move(connection, call_id, "queued", request_id=request_id)
    connection.execute("UPDATE calls SET polling_path = ? WHERE id = ?", (polling_path, call_id))


def fail(
    connection: sqlite3.Connection,
    call_id: str,
    to: State,
    error: str,
    message: str,
    request_id: str | None,
) -> None:
    """Note that a call bought nothing (`refused`) or may have bought an image (`unknown`)."""
    _move(connection, call_id, to, error=error, message=message, request_id=request_id)


def answer(
    connection: sqlite3.Connection,
    call_id: str,
    images: Sequence[tuple[str, str, int | None]],
    request_id: str | None,
    cost_usd: str,
) -> None:
    """Note what was bought, with its links; a repeat must name the same images."""
    call = get_call(connection, call_id)
    if call["state"] in ("answered", "saved"):
        known = connection.execute("SELECT id FROM images WHERE call = ?", (call["seq"],))
        if {row["id"] for row in known} != {image_id for image_id, _, _ in images}:
            raise LedgerError(f"Call {call_id} was answered before, with other images.")
        return
    _move(connection, call_id, "answered", request_id=request_id, cost_usd=cost_usd)
    for position, (image_id, url, expires_at) in enumerate(images):
        image = connection.execute(
            "INSERT INTO images (id, call, position, expires_at) VALUES (?, ?, ?, ?)",
            (image_id, call["seq"], position, expires_at),
        )
        connection.execute("INSERT INTO links VALUES (?, ?)", (image.lastrowid, url))


def save(
    connection: sqlite3.Connection, image_id: str, path: str | bytes, sha256: str, size_bytes: int
) -> None:
    """Note that an image is on disk, and erase the secret of its link."""
    image = _get_image(connection, image_id)
    connection.execute(
        "UPDATE images SET path = ?, sha256 = ?, size_bytes = ?, error = NULL WHERE seq = ?",
        (path, sha256, size_bytes, image["seq"]),
    )
    shown = image["url"].partition("?")[0].partition("#")[0]
    connection.execute("UPDATE links SET url = ? WHERE image = ?", (shown, image["seq"]))
    connection.execute(
        "UPDATE calls SET updated_at = ?, state = CASE WHEN EXISTS"
        " (SELECT 1 FROM images WHERE call = calls.seq AND path IS NULL)"
        " THEN state ELSE 'saved' END WHERE seq = ?",
        (_now(), image["call"]),
    )


def lose(connection: sqlite3.Connection, image_id: str, error: str) -> None:
    """Note why an image is not on disk; its link stays, and a saved image stays saved."""
    _get_image(connection, image_id)
    connection.execute(
        "UPDATE images SET error = ? WHERE id = ? AND path IS NULL", (error, image_id)
    )


def _move(
    connection: sqlite3.Connection,
    call_id: str,
    to: State,
    *,
    attempts: int = 0,
    error: str | None = None,
    message: str | None = None,
    request_id: str | None = None,
    cost_usd: str | None = None,
) -> None:
    state: State = get_call(connection, call_id)["state"]
    if state == to:
        return
    if to not in _MAY_BECOME[state]:
        raise LedgerError(f"Call {call_id} is {state} and cannot become {to}.")
    connection.execute(
        "UPDATE calls SET state = :to, attempts = attempts + :attempts, error = :error,"
        " message = :message, request_id = coalesce(:request_id, request_id),"
        " cost_usd = coalesce(:cost_usd, cost_usd), updated_at = :now WHERE id = :id",
        {
            "id": call_id,
            "to": to,
            "attempts": attempts,
            "error": error,
            "message": message,
            "request_id": request_id,
            "cost_usd": cost_usd,
            "now": _now(),
        },
    )


def _find(connection: sqlite3.Connection, call_id: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM calls WHERE id = ?", (call_id,)
    ).fetchone()
    return row


def get_call(connection: sqlite3.Connection, call_id: str) -> sqlite3.Row:
    """Return the row of a call.

    Raises:
        LedgerError: There is none.
    """
    row = _find(connection, call_id)
    if row is None:
        raise LedgerError(f"The ledger has no call {call_id}; the step `asked` comes first.")
    return row


def _get_image(connection: sqlite3.Connection, image_id: str) -> sqlite3.Row:
    row: sqlite3.Row | None = connection.execute(
        "SELECT images.*, url FROM images JOIN links ON image = seq WHERE id = ?", (image_id,)
    ).fetchone()
    if row is None:
        raise LedgerError(f"The ledger has no image {image_id}; the step `answered` comes first.")
    return row


def _now() -> int:
    return time.time_ns() // 1000
