"""Which saved image an address shows. The address is only read, and never opened."""

import re
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import unquote

from langchain_qwen_image.storage.image_store import ImageStore
from langchain_qwen_image.storage.public_url import Addresses, PublicUrl, comparable
from langchain_qwen_image.storage.sidecar import Sidecar

_ID = re.compile(r"(?<![0-9a-z])[0-9a-z]{8}(?:[0-9a-z]{2})?(?![0-9a-z])")
_MOST_IDS = 8
_MARKDOWN = re.compile(r"!?\[[^\]]*\]\(\s*<?([^\s<>]+?)>?\s*\)")


def address_in(text: str) -> str | None:
    """Return the address that a text is, also one in Markdown's `![…](…)`; None if it is none."""
    found = _MARKDOWN.fullmatch(text.strip())
    address = found[1] if found else text.strip().strip("<>")
    return address if comparable(address) is not None else None


def paths_at(store: ImageStore, public_url: PublicUrl | None, address: str) -> Iterator[str]:
    """Yield the paths of images that are, or were when they were saved, seen at an address.

    A string tells the key. For a function, or where the setting was another one, the names and ids
    in the address are tried, then all sidecars are read.
    """
    addresses = None if public_url is None else Addresses(store, public_url)
    key = None if addresses is None else addresses.key_at(address)
    if key:
        yield key
        return
    lookup = _Lookup(store, addresses, address)
    yield from lookup.by_name()
    yield from lookup.by_sidecar()


class _Lookup:
    """Looks for an address among the images of a store."""

    def __init__(self, store: ImageStore, addresses: Addresses | None, address: str) -> None:
        self._store = store
        self._addresses = addresses
        self._address = address
        self._wanted = comparable(address)

    def by_name(self) -> Iterator[str]:
        """Yield images whose name or id is in the address, and whose address it is."""
        name = unquote(self._address.partition("?")[0].rpartition("/")[2])
        ids = list(dict.fromkeys(_ID.findall(unquote(self._address))))[-_MOST_IDS:]
        for path in (name, *(path for _, path in self._store.find_many(ids))):
            with suppress(OSError, ValueError):  # no image of that name
                if self._is_at(path, self._store.read_sidecar(path)):
                    yield path

    def by_sidecar(self) -> Iterator[str]:
        """Yield the image whose sidecar has the address.

        Where an address differs from others in its query alone, which sidecars leave out, what the
        function says now decides.
        """
        found = [
            path
            for path, sidecar in self._store.sidecars()
            if path is not None and self._was_at(sidecar)
        ]
        if len(found) == 1:
            yield from found
        elif self._addresses is not None:
            yield from (one for one in found if self._addresses.of_path(one) == self._address)

    def _is_at(self, path: str, sidecar: Sidecar) -> bool:
        if self._was_at(sidecar):
            return True
        now = None if self._addresses is None else self._addresses.of_path(path)
        return now is not None and comparable(now) == self._wanted

    def _was_at(self, sidecar: Sidecar) -> bool:
        return sidecar.public_url is not None and comparable(sidecar.public_url) == self._wanted
