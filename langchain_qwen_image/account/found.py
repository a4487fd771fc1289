"""Put an account right by what was found on disk: a call that bought an image, and its images."""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as changed
from datetime import datetime

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.asking import enter, replace
from langchain_qwen_image.account.keys import NewCall
from langchain_qwen_image.account.leases import is_over
from langchain_qwen_image.account.money import images_of, usd_of
from langchain_qwen_image.account.records import storable_link, storable_path, to_micros
from langchain_qwen_image.account.store import Commit, Transaction
from langchain_qwen_image.account.transitions import answer, find_call, get_call, save, send

__all__ = ["FoundCall", "FoundImage", "book_found"]

_BOUGHT_NOTHING = ("asked", "refused")


@dataclass(frozen=True, slots=True)
class FoundImage:
    """An image that a sidecar names.

    Attributes:
        id: Its id.
        url: Its link, without a query.
        path: Where it is; None if it is not there, or not whole.
        sha256: Checksum of its bytes, hexadecimal.
        size_bytes: Their number.
    """

    id: str
    url: str
    path: str | None
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class FoundCall:
    """A call that sidecars name, so that it was answered.

    Attributes:
        call: The call, as it would have been entered.
        images: Its images.
        request_id: The gateway's name of it, if known.
        created_at: When it was answered, if known.
    """

    call: NewCall
    images: tuple[FoundImage, ...]
    request_id: str | None = None
    created_at: datetime | None = None


def book_found(account: Account, found: FoundCall, *, enters: bool) -> Commit[bool]:
    """Book a call as answered, and its images as saved; once, and with its money.

    A call that is under way, and not past its time, is left alone. What the account knows already
    is not changed: the price is the account's own, and an image stays that of its call.

    Args:
        account: The account.
        found: What is on disk.
        enters: Enter the call if the account does not know it.

    Returns:
        Its commit; its result says whether something was put right.
    """
    return account._store.submit(lambda tx: _book(tx, found, enters=enters))


def _book(tx: Transaction, found: FoundCall, *, enters: bool) -> bool:
    new, row = found.call, find_call(tx, found.call.id)
    images = [one for one in found.images if _is_free(tx, one, None if row is None else row["seq"])]
    if not images or (row is None and not enters):
        return False
    if row is None:
        _enter(tx, found)
        row = get_call(tx, new.id)
    state = row["state"]
    if state in ("answered", "saved"):
        return _save(tx, row["seq"], images)
    if state == "sent" and not is_over(row, tx.now()):
        return False
    if state in _BOUGHT_NOTHING:
        if row["replaced_by"] is not None:
            return False
        send(tx, new.id, 0.0, ())
    links = [(one.id, storable_link(one.url), None) for one in images]
    cost, number = usd_of(row["cost_usd"]), images_of(row["cost_images"])
    answer(tx, new.id, links, found.request_id, cost, max(number, len(images)))
    _save(tx, row["seq"], images)
    return True


def _enter(tx: Transaction, found: FoundCall) -> None:
    """Enter a call; its key is its own unless another call that may have bought has it."""
    new = found.call
    current = None
    if new.key is not None:
        current = tx.lock(
            "SELECT id, state FROM calls WHERE base_url = :base_url AND run = :run AND key = :key"
            " AND replaced_by IS NULL",
            {"base_url": new.base_url, "run": new.run, "key": new.key},
        )
    if current is not None and current["state"] in _BOUGHT_NOTHING:
        replace(tx, current["id"], new.id)
    if not enter(tx, new):
        enter(tx, changed(new, key=None))
    if found.created_at is not None:
        tx.execute(
            "UPDATE calls SET created_at = :then WHERE id = :id",
            {"then": to_micros(found.created_at), "id": new.id},
        )


def _is_free(tx: Transaction, image: FoundImage, call: int | None) -> bool:
    """Say whether an id is that of no other call's image."""
    known = tx.one("SELECT call FROM images WHERE id = :id", {"id": image.id})
    return known is None or known["call"] == call


def _save(tx: Transaction, call: int, images: Sequence[FoundImage]) -> bool:
    """Note where images are that are not noted yet; return whether there were any."""
    is_changed = False
    for one in images:
        known = tx.one("SELECT call, path FROM images WHERE id = :id", {"id": one.id})
        if one.path is None or known is None or known["call"] != call or known["path"] is not None:
            continue
        save(tx, one.id, storable_path(one.path), one.sha256, one.size_bytes)
        is_changed = True
    return is_changed
