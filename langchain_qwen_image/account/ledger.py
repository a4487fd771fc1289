"""Record paid calls in one SQLite file, so that a crash at any moment loses no image.

A call is one paid request. Each step is on the disk before its commit is done: wait for it with
`.result()` in a thread, or with `await` in a task.
"""

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

from langchain_qwen_image.account import queries, raw_answers, run_lock, transitions
from langchain_qwen_image.account.database import Commit, Database
from langchain_qwen_image.account.records import (
    LedgerCall,
    LedgerImage,
    State,
    storable,
    storable_link,
    storable_path,
    to_micros,
)
from langchain_qwen_image.account.spend import SpendDay, spend_by_day
from langchain_qwen_image.account.store import Transaction
from langchain_qwen_image.account.transitions import AlreadyAskedError

__all__ = [
    "AlreadyAskedError",
    "Commit",
    "Ledger",
    "LedgerCall",
    "LedgerImage",
    "SpendDay",
    "State",
    "spend_by_day",
]

P = ParamSpec("P")


class Ledger:
    """Write and read the record of every call.

    Any number of threads, tasks and processes may use one file. Nothing is opened before the
    first use, and closing is never required. Steps may be repeated; a step that cannot follow
    the last one fails its commit with `AccountError`, a file that is no ledger of ours with
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
            Its commit, which fails with `AlreadyAskedError` if the earlier call is not replaced.
        """
        row = {
            "id": call_id,
            "prompt": storable(prompt),
            "parameters": json.dumps(dict(parameters)),
            "model": model,
            "base_url": base_url,
            "cost_usd": str(cost_usd),
            "batch": batch,
            "batch_item": batch_item,
        }
        return self._submit(transitions.ask, row, pay_again)

    def sent(self, call_id: str) -> Commit[None]:
        """Note that a POST is about to leave; wait for the commit before sending it.

        From then on, room for the answer is held on the disk.
        """
        return self._submit(transitions.send, call_id)

    def waiting(self, call_id: str, error: str) -> Commit[None]:
        """Note that an attempt provably bought nothing and is to be repeated."""
        return self._submit(transitions.wait, call_id, storable(error))

    def queued(self, call_id: str, *, polling_path: str, request_id: str | None) -> Commit[None]:
        """Note that the image is still being made, and the path at the gateway to ask for it."""
        return self._submit(transitions.queue, call_id, storable(polling_path), request_id)

    def raw_answer(self, call_id: str, *, body: bytes, content_type: str | None) -> Commit[None]:
        """Save the answer to a paid call in which no image was found; it is as secret as a link.

        It is erased when all images of the call are saved, when the call turns out to have bought
        nothing, and when one that was asked in its place is paid for.
        """
        return self._submit(raw_answers.save, call_id, body, content_type)

    def answered(
        self,
        call_id: str,
        *,
        request_id: str | None,
        cost_usd: Decimal,
        images: Sequence[tuple[str, str, datetime | None]],
    ) -> Commit[None]:
        """Note what was bought: each image's new id, link, and when the link expires."""
        rows = [
            (image_id, storable_link(url), None if expires_at is None else to_micros(expires_at))
            for image_id, url, expires_at in images
        ]
        return self._settle(transitions.answer, call_id, rows, request_id, str(cost_usd))

    def saved(
        self, image_id: str, *, path: str | os.PathLike[str], sha256: str, size_bytes: int
    ) -> Commit[None]:
        """Note that an image is on disk; its link loses its query in the same transaction."""
        return self._settle(transitions.save, image_id, storable_path(path), sha256, size_bytes)

    def not_saved(self, image_id: str, error: str) -> Commit[None]:
        """Note why an image could not be fetched or written; its link stays for recovery."""
        return self._submit(transitions.lose, image_id, storable(error))

    def refused(
        self, call_id: str, *, error: str, message: str, request_id: str | None = None
    ) -> Commit[None]:
        """Note that a call bought nothing; `error` is the class name."""
        text = storable(message)
        return self._settle(transitions.fail, call_id, "refused", error, text, request_id)

    def unknown(
        self, call_id: str, *, error: str, message: str, request_id: str | None = None
    ) -> Commit[None]:
        """Note that a call may have been billed and has no answer; `error` is the class name."""
        text = storable(message)
        return self._submit(transitions.fail, call_id, "unknown", error, text, request_id)

    def claim(self, batch: str) -> Commit[None]:
        """Take a bulk run for this process; its commit fails if another one has it."""
        return self._submit(run_lock.claim, batch)

    def release(self, batch: str) -> Commit[None]:
        """Give a bulk run back."""
        return self._submit(run_lock.release, batch)

    def read_raw_answer(self, call_id: str) -> bytes | None:
        """Return the answer that `raw_answer` saved, or None if there is none."""
        job = partial(raw_answers.read, call_id=call_id)
        return self._database.read(job, missing=None)

    def get(self, call_id: str) -> LedgerCall | None:
        """Return a call, or None if the ledger has none of that id."""
        return next(iter(self._select(queries.BY_ID, id=call_id)), None)

    def find_item(self, batch: str, batch_item: str) -> LedgerCall | None:
        """Return the call of a bulk run's item that was not replaced."""
        return next(iter(self._select(queries.BY_ITEM, batch=batch, item=batch_item)), None)

    def find_image(self, image_id_or_path: str | os.PathLike[str]) -> LedgerImage | None:
        """Return an image by its id or by the path that it is saved at."""
        job = partial(queries.find_image, name=storable_path(image_id_or_path))
        return self._database.read(job, missing=None)

    def calls(
        self, *, states: Collection[State] | None = None, batch: str | None = None
    ) -> Iterator[LedgerCall]:
        """Yield the calls in the order asked, a page in memory at a time.

        What is asked after the reading began is not yielded.

        Args:
            states: Only calls that stand there.
            batch: Only calls of that bulk run, replaced ones included.
        """
        last, end = 0, self._database.read(queries.newest, missing=0)
        while last < end:
            page = partial(queries.page, after=last, until=end, batch=batch, states=states)
            last, calls = self._database.read(page, missing=queries.Page(end, []))
            yield from calls

    def close(self) -> None:
        """Write what is pending and close the file; the next use opens it again."""
        self._database.close()

    def _submit(
        self,
        step: Callable[Concatenate[Transaction, P], None],
        *args: P.args,
        **kw: P.kwargs,
    ) -> Commit[None]:
        return self._database.submit(lambda tx: step(tx, *args, **kw))

    def _settle(
        self,
        step: Callable[Concatenate[Transaction, P], None],
        *args: P.args,
        **kw: P.kwargs,
    ) -> Commit[None]:
        """Hand over a step after which secrets may not be needed any more."""

        def job(tx: Transaction) -> None:
            step(tx, *args, **kw)
            raw_answers.erase_settled(tx)

        return self._database.submit(job)

    def _select(self, sql: str, **values: str) -> list[LedgerCall]:
        return self._database.read(
            partial(queries.select_calls, sql=sql, values=values), missing=[]
        )
