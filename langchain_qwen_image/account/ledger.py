"""Keep the books of paid calls in one SQLite file, so that a crash at any moment loses no image.

A call is one paid request. Each step is on the disk before its commit is done: wait for it with
`.result()` in a thread, or with `await` in a task.
"""

import json
import os
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

from langchain_qwen_image.account import run_lock as _claims
from langchain_qwen_image.account import transitions as _steps
from langchain_qwen_image.account.database import Commit, Database, LedgerError
from langchain_qwen_image.account.records import (
    LedgerCall,
    LedgerImage,
    State,
    read_call,
    read_image,
    to_micros,
)
from langchain_qwen_image.account.spend import SpendDay, spend_by_day
from langchain_qwen_image.account.transitions import AlreadyAskedError

__all__ = [
    "AlreadyAskedError",
    "Commit",
    "Ledger",
    "LedgerCall",
    "LedgerError",
    "LedgerImage",
    "SpendDay",
    "State",
    "spend_by_day",
]

P = ParamSpec("P")
_PAGE = 500
_BY_ID = "SELECT * FROM calls WHERE id = ?"
_BY_ITEM = "SELECT * FROM calls WHERE batch = ? AND batch_item = ? AND replaced_by IS NULL"
_BY_PAGE = (
    "SELECT * FROM calls WHERE seq > ?1 AND seq <= ?2 AND (?3 IS NULL OR batch = ?3)"
    " AND (?4 IS NULL OR instr(?4, ',' || state || ',')) ORDER BY seq"
)
_IMAGES_BY_CALL = (
    "SELECT images.*, rtrim(links.url) AS url, calls.id AS call_id FROM images"
    " JOIN links ON links.image = images.seq JOIN calls ON calls.seq = images.call"
    " WHERE images.call BETWEEN ? AND ? ORDER BY images.call, position"
)
_IMAGE_BY_NAME = (
    "SELECT images.*, rtrim(links.url) AS url, calls.id AS call_id FROM images"
    " JOIN links ON links.image = images.seq JOIN calls ON calls.seq = images.call"
    " WHERE images.id = ?1 OR images.path = ?1"
)


class Ledger:
    """Write and read the record of every call.

    Any number of threads, tasks and processes may use one file. Nothing is opened before the
    first use, and closing is never required. Steps may be repeated; a step that cannot follow
    the last one fails its commit with `LedgerError`, a file that is no ledger of ours with
    `ConfigurationError`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Name the file; it and its folder are made at the first step."""
        self._database = Database.at(Path(path))
        self.path = self._database.path

    def __repr__(self) -> str:
        return f"Ledger({str(self.path)!r})"

    def __reduce__(self) -> tuple[type["Ledger"], tuple[Path]]:
        return (Ledger, (self.path,))

    def asked(
        self,
        call_id: str,
        *,
        prompt: str,
        parameters: Mapping[str, Any],
        model: str,
        base_url: str,
        cost_usd: Decimal,
        batch: str | None = None,
        batch_item: str | None = None,
        pay_again: bool = False,
    ) -> Commit[None]:
        """Enter a call that is about to be made.

        Args:
            call_id: A new name of the call.
            prompt: What is asked for.
            parameters: The request's parameters, JSON values.
            model: The model asked.
            base_url: The gateway asked.
            cost_usd: What it will cost at most, in US dollars.
            batch: The bulk run that it belongs to.
            batch_item: Its place in that run, asked once: an earlier call of the same item is
                replaced if it was never sent or was refused.
            pay_again: Replace also one that was sent, has no known answer, or was answered and
                is not saved. One that is saved is never replaced.

        Returns:
            Its commit, which fails with `AlreadyAskedError` if the item's earlier call stands.
        """
        row = {
            "id": call_id,
            "prompt": _storable(prompt),
            "parameters": json.dumps(dict(parameters)),
            "model": model,
            "base_url": base_url,
            "cost_usd": str(cost_usd),
            "batch": batch,
            "batch_item": batch_item,
        }
        return self._submit(_steps.ask, row, pay_again)

    def sent(self, call_id: str) -> Commit[None]:
        """Note that a POST is about to leave; wait for the commit before sending it."""
        return self._submit(_steps.send, call_id)

    def waiting(self, call_id: str, error: str) -> Commit[None]:
        """Note that an attempt provably bought nothing and is to be repeated."""
        return self._submit(_steps.wait, call_id, _storable(error))

    def answered(
        self,
        call_id: str,
        *,
        request_id: str | None,
        cost_usd: Decimal,
        images: Sequence[tuple[str, str, datetime | None]],
    ) -> Commit[None]:
        """Note what was bought: each image's new id, link, and when the link dies."""
        rows = [
            (image_id, _link(url), None if expires_at is None else to_micros(expires_at))
            for image_id, url, expires_at in images
        ]
        return self._submit(_steps.answer, call_id, rows, request_id, str(cost_usd))

    def saved(
        self, image_id: str, *, path: str | os.PathLike[str], sha256: str, size_bytes: int
    ) -> Commit[None]:
        """Note that an image is on disk; its link loses its query in the same transaction."""
        job = partial(
            _steps.save,
            image_id=image_id,
            path=os.fspath(path),
            sha256=sha256,
            size_bytes=size_bytes,
        )
        return self._database.submit(job, scrub=True)

    def not_saved(self, image_id: str, error: str) -> Commit[None]:
        """Note why an image could not be fetched or written; its link stays for recovery."""
        return self._submit(_steps.lose, image_id, _storable(error))

    def refused(
        self, call_id: str, *, error: str, message: str, request_id: str | None = None
    ) -> Commit[None]:
        """Note that a call bought nothing; `error` is the class name."""
        return self._fail("refused", call_id, error, message, request_id)

    def unknown(
        self, call_id: str, *, error: str, message: str, request_id: str | None = None
    ) -> Commit[None]:
        """Note that a call may have been billed and has no answer; `error` is the class name."""
        return self._fail("unknown", call_id, error, message, request_id)

    def claim(self, batch: str) -> Commit[None]:
        """Take a bulk run for this process; its commit fails if another one has it."""
        return self._submit(_claims.claim, batch)

    def release(self, batch: str) -> Commit[None]:
        """Give a bulk run back."""
        return self._submit(_claims.release, batch)

    def get(self, call_id: str) -> LedgerCall | None:
        """Return a call, or None if the ledger has none of that id."""
        return next(iter(self._select(_BY_ID, call_id)), None)

    def find_item(self, batch: str, batch_item: str) -> LedgerCall | None:
        """Return the call that stands for a bulk run's item: the one not replaced."""
        return next(iter(self._select(_BY_ITEM, batch, batch_item)), None)

    def find_image(self, image_id_or_path: str | os.PathLike[str]) -> LedgerImage | None:
        """Return an image by its id or by the path that it is saved at."""
        name = os.fspath(image_id_or_path)
        return self._database.read(partial(_find_image, name=name), missing=None)

    def calls(
        self, *, states: Collection[State] | None = None, batch: str | None = None
    ) -> Iterator[LedgerCall]:
        """Yield the calls in the order asked, a page in memory at a time.

        What is asked after the reading began is not yielded.

        Args:
            states: Only calls that stand there.
            batch: Only calls of that bulk run, replaced ones included.
        """
        wanted = None if states is None else f",{','.join(states)},"
        newest = self._database.read(_newest, missing=0)
        for start in range(0, newest, _PAGE):
            end = min(start + _PAGE, newest)
            yield from self._select(_BY_PAGE, start, end, batch, wanted)

    def close(self) -> None:
        """Write what is pending and close the file; the next use opens it again."""
        self._database.close()

    def _submit(
        self,
        step: Callable[Concatenate[sqlite3.Connection, P], None],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Commit[None]:
        return self._database.submit(lambda connection: step(connection, *args, **kwargs))

    def _fail(
        self, to: State, call_id: str, error: str, message: str, request_id: str | None
    ) -> Commit[None]:
        return self._submit(_steps.fail, call_id, to, error, _storable(message), request_id)

    def _select(self, sql: str, *values: str | int | None) -> list[LedgerCall]:
        return self._database.read(partial(_select, sql=sql, values=values), missing=[])


def _newest(connection: sqlite3.Connection) -> int:
    newest: int = connection.execute("SELECT coalesce(max(seq), 0) FROM calls").fetchone()[0]
    return newest


def _select(
    connection: sqlite3.Connection, sql: str, values: tuple[str | int | None, ...]
) -> list[LedgerCall]:
    rows = connection.execute(sql, values).fetchall()
    if not rows:
        return []
    images: dict[str, list[LedgerImage]] = defaultdict(list)
    for row in connection.execute(_IMAGES_BY_CALL, (rows[0]["seq"], rows[-1]["seq"])):
        images[row["call_id"]].append(read_image(row))
    return [read_call(row, images[row["id"]]) for row in rows]


def _find_image(connection: sqlite3.Connection, name: str) -> LedgerImage | None:
    row = connection.execute(_IMAGE_BY_NAME, (name,)).fetchone()
    return None if row is None else read_image(row)


def _link(url: str) -> str:
    return "data:" if url[:5].lower() == "data:" else url


def _storable(text: str) -> str:
    """Write out lone surrogates, which UTF-8 has no bytes for."""
    return text.encode("utf-8", "backslashreplace").decode()
