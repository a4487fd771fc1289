"""What a batch would do: its rows, checked before anything is paid for."""

import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import typer

from langchain_qwen_image.cli.prompts import Prompts, Row
from langchain_qwen_image.cli.terminal import (
    UsageError,
    amount,
    dollars,
    fail,
    note,
    waiting,
)

if TYPE_CHECKING:
    from langchain_qwen_image.bulk.estimate import Estimate
    from langchain_qwen_image.bulk.request import BulkRequest
    from langchain_qwen_image.generator import QwenImageGenerator

_SHOWN = 10


def requests_of(rows: Prompts) -> "Iterator[BulkRequest]":
    """Yield the rows as requests of a bulk run."""
    from langchain_qwen_image.bulk.request import BulkRequest

    for row in rows:
        yield BulkRequest(row.arguments, row.id)


def plan(
    generator: "QwenImageGenerator",
    rows: Prompts,
    estimate_of: "Callable[[Iterator[BulkRequest]], Estimate]",
) -> "Estimate":
    """Read all rows, and say what a run would do, as `estimate_of` finds it.

    Raises:
        UsageError: There are none, or some cannot be used; each is named by its line.
    """
    check = _Check(generator, rows.name)
    with waiting("Reading the prompts,"), closing(check):
        estimate = estimate_of(check.passed(rows))
    for sentence in check.notes:
        note(f"Note: {sentence}")
    if check.more_notes:
        note(f"Note: … and {amount(check.more_notes, 'more line')} of this kind.")
    if check.problems:
        for problem in check.problems:
            note(problem)
        raise UsageError("Nothing was sent. Fix these lines first.")
    if not estimate.requests:
        raise UsageError(f"There is no prompt in {rows.name}.")
    return estimate


def announce(plan: "Estimate", *, sandbox: bool, max_usd: float | None, yes: bool) -> None:
    """Say what is to be done and its maximum cost, and ask whether to go on."""
    from decimal import Decimal

    note(_announcement(plan, sandbox=sandbox))
    if max_usd is not None and Decimal(str(max_usd)) < plan.max_usd:
        note(f"Stops at {dollars(max_usd)} in total for the account.")
    if yes or max_usd is not None or not plan.max_usd:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("Cannot ask for confirmation (no terminal); pass --yes or --max-usd.")
    if not typer.confirm("Continue?", err=True):
        fail("Nothing was sent.")


def _announcement(plan: "Estimate", *, sandbox: bool) -> str:
    cost = (
        " in the sandbox, free of charge" if sandbox else f"; maximum cost {dollars(plan.max_usd)}"
    )
    if plan.to_generate == plan.requests:
        return f"{amount(plan.requests, 'image')} to generate{cost}."
    others = (
        (plan.reused, "already paid for"),
        (plan.waiting, "in the queue already"),
        (plan.unknown, "with no known answer and not repeated (--retry-unknown)"),
        (plan.lost, "lost and not paid for again (--retry-lost)"),
        (plan.elsewhere, "under way in another process"),
        (plan.conflicting, "with an id that was used for another request"),
    )
    parts = [amount(plan.requests, "image"), *(f"{n:,} {what}" for n, what in others if n)]
    return f"{', '.join(parts)}; {plan.to_generate:,} to generate{cost}."


class _Check:
    """Passes rows that can be used, and remembers what is wrong or odd about some."""

    def __init__(self, generator: "QwenImageGenerator", name: str) -> None:
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.more_notes = 0
        self._generator, self._name = generator, name
        # The empty name is a temporary file: a million ids are not held in memory.
        self._ids = sqlite3.connect("", isolation_level=None)
        self._ids.execute("PRAGMA journal_mode = OFF")
        self._ids.execute("CREATE TABLE ids (id TEXT PRIMARY KEY, line INTEGER) WITHOUT ROWID")

    def passed(self, rows: Prompts) -> "Iterator[BulkRequest]":
        """Yield the rows that can be used, until there are too many problems to show."""
        from langchain_qwen_image.bulk.request import BulkRequest
        from langchain_qwen_image.errors import InvalidRequestError
        from langchain_qwen_image.wire.request import cut_off_warnings

        for row in rows:
            try:
                arguments = self._generator.checked(row.arguments)
            except InvalidRequestError as error:
                self.problems.append(self._at(row, str(error)))
            else:
                for sentence in cut_off_warnings(arguments):
                    self._note(self._at(row, sentence))
                self._check_id(row)
                yield BulkRequest(arguments, row.id)
            if len(self.problems) >= _SHOWN:
                return

    def close(self) -> None:
        """Remove the temporary file."""
        self._ids.close()

    def _check_id(self, row: Row) -> None:
        if row.id is None:
            return
        try:
            self._ids.execute("INSERT INTO ids VALUES (?, ?)", (row.id, row.line))
        except sqlite3.IntegrityError:
            [line] = self._ids.execute("SELECT line FROM ids WHERE id = ?", (row.id,)).fetchone()
            self.problems.append(self._at(row, f"the id {row.id!r} is already in line {line}."))

    def _note(self, sentence: str) -> None:
        if len(self.notes) < _SHOWN:
            self.notes.append(sentence)
        else:
            self.more_notes += 1

    def _at(self, row: Row, what: str) -> str:
        return f"{self._name}, line {row.line}: {what}"
