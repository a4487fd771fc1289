"""The requests of a bulk run, checked, and each with its key."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterable
from itertools import count
from typing import NamedTuple, Protocol

from langchain_qwen_image.account.keys import check_key
from langchain_qwen_image.bulk.request import BulkRequest
from langchain_qwen_image.bulk.request_ids import RequestIds
from langchain_qwen_image.concurrency.forks import new_lock
from langchain_qwen_image.concurrency.threads import in_thread
from langchain_qwen_image.errors import InvalidRequestError, QwenImageError
from langchain_qwen_image.integration.inputs import GeneratorInput
from langchain_qwen_image.schemas import QwenImageInput

Given = GeneratorInput | BulkRequest
Requests = Iterable[Given] | AsyncIterable[Given]
"""What a run is made of; both kinds may be unbounded."""

KeyOf = Callable[[BulkRequest], str | None]
"""Names a request; None for one that is known by its arguments."""


class Item(NamedTuple):
    """One request of a run.

    Attributes:
        number: Its place among the requests, from 0.
        arguments: What is asked for, checked.
        key: Its idempotency key in the run.
        is_named: Whether the caller named it.
        item_id: The caller's own id of it, for file names and sidecars.
    """

    number: int
    arguments: QwenImageInput
    key: str
    is_named: bool
    item_id: str | None


class Unusable(NamedTuple):
    """A request that cannot be sent."""

    number: int
    error: QwenImageError
    item_id: str | None


class _Finder(Protocol):
    def find(self, key: str) -> object | None:
        """Return the call of a key, if there is one."""


class Keys:
    """Gives each request its key, in their order: the caller's own id, else one of its content.

    Runs of version 0.1 knew requests by their content also where they had ids: what they bought is
    found by that.
    """

    def __init__(self, lookup: _Finder | None = None, key_of: KeyOf | None = None) -> None:
        """Take where calls are looked up, and what names requests in place of their ids."""
        self._lookup = lookup
        self._key_of = key_of
        self._ids = RequestIds()
        self._old_ids = RequestIds()

    def item(self, number: int, request: BulkRequest, arguments: QwenImageInput) -> Item:
        """Return a request with its key; blocking.

        Raises:
            InvalidRequestError: It cannot be a key.
        """
        steps, is_known = self._steps(number, request, arguments), None
        while True:
            try:
                is_known = self._is_known(steps.send(is_known))
            except StopIteration as end:
                item: Item = end.value
                return item

    async def aitem(self, number: int, request: BulkRequest, arguments: QwenImageInput) -> Item:
        """Async twin of `item`; what it counts, it counts in the thread of the loop."""
        steps, is_known = self._steps(number, request, arguments), None
        while True:
            try:
                is_known = await in_thread(self._is_known, steps.send(is_known))
            except StopIteration as end:
                item: Item = end.value
                return item

    def close(self) -> None:
        """Remove the files."""
        self._ids.close()
        self._old_ids.close()

    def _steps(
        self, number: int, request: BulkRequest, arguments: QwenImageInput
    ) -> Generator[str, bool | None, Item]:
        """Yield keys to be looked up, take whether there is a call, and return the request."""
        named = request.id if self._key_of is None else self._key_of(request)
        if named is None:
            key = self._ids.next_id(arguments)
            return Item(number, arguments, key, is_named=False, item_id=request.id)
        key = check_key(named)
        if self._lookup is not None and not (yield key):
            old = self._old_ids.next_id(arguments)
            if (yield old):
                return Item(number, arguments, old, is_named=False, item_id=request.id)
        return Item(number, arguments, key, is_named=True, item_id=request.id)

    def _is_known(self, key: str) -> bool:
        return self._lookup is not None and self._lookup.find(key) is not None


class Source:
    """Numbers and names the requests, whichever kind of iterable they come from.

    A failure of the iterable is its end, and remembered: what it gave before is settled all the
    same.
    """

    def __init__(
        self, requests: Requests, check: Callable[[GeneratorInput], QwenImageInput], keys: Keys
    ) -> None:
        """Take the requests, and what checks and names them."""
        self.failure: Exception | None = None
        self._check = check
        self._keys = keys
        self._ahead = aiter(
            requests if isinstance(requests, AsyncIterable) else _one_by_one(requests)
        )
        self._taking = asyncio.Lock()
        self._numbers = count()

    async def take(self) -> Item | Unusable | None:
        """Return the next request, or None at the end."""
        async with self._taking:
            try:
                number, request = next(self._numbers), BulkRequest.of(await anext(self._ahead))
                try:
                    arguments = self._check(request.input)
                    return await self._keys.aitem(number, request, arguments)
                except InvalidRequestError as error:
                    return Unusable(number, error, request.id)
            except StopAsyncIteration:
                return None
            except Exception as error:
                self.failure = error
                return None


class Deferred:
    """Requests to come back to, on disk: of a long run, another process may have many at first."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = new_lock()  # a fork amid SQLite's work would copy its locks
        # The empty name is a temporary file of SQLite's own, which is gone when it is closed.
        self._rows = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._rows.execute("PRAGMA journal_mode = OFF")
        self._rows.execute("CREATE TABLE items (number INTEGER PRIMARY KEY, item TEXT)")

    def add(self, item: Item) -> None:
        """Take one."""
        fields = {**item._asdict(), "arguments": item.arguments.model_dump()}
        with self._lock:
            self._rows.execute("INSERT INTO items VALUES (?, ?)", (item.number, json.dumps(fields)))

    def take(self) -> Item | None:
        """Return the first, and forget it; None if there is none left."""
        with self._lock:
            row = self._rows.execute("SELECT * FROM items ORDER BY number LIMIT 1").fetchone()
            if row is None:
                return None
            self._rows.execute("DELETE FROM items WHERE number = ?", row[:1])
        fields = json.loads(row[1])
        arguments = QwenImageInput.model_validate(fields.pop("arguments"))
        return Item(arguments=arguments, **fields)

    def close(self) -> None:
        """Remove the file."""
        with self._lock:
            self._rows.close()


async def _one_by_one(requests: Iterable[Given]) -> AsyncIterator[Given]:
    for request in requests:
        yield request
