"""What the account says of each request of a bulk run, after it or between two of them."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from langchain_qwen_image.account.records import CallRecord
from langchain_qwen_image.bulk.caller import Checker
from langchain_qwen_image.bulk.items import Given, Item, KeyOf, Keys
from langchain_qwen_image.bulk.lookup import Lookup, RetryOptions, run_name
from langchain_qwen_image.bulk.request import BulkRequest
from langchain_qwen_image.pipeline.standing import Action

ReportStatus = Literal["saved", "unsaved", "unknown", "lost", "elsewhere", "failed", "pending"]
"""As `BulkStatus`, whichever run bought the image; `pending`: it was never sent."""


@dataclass(frozen=True, slots=True)
class ReportRow:
    """Where one request of a run is.

    Attributes:
        request: As it was given.
        status: What became of it.
        path: Where its image is saved, where that is so.
        cost_usd: What was paid for it in US dollars; None where that is not known.
    """

    request: BulkRequest
    status: ReportStatus
    path: str | None = None
    cost_usd: Decimal | None = None


def report(
    generator: Checker,
    requests: Iterable[Given],
    *,
    run: str | None = None,
    idempotency_key: KeyOf | None = None,
) -> Iterator[ReportRow]:
    """Say of each request what became of it; nothing is sent, fetched or written.

    Raises:
        InvalidRequestError: A request cannot be used.
        ConfigurationError: There is no account, or no place where images are saved.
    """
    name = run_name(run, resume=True)
    lookup = Lookup(generator.pipeline, name, RetryOptions(), dry_run=True)
    with closing(Keys(lookup, idempotency_key)) as keys:
        for number, given in enumerate(requests):
            request = BulkRequest.of(given)
            item = keys.item(number, request, generator.checked(request.input))
            yield _row(request, item, lookup)


def _row(request: BulkRequest, item: Item, lookup: Lookup) -> ReportRow:
    call = lookup.find(item.key)
    if call is None:
        return ReportRow(request, "pending", cost_usd=Decimal(0))
    if lookup.conflict(call, item) is not None:
        return ReportRow(request, "failed", cost_usd=Decimal(0))
    match lookup.next_action(call):
        case Action.WAIT:
            return ReportRow(request, "elsewhere")
        case Action.REFUSE | Action.REPLACE:
            return ReportRow(request, "unknown")
        case Action.RESUME:
            return ReportRow(request, "unsaved", cost_usd=call.cost_usd)
        case Action.HAND_OUT:
            return _bought(request, call, lookup)
        case Action.SEND:
            status: ReportStatus = "failed" if call.state == "refused" else "pending"
            return ReportRow(request, status, cost_usd=Decimal(0))


def _bought(request: BulkRequest, call: CallRecord, lookup: Lookup) -> ReportRow:
    if lookup.find_lost(call) is not None:
        return ReportRow(request, "lost", cost_usd=call.cost_usd)
    path = lookup.find_path(call)
    status: ReportStatus = "unsaved" if path is None else "saved"
    return ReportRow(request, status, path, call.cost_usd)
