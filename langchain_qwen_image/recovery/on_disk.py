"""Calls that sidecars name, so that they were answered, whatever the account says of them."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal

from langchain_qwen_image.account.found import FoundCall, FoundImage
from langchain_qwen_image.account.keys import NewCall, check_key
from langchain_qwen_image.account.records import CallRecord
from langchain_qwen_image.defaults import PRICE_USD, SANDBOX_URL
from langchain_qwen_image.environment import checked_base_url
from langchain_qwen_image.errors import QwenImageError
from langchain_qwen_image.schemas import MODEL
from langchain_qwen_image.storage.filenames import image_id
from langchain_qwen_image.storage.image_store import ImageStore
from langchain_qwen_image.storage.sidecar import Sidecar

__all__ = ["found_calls", "found_of_known"]

_MAX_RUN = 255
_OLDEST = datetime(1970, 1, 1, tzinfo=UTC)


def found_calls(store: ImageStore, gateway: str, settled: Collection[str]) -> list[FoundCall]:
    """Return the calls whose sidecars are in a folder, the newest first.

    Args:
        store: The folder.
        gateway: Address of the gateway for sidecars that do not name theirs.
        settled: Ids of calls that are left out.
    """
    sidecars: dict[str, list[tuple[str | None, Sidecar]]] = defaultdict(list)
    for path, sidecar in store.sidecars():
        call_id = sidecar.call_id
        if call_id is not None and call_id not in settled and sidecar.prompt is not None:
            sidecars[call_id].append((path, sidecar))
    found = [_found(call_id, ones, gateway) for call_id, ones in sidecars.items()]
    return sorted(found, key=lambda one: one.created_at or _OLDEST, reverse=True)


def found_of_known(store: ImageStore, calls: Collection[CallRecord]) -> Iterator[FoundCall]:
    """Yield the calls whose first image is in a store that cannot be looked through.

    An image's id follows from its call, and its key in the store from its id.
    """
    of_image = {image_id(call.id, 0): call for call in calls}
    for one, path in store.find_many(of_image):
        call = of_image[one]
        found = store.first_whole(one, [path])
        if found is not None:
            yield _found(call.id, [found], call.base_url)


def _found(call_id: str, sidecars: list[tuple[str | None, Sidecar]], gateway: str) -> FoundCall:
    [(_, first), *_] = sidecars
    images = (
        FoundImage(one.image_id, one.url or "", path, one.sha256 or "", one.size_bytes or 0)
        for path, one in sidecars
        if one.image_id is not None
    )
    return FoundCall(
        NewCall(
            id=call_id,
            prompt=first.prompt or "",
            parameters=first.parameters,
            model=first.model or MODEL,
            base_url=_gateway(first, gateway),
            cost_usd=_cost(first),
            images=len(sidecars),
            run=_run(first),
            key=_key(first),
        ),
        tuple(images),
        first.request_id,
        first.created_at,
    )


def _gateway(sidecar: Sidecar, default: str) -> str:
    if sidecar.sandbox:
        return SANDBOX_URL
    with suppress(QwenImageError):
        return checked_base_url(sidecar.gateway or default)
    return default


def _cost(sidecar: Sidecar) -> Decimal:
    if sidecar.sandbox:
        return Decimal(0)
    return Decimal(str(PRICE_USD)) if sidecar.cost_usd is None else sidecar.cost_usd


def _run(sidecar: Sidecar) -> str:
    run = sidecar.run or ""
    return run if len(run) <= _MAX_RUN and run.isprintable() else ""


def _key(sidecar: Sidecar) -> str | None:
    with suppress(QwenImageError):
        return None if sidecar.key is None else check_key(sidecar.key)
    return None
