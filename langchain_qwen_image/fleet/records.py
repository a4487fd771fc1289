"""A run of a fleet and its items, as the tables have them."""

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, NamedTuple

from langchain_qwen_image.bulk.items import Item
from langchain_qwen_image.bulk.report import ReportStatus
from langchain_qwen_image.schemas import QwenImageInput

Open = Literal["elsewhere", "unsaved"]
"""Not at its end: a worker asks about it again, free of charge."""

OPEN: tuple[Open, ...] = ("elsewhere", "unsaved")


class Run(NamedTuple):
    """A run of a fleet.

    Attributes:
        id: Its number in the tables.
        name: Its name in the account.
        max_usd: What the whole account may have spent at most, in US dollars; None for no limit.
    """

    id: int
    name: str
    max_usd: Decimal | None


class Asked(NamedTuple):
    """One row that is to be added to a run: its item, and the line of the file it came from."""

    item: Item
    line: int


class Known(NamedTuple):
    """An item that a run has already.

    Attributes:
        status: What it came to; None while it waits for a worker or is with one.
        arguments: What it asks for, as it is stored.
        is_named: Whether its owner named it.
    """

    status: ReportStatus | None
    arguments: str
    is_named: bool

    def conflicts(self, item: Item) -> bool:
        """Say whether an item of the same key asks for something else."""
        return self.is_named and self.arguments != stored(item.arguments)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an item came to.

    Attributes:
        status: As a manifest has it; `elsewhere` and `unsaved` are asked about again.
        reason: Why there is no image.
        path: Where the image is saved, as the machine that saved it says it.
        cost_usd: What it cost or may have cost, in US dollars; None where that is not known.
        again_after: Seconds after which it is asked about again; None if it is at its end.
    """

    status: ReportStatus
    reason: str | None = None
    path: str | None = None
    cost_usd: Decimal | None = None
    again_after: float | None = None


class StoredItem(NamedTuple):
    """An item as a worker gets it.

    Attributes:
        run: Number of its run.
        item: What is asked for, and by which key.
        replacing: Id of the call that may be paid for once more; None for none.
        status: What it came to so far.
    """

    run: int
    item: Item
    replacing: str | None
    status: ReportStatus | None

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to be done."""
        return self.status is not None and self.status not in OPEN


def stored(arguments: QwenImageInput) -> str:
    """Return arguments as text that any database takes."""
    return json.dumps(arguments.model_dump(), sort_keys=True)
