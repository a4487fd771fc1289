"""Where an image of a call is saved, by what the account knows, without walking through a store."""

from collections.abc import Iterator
from contextlib import suppress

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.marker import BadMarkerError, read_marker
from langchain_qwen_image.account.records import CallRecord, ImageRecord
from langchain_qwen_image.errors import QwenImageError
from langchain_qwen_image.storage.image_store import ImageStore
from langchain_qwen_image.storage.sidecar import Sidecar

__all__ = ["find_by_id", "find_copy"]


def find_copy(
    store: ImageStore,
    call: CallRecord,
    image: ImageRecord,
    *,
    walks: bool,
    item_id: str | None = None,
) -> tuple[str, Sidecar] | None:
    """Return path and sidecar of an image that a crash left saved and not booked, if it is whole.

    It is looked for under the names that it may have been saved as.

    Args:
        store: Where images are saved.
        call: The call of the image.
        image: What the account has of it.
        walks: Else walk through the whole store: slow, and due only before it counts as lost.
        item_id: The caller's own id of the request, if known.
    """
    days = {moment.date(): moment for moment in (call.created_at, call.updated_at)}
    for created_at in days.values():
        for item in dict.fromkeys((item_id, call.key, None)):
            told = Sidecar(
                image_id=image.id, prompt=call.prompt, created_at=created_at, item_id=item
            )
            if (found := store.find_first_name(told)) is not None:
                return found
    return store.find_whole(image.id) if walks else None


def find_by_id(store: ImageStore, account: Account | None, image_id: str) -> Iterator[str]:
    """Yield the paths at which an image may be: that of the account, then those of a walk.

    There is no walk where the account has all images of the store: where the folder's marker names
    it, and for a place in an object store.
    """
    knows_all = False
    if account is not None:
        with suppress(QwenImageError):  # books that cannot be read
            knows_all = _has_all(store, account)
            row = account.find_image(image_id)
            path = None if row is None or row.path is None else store.locate(row.path)
            if path is not None:
                yield path
    if not knows_all:
        yield from store.find(image_id)


def _has_all(store: ImageStore, account: Account) -> bool:
    if store.folder is None:
        return store.address is not None
    with suppress(BadMarkerError, OSError):
        marker = read_marker(store.folder)
        return marker is not None and marker == account.id
    return False
