"""What a bulk run would do, and what it would cost at most, before it is begun."""

from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal

from langchain_qwen_image.bulk.caller import Checker
from langchain_qwen_image.bulk.lookup import Lookup, RetryOptions, batch_name
from langchain_qwen_image.bulk.request import BulkRequest
from langchain_qwen_image.bulk.request_ids import RequestIds
from langchain_qwen_image.integration.inputs import GeneratorInput


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
    """

    requests: int
    reused: int
    unknown: int
    lost: int
    to_generate: int
    max_usd: Decimal


def estimate_cost(
    generator: Checker,
    requests: Iterable[GeneratorInput | BulkRequest],
    *,
    retry_unknown: bool = False,
    retry_lost: bool = False,
) -> Estimate:
    """Say what a bulk run would do that resumes; nothing is sent, fetched or written.

    Raises:
        InvalidRequestError: A request cannot be used.
        ConfigurationError: There is nothing to resume by.
    """
    pipeline = generator.pipeline
    lookup = Lookup(pipeline, batch_name(pipeline, resume=True), dry_run=True)
    retry = RetryOptions.of(pipeline, retry_unknown=retry_unknown, retry_lost=retry_lost)
    counts: Counter[str] = Counter()
    with closing(RequestIds()) as ids:
        for request in requests:
            prior = lookup.look_up(
                ids.next_id(generator.checked(BulkRequest.of(request).input)), _raise
            )
            counts["new" if prior is None or retry.wants(prior) else prior.status] += 1
    return Estimate(
        requests=counts.total(),
        reused=counts["reused"] + counts["unsaved"],
        unknown=counts["unknown"],
        lost=counts["lost"],
        to_generate=counts["new"],
        max_usd=counts["new"] * Decimal(str(pipeline.sender.price_usd)),
    )


def _raise(error: OSError) -> None:
    raise error
