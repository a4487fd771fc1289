"""Move a call through its states, one SQL function a step; each runs inside a transaction.

asked ─► sent ─► answered ─► saved
sent ─► asked: the attempt bought nothing, and is to be repeated
sent ─► queued ─► answered, refused or unknown: the image is asked for until it is there
sent ─► refused ─► asked: it bought nothing, and may be asked again
sent ─► unknown ─► queued, answered or refused: the answer came late
"""

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_qwen_image.account.records import State
from langchain_qwen_image.account.store import Row, Transaction
from langchain_qwen_image.errors import AccountError

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


class AlreadyAskedError(AccountError):
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


def ask(tx: Transaction, row: Mapping[str, Any], pay_again: bool) -> None:
    """Enter a call, in the place of its batch item's earlier one if that may be asked again."""
    earlier = _find(tx, row["id"])
    if earlier is not None:
        if any(earlier[name] != row[name] for name in ("prompt", "parameters", "batch_item")):
            raise AccountError(f"Call {row['id']} is in the ledger with another request.")
        if earlier["state"] == "refused":  # it bought nothing, and is asked once more
            _move(tx, row["id"], "asked")
        return
    if row["batch"] is not None:
        _replace(tx, row, pay_again)
    tx.execute(
        "INSERT INTO calls (id, state, prompt, parameters, model, base_url, cost_usd, batch,"
        " batch_item, created_at, updated_at) VALUES (:id, 'asked', :prompt, :parameters, :model,"
        " :base_url, :cost_usd, :batch, :batch_item, :now, :now)",
        {**row, "now": tx.now()},
    )


def _replace(tx: Transaction, row: Mapping[str, Any], pay_again: bool) -> None:
    earlier = tx.lock(
        "SELECT id, state FROM calls"
        " WHERE batch = :batch AND batch_item = :batch_item AND replaced_by IS NULL",
        {"batch": row["batch"], "batch_item": row["batch_item"]},
    )
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
    tx.execute(
        "UPDATE calls SET replaced_by = :by WHERE id = :id", {"by": row["id"], "id": earlier["id"]}
    )


def send(tx: Transaction, call_id: str) -> None:
    """Note that a POST is about to leave; a call whose place was taken must not send."""
    tx.hold_room()
    call = get_call(tx, call_id)
    if call["replaced_by"] is not None:
        raise AccountError(f"Call {call_id} was replaced by {call['replaced_by']}; do not send it.")
    _move(tx, call_id, "sent", attempts=1)


def wait(tx: Transaction, call_id: str, error: str) -> None:
    """Note that an attempt bought nothing and is to be repeated."""
    _move(tx, call_id, "asked", error=error)


def queue(tx: Transaction, call_id: str, polling_path: str, request_id: str | None) -> None:
    """Note that the image is not made yet, and where to ask for it; a repeat may change that."""
    _move(tx, call_id, "queued", request_id=request_id)
    tx.execute(
        "UPDATE calls SET polling_path = :path WHERE id = :id",
        {"path": polling_path, "id": call_id},
    )


def fail(
    tx: Transaction,
    call_id: str,
    to: State,
    error: str,
    message: str,
    request_id: str | None,
) -> None:
    """Note that a call bought nothing (`refused`) or may have bought an image (`unknown`)."""
    _move(tx, call_id, to, error=error, message=message, request_id=request_id)


def answer(
    tx: Transaction,
    call_id: str,
    images: Sequence[tuple[str, str, int | None]],
    request_id: str | None,
    cost_usd: str,
) -> None:
    """Note what was bought, with its links; a repeat must name the same images."""
    call = get_call(tx, call_id)
    if call["state"] in ("answered", "saved"):
        known = tx.all("SELECT id FROM images WHERE call = :call", {"call": call["seq"]})
        if {row["id"] for row in known} != {image_id for image_id, _, _ in images}:
            raise AccountError(f"Call {call_id} was answered before, with other images.")
        return
    _move(tx, call_id, "answered", request_id=request_id, cost_usd=cost_usd)
    for position, (image_id, url, expires_at) in enumerate(images):
        tx.execute(
            "INSERT INTO images (id, call, position, expires_at)"
            " VALUES (:id, :call, :position, :expires_at)",
            {"id": image_id, "call": call["seq"], "position": position, "expires_at": expires_at},
        )
        tx.execute(
            "INSERT INTO links (image, url) SELECT seq, :url FROM images WHERE id = :id",
            {"id": image_id, "url": url},
        )


def save(tx: Transaction, image_id: str, path: str | bytes, sha256: str, size_bytes: int) -> None:
    """Note that an image is on disk, and erase the secret of its link."""
    image = _get_image(tx, image_id)
    tx.execute(
        "UPDATE images SET path = :path, sha256 = :sha256, size_bytes = :size_bytes, error = NULL"
        " WHERE seq = :seq",
        {"path": path, "sha256": sha256, "size_bytes": size_bytes, "seq": image["seq"]},
    )
    shown = image["url"].partition("?")[0].partition("#")[0]
    tx.execute(
        "UPDATE links SET url = :url WHERE image = :image", {"url": shown, "image": image["seq"]}
    )
    tx.erased_secret()
    tx.execute(
        "UPDATE calls SET updated_at = :now, state = CASE WHEN EXISTS"
        " (SELECT 1 FROM images WHERE call = calls.seq AND path IS NULL)"
        " THEN state ELSE 'saved' END WHERE seq = :seq",
        {"now": tx.now(), "seq": image["call"]},
    )


def lose(tx: Transaction, image_id: str, error: str) -> None:
    """Note why an image is not on disk; its link stays, and a saved image stays saved."""
    _get_image(tx, image_id)
    tx.execute(
        "UPDATE images SET error = :error WHERE id = :id AND path IS NULL",
        {"error": error, "id": image_id},
    )


def _move(
    tx: Transaction,
    call_id: str,
    to: State,
    *,
    attempts: int = 0,
    error: str | None = None,
    message: str | None = None,
    request_id: str | None = None,
    cost_usd: str | None = None,
) -> None:
    state: State = get_call(tx, call_id)["state"]
    if state == to:
        return
    if to not in _MAY_BECOME[state]:
        raise AccountError(f"Call {call_id} is {state} and cannot become {to}.")
    tx.execute(
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
            "now": tx.now(),
        },
    )


def _find(tx: Transaction, call_id: str) -> Row | None:
    return tx.lock("SELECT * FROM calls WHERE id = :id", {"id": call_id})


def get_call(tx: Transaction, call_id: str) -> Row:
    """Return the row of a call.

    Raises:
        AccountError: There is none.
    """
    row = _find(tx, call_id)
    if row is None:
        raise AccountError(f"The ledger has no call {call_id}; the step `asked` comes first.")
    return row


def _get_image(tx: Transaction, image_id: str) -> Row:
    row = tx.one(
        "SELECT images.*, url FROM images JOIN links ON image = seq WHERE id = :id",
        {"id": image_id},
    )
    if row is None:
        raise AccountError(f"The ledger has no image {image_id}; the step `answered` comes first.")
    return row
