"""What a bulk run would do, and what it would cost at most, before it is begun."""

from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from langchain_qwen_image.bulk.lookup import Lookup, RetryOptions, batch_name
from langchain_qwen_image.bulk.request_ids import RequestIds
from langchain_qwen_image.integration.inputs import GeneratorInput

if TYPE_CHECKING:
    from langchain_qwen_image.generator import QwenImageGenerator


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a bulk run would find and do.

    Attributes:
        requests: How many there are.
        had: Images that are there, or are paid for and can be fetched free of charge.
        unknown: Requests whose answer never came and that would be left alone.
        lost: Images that were paid for, are no more to be had, and would be left alone.
        to_make: Images that would be paid for.
        usd_at_most: What they would cost at most, US dollars.
    """

    requests: int
    had: int
    unknown: int
    lost: int
    to_make: int
    usd_at_most: Decimal


def estimate_cost(
    generator: "QwenImageGenerator",
    requests: Iterable[GeneratorInput],
    *,
    retry_unknown: bool = False,
    retry_lost: bool = False,
) -> Estimate:
    """Say what a bulk run would do that resumes; nothing is sent, fetched or written.

    Raises:
        InvalidRequestError: A request cannot be used.
        ConfigurationError: There is nothing to resume by.
    """
    known = Lookup(generator.pipeline, batch_name(generator, resume=True), dry_run=True)
    again = RetryOptions(retry_unknown or generator.sandbox, retry_lost or generator.sandbox)
    counts: Counter[str] = Counter()
    with closing(RequestIds()) as names:
        for request in requests:
            prior = known.look_up(names.name(generator.checked(request)), _raise)
            counts["new" if prior is None or again.wants(prior) else prior.status] += 1
    return Estimate(
        requests=counts.total(),
        had=counts["had"] + counts["unsaved"],
        unknown=counts["unknown"],
        lost=counts["lost"],
        to_make=counts["new"],
        usd_at_most=counts["new"] * Decimal(str(generator.pipeline.client.price_usd)),
    )


def _raise(error: OSError) -> None:
    raise error
