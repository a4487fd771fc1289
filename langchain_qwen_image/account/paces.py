"""Which pace a call goes by: one's own, its account's, or this process's for gateway and key."""

from hashlib import sha256
from typing import Literal
from weakref import WeakValueDictionary

from langchain_qwen_image.account.pace import Pace
from langchain_qwen_image.account.pace_table import TablePaceStore
from langchain_qwen_image.account.store import Store
from langchain_qwen_image.concurrency.forks import new_lock
from langchain_qwen_image.defaults import SANDBOX_URL

_shared: "WeakValueDictionary[tuple[int, bytes], Pace]" = WeakValueDictionary()
_lock = new_lock()


class Paces:
    """Finds the pace of a call, and holds it: a pace in this process ends with its last holder."""

    def __init__(
        self, own: Pace | Literal[False] | None = None, store: Store | None = None
    ) -> None:
        """Take one's own pace, or False for none, and where the account is, if there is one."""
        self._own = own
        self._store = store
        self._held: dict[bytes, Pace] = {}

    def of(self, base_url: str, key: str) -> Pace | None:
        """Return the pace of a gateway; None if calls do not wait for each other.

        Args:
            base_url: Address of the gateway. The embedded sandbox of each pipeline is one of its
                own, unless an account says otherwise.
            key: The API key; without an account a key is taken for one.
        """
        if self._own is not None:
            return self._own or None
        parts = [base_url] if self._store is not None else [base_url, key]
        name = sha256("\n".join(parts).encode()).digest()
        pace = self._held.get(name)
        if pace is None:
            pace = self._held[name] = self._find(name, base_url)
        return pace

    def _find(self, name: bytes, base_url: str) -> Pace:
        if self._store is None and base_url == SANDBOX_URL:
            return Pace()
        place = (id(self._store), name)  # a pace holds its store, so that no other has this id
        store = None if self._store is None else TablePaceStore(self._store, base_url)
        made = Pace(store)
        with _lock:
            return _shared.setdefault(place, made)
