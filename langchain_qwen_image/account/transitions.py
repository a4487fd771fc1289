"""Move a call through its states, its money with it; one function a step, in one transaction.

asked ─► sent ─► answered ─► saved
asked, refused: neither the key nor money; the first to come may send
sent ─► asked: the attempt bought nothing, and is to be repeated
sent ─► queued ─► answered, refused or unknown: the image is asked for until it is there
sent ─► refused: it bought nothing
sent ─► unknown: no answer, or none before the lease was over
unknown ─► asked, queued, answered or refused: the answer came late
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from langchain_qwen_image.account.leases import OVER, CallTakenError, micros
from langchain_qwen_image.account.limits import Limits
from langchain_qwen_image.account.money import held, images_of, move, purse_of, usd_of
from langchain_qwen_image.account.queries import read_one
from langchain_qwen_image.account.records import State
from langchain_qwen_image.account.store import Row, Transaction
from langchain_qwen_image.errors import AccountError

__all__ = ["find_call", "get_call"]

_MAY_BECOME: Mapping[State, tuple[State, ...]] = {
    "asked": ("sent", "refused"),
    "sent": ("asked", "queued", "answered", "refused", "unknown"),
    "queued": ("answered", "refused", "unknown"),
    "answered": (),
    "saved": (),
    "refused": ("sent",),
    "unknown": ("asked", "queued", "answered", "refused"),
}
_MAY_BE_SENT = ("asked", "refused")
_OVER = f"FROM calls WHERE state = 'sent' AND {OVER}"
_COLUMNS = (
    "SELECT seq, id, state, base_url, key, fingerprint, cost_usd, cost_images, attempts,"
    " replaced_by"
)
_SELECT = f"{_COLUMNS} FROM calls"
_ONCE = 1000  # leases that one transaction settles
_NO_ANSWER = "No answer was noted before the time that the request could take was over."


def send(tx: Transaction, call_id: str, lease_seconds: float, limits: Iterable[Limits]) -> int:
    """Take key and money just before a POST leaves; return which attempt of the call it is.

    Raises:
        CallTakenError: Another process has sent it or replaced it.
        BudgetExceededError: It would go over a limit.
    """
    call = get_call(tx, call_id)
    if call["state"] not in _MAY_BE_SENT or call["replaced_by"] is not None:
        taken = read_one(tx, _standing(tx, call))
        raise CallTakenError(f"Call {taken.id} is {taken.state}; nothing was sent.", taken)
    tx.hold_room()
    _move(tx, call, "sent", attempts=1, lease=micros(lease_seconds), limits=limits)
    return int(call["attempts"]) + 1


def wait(tx: Transaction, call_id: str, error: str, attempt: int | None = None) -> None:
    """Note that an attempt bought nothing and is to be repeated."""
    call = get_call(tx, call_id)
    if attempt in (None, call["attempts"]):
        _move(tx, call, "asked", error=error)


def queue(tx: Transaction, call_id: str, polling_path: str, request_id: str | None) -> None:
    """Note that the image is not made yet, and where to ask for it; a repeat may change that."""
    call = get_call(tx, call_id)
    _move(tx, call, "queued", request_id=request_id, polling_path=polling_path)


def fail(
    tx: Transaction,
    call_id: str,
    to: State,
    error: str,
    message: str,
    request_id: str | None,
    attempt: int | None = None,
) -> None:
    """Note that a call bought nothing (`refused`) or may have bought an image (`unknown`)."""
    call = get_call(tx, call_id)
    if attempt in (None, call["attempts"]):
        _move(tx, call, to, error=error, message=message, request_id=request_id)


def answer(
    tx: Transaction,
    call_id: str,
    images: Sequence[tuple[str, str, int | None]],
    request_id: str | None,
    cost_usd: Decimal,
    cost_images: int,
) -> None:
    """Note what was bought, with its links; a repeat must name the same images."""
    call = get_call(tx, call_id)
    if call["state"] in ("answered", "saved"):
        known = tx.all("SELECT id FROM images WHERE call = :call", {"call": call["seq"]})
        if {row["id"] for row in known} != {image_id for image_id, _, _ in images}:
            raise AccountError(f"Call {call_id} was answered before, with other images.")
        return
    _move(tx, call, "answered", request_id=request_id, cost=(cost_usd, cost_images))
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


def save(tx: Transaction, image_id: str, path: str | bytes, sha256: str, size_bytes: int) -> str:
    """Note that an image is on disk, and erase the secret of its link; return its call's id."""
    image = _get_image(tx, image_id)
    call = tx.lock("SELECT id FROM calls WHERE seq = :seq", {"seq": image["call"]})
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
    return "" if call is None else str(call["id"])


def lose(tx: Transaction, image_id: str, error: str) -> None:
    """Note why an image is not on disk; its link stays, and a saved image stays saved."""
    _get_image(tx, image_id)
    tx.execute(
        "UPDATE images SET error = :error WHERE id = :id AND path IS NULL",
        {"error": error, "id": image_id},
    )


def expire(tx: Transaction) -> int:
    """Settle as unknown what was sent and has no answer in its time; return how many there were."""
    now = {"now": tx.now()}
    over = tx.all(f"SELECT id {_OVER} ORDER BY seq LIMIT {_ONCE}", now)
    # All calls are locked before the totals are, as everywhere.
    again = f"{_COLUMNS} {_OVER} AND id = :id"
    found = (tx.lock(again, {**now, "id": row["id"]}, skip=True) for row in over)
    calls = [call for call in found if call is not None]
    for call in calls:
        _move(tx, call, "unknown", error="RequestTimeoutError", message=_NO_ANSWER)
    return len(calls)


def find_call(tx: Transaction, call_id: str) -> Row | None:
    """Lock a call, and return its row; None if there is none."""
    return tx.lock(f"{_SELECT} WHERE id = :id", {"id": call_id})


def get_call(tx: Transaction, call_id: str) -> Row:
    """Lock a call, and return its row.

    Raises:
        AccountError: There is none.
    """
    row = find_call(tx, call_id)
    if row is None:
        raise AccountError(f"The account has no call {call_id}; the step `asked` comes first.")
    return row


def _move(
    tx: Transaction,
    call: Row,
    to: State,
    *,
    attempts: int = 0,
    error: str | None = None,
    message: str | None = None,
    request_id: str | None = None,
    polling_path: str | None = None,
    lease: int | None = None,
    cost: tuple[Decimal, int] | None = None,
    limits: Iterable[Limits] = (),
) -> None:
    """Move a call that is locked, and its money; what is None stays, but for an error."""
    state: State = call["state"]
    if state != to and to not in _MAY_BECOME[state]:
        raise AccountError(f"Call {call['id']} is {state} and cannot become {to}.")
    paid = usd_of(call["cost_usd"]), images_of(call["cost_images"])
    costs = paid if cost is None else cost
    move(tx, purse_of(call["base_url"]), held(state, *paid), held(to, *costs), limits)
    now = tx.now()
    tx.execute(
        "UPDATE calls SET state = :to, attempts = attempts + :attempts, error = :error,"
        " message = :message, request_id = coalesce(:request_id, request_id),"
        " polling_path = coalesce(:polling_path, polling_path),"
        " lease_micros = coalesce(:lease, lease_micros),"
        " lease_until = coalesce(:lease_until, lease_until),"
        " cost_usd = :cost_usd, cost_images = :cost_images, updated_at = :now WHERE id = :id",
        {
            "id": call["id"],
            "to": to,
            "attempts": attempts,
            "error": error,
            "message": message,
            "request_id": request_id,
            "polling_path": polling_path,
            "lease": lease,
            "lease_until": None if lease is None else now + lease,
            "cost_usd": str(costs[0]),
            "cost_images": costs[1],
            "now": now,
        },
    )


def _standing(tx: Transaction, call: Row) -> str:
    """Return the id of the call that stands for the key of a locked one: its own, if none."""
    while call["replaced_by"] is not None:
        successor = tx.one(f"{_SELECT} WHERE id = :id", {"id": call["replaced_by"]})
        if successor is None or successor["seq"] <= call["seq"]:
            break  # a file that was tampered with
        call = successor
    return str(call["id"])


def _get_image(tx: Transaction, image_id: str) -> Row:
    row = tx.one(
        "SELECT images.*, url FROM images JOIN links ON image = seq WHERE id = :id",
        {"id": image_id},
    )
    if row is None:
        raise AccountError(f"The account has no image {image_id}; the step `answered` comes first.")
    return row
