"""What the ledger says of each request of a bulk run, after it or between two of them."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from langchain_qwen_image.bulk.caller import Checker
from langchain_qwen_image.bulk.lookup import Lookup, batch_name
from langchain_qwen_image.bulk.request import BulkRequest
from langchain_qwen_image.bulk.request_ids import RequestIds
from langchain_qwen_image.integration.inputs import GeneratorInput

ReportStatus = Literal["saved", "unsaved", "unknown", "lost", "failed", "pending"]
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
    generator: Checker, requests: Iterable[GeneratorInput | BulkRequest]
) -> Iterator[ReportRow]:
    """Say of each request what became of it; nothing is sent, fetched or written.

    Raises:
        InvalidRequestError: A request cannot be used.
        ConfigurationError: There is no ledger, or no place where images are saved.
    """
    pipeline = generator.pipeline
    lookup = Lookup(pipeline, batch_name(pipeline, resume=True), dry_run=True)
    with closing(RequestIds()) as ids:
        for given in requests:
            request = BulkRequest.of(given)
            item = ids.next_id(generator.checked(request.input))
            yield _row(request, lookup, item)


def _row(request: BulkRequest, lookup: Lookup, item: str) -> ReportRow:
    call = lookup.find(item)
    prior = lookup.look_up(item, _raise)
    if call is None or prior is None:
        was_refused = call is not None and call.state == "refused"
        return ReportRow(request, "failed" if was_refused else "pending", cost_usd=Decimal(0))
    path = prior.result.image.path if prior.result is not None else None
    status: ReportStatus = "saved" if prior.status == "reused" else prior.status
    cost = None if status == "unknown" else call.cost_usd
    return ReportRow(request, status, path, cost)


def _raise(error: OSError) -> None:
    raise error
