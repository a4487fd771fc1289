"""The state of a pace as a row of an account, which all its processes and machines share."""

from functools import partial
from typing import TypeVar

from langchain_qwen_image.account.pace_state import PaceState
from langchain_qwen_image.account.pace_store import Rule, Seen
from langchain_qwen_image.account.store import Commit, Row, Store, Transaction

_T = TypeVar("_T")
_SELECT = "SELECT state FROM pace WHERE base_url = :base_url"
_INSERT = (
    "INSERT INTO pace (base_url, state) VALUES (:base_url, '') ON CONFLICT (base_url) DO NOTHING"
)
_UPDATE = "UPDATE pace SET state = :state WHERE base_url = :base_url"


class TablePaceStore:
    """One gateway's row in the table `pace`."""

    def __init__(self, store: Store, base_url: str) -> None:
        """Take the account's store; nothing is read yet."""
        self._store = store
        self._base_url = base_url

    def step(self, rule: Rule[_T]) -> Commit[tuple[_T, Seen]]:
        """Change the state, in a transaction of its own."""
        return self._store.submit(partial(change, base_url=self._base_url, rule=rule))

    def peek(self) -> None:
        """Cost nothing, and know nothing: a call's own transaction looks."""

    def look(self, tx: Transaction) -> Seen:
        """Read the state; nobody waits for its row."""
        return Seen(_state(tx.one(_SELECT, {"base_url": self._base_url})), tx.now() / 1e6)


def change(tx: Transaction, *, base_url: str, rule: Rule[_T]) -> tuple[_T, Seen]:
    """Change the state of a gateway's pace; its row is the last that a transaction locks."""
    values = {"base_url": base_url}
    row = tx.lock(_SELECT, values)
    if row is None:
        tx.execute(_INSERT, values)
        row = tx.lock(_SELECT, values)
    before, now = _state(row), tx.now() / 1e6
    after, told = rule(before, now)
    if after != before:
        tx.execute(_UPDATE, values | {"state": after.dump()})
    return told, Seen(after, now)


def _state(row: Row | None) -> PaceState:
    return PaceState() if row is None else PaceState.load(row["state"])
