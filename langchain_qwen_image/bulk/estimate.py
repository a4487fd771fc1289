"""What a bulk run would do, and what it would cost at most, before it is begun."""

from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal

from langchain_qwen_image.bulk.caller import Checker
from langchain_qwen_image.bulk.items import Given, Item, KeyOf, Keys
from langchain_qwen_image.bulk.lookup import Lookup, RetryOptions, run_name
from langchain_qwen_image.bulk.request import BulkRequest
from langchain_qwen_image.pipeline.standing import Action


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a bulk run would find and do.

    Attributes:
        requests: How many there are.
        reused: Images that are saved, or are paid for and can be fetched free of charge.
        unknown: Requests whose answer never came and that would be left alone.
        lost: Images that were paid for, cannot be fetched any more, and would be left alone.
        to_generate: Images that would be paid for.
        max_usd: Their maximum cost, US dollars.
        elsewhere: Requests that another process has sent, and whose answer is not there yet.
        conflicting: Requests whose id was used for another one, and that would fail.
        waiting: Requests that a fleet's queue has already.
    """

    requests: int
    reused: int
    unknown: int
    lost: int
    to_generate: int
    max_usd: Decimal
    elsewhere: int = 0
    conflicting: int = 0
    waiting: int = 0


def estimate_cost(
    generator: Checker,
    requests: Iterable[Given],
    *,
    run: str | None = None,
    idempotency_key: KeyOf | None = None,
    retry_unknown: bool = False,
    retry_lost: bool = False,
) -> Estimate:
    """Say what a bulk run would do that resumes; nothing is sent, fetched or written.

    Raises:
        InvalidRequestError: A request cannot be used.
        ConfigurationError: There is nothing to resume by.
    """
    pipeline = generator.pipeline
    retry = RetryOptions.of(pipeline, retry_unknown=retry_unknown, retry_lost=retry_lost)
    lookup = Lookup(pipeline, run_name(run, resume=True), retry, dry_run=True)
    counts: Counter[str] = Counter()
    with closing(Keys(lookup, idempotency_key)) as keys:
        for number, given in enumerate(requests):
            request = BulkRequest.of(given)
            item = keys.item(number, request, generator.checked(request.input))
            counts[_prospect(item, lookup, retry)] += 1
    return Estimate(
        requests=counts.total(),
        reused=counts["reused"],
        unknown=counts["unknown"],
        lost=counts["lost"],
        to_generate=counts["new"],
        max_usd=counts["new"] * Decimal(str(pipeline.sender.price_usd)),
        elsewhere=counts["elsewhere"],
        conflicting=counts["conflicting"],
    )


def _prospect(item: Item, lookup: Lookup, retry: RetryOptions) -> str:
    """Say what a run would do about a request."""
    call = lookup.find(item.key)
    if call is None:
        return "new"
    if lookup.conflict(call, item) is not None:
        return "conflicting"
    match lookup.next_action(call):
        case Action.SEND | Action.REPLACE:
            return "new"
        case Action.WAIT:
            return "elsewhere"
        case Action.REFUSE:
            return "unknown"
        case Action.RESUME:
            return "reused"
        case Action.HAND_OUT if lookup.find_lost(call) is not None:
            return "new" if retry.retry_lost else "lost"
        case Action.HAND_OUT:
            return "reused"
