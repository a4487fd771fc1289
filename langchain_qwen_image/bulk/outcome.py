"""What became of one request of a bulk run, as its caller gets it."""

from dataclasses import dataclass
from typing import Any

from langchain_qwen_image.bulk.items import Item, Unusable
from langchain_qwen_image.bulk.lookup import BulkStatus, PriorState
from langchain_qwen_image.errors import QwenImageError
from langchain_qwen_image.image import GeneratedImage
from langchain_qwen_image.result import ImageGenerationResult
from langchain_qwen_image.schemas import QwenImageInput


@dataclass(frozen=True, slots=True)
class BulkOutcome:
    """What became of one request of a bulk run.

    Attributes:
        number: Its place among the requests, from 0.
        status: `saved`: bought and saved just now. `reused`: an earlier call bought it, and it
            exists. `unsaved`: paid for and not saved yet; a resumed run fetches it free of charge.
            `unknown`: its answer never came; it may have been billed. `lost`: paid for, and it
            cannot be fetched any more. `elsewhere`: another process has sent it, and its answer is
            not there yet. `failed`: nothing was bought.
        request: The arguments, checked; None where they could not be used.
        result: What was bought; None where that is not known.
        error: What the gateway or the disk said, where this run met it.
        reason: Why there is no image, in a sentence.
        cost_usd: What this run paid for it, or may have where it is `unknown`, in US dollars.
        id: The caller's own id of the request, where it came with one.
    """

    number: int
    status: BulkStatus
    request: QwenImageInput | None
    # No `| None`: pyright cannot conclude from `is_there` that there is one. `re.Match.group` is
    # typed like this for the same reason (typeshed, "The `Any` trick").
    result: ImageGenerationResult | Any = None
    error: QwenImageError | None = None
    reason: str | None = None
    cost_usd: float = 0.0
    id: str | None = None

    @property
    def is_there(self) -> bool:
        """Whether the image exists."""
        return self.status in ("saved", "reused")

    @property
    def image(self) -> GeneratedImage | None:
        """The image, the first of its result; None where it does not exist."""
        return self.result.image if self.is_there and self.result is not None else None


def outcome_of(item: Item, state: PriorState) -> BulkOutcome:
    """Return the outcome of a request that is settled, or under way elsewhere."""
    return BulkOutcome(
        item.number,
        state.status,
        item.arguments,
        state.result,
        state.error,
        state.reason,
        state.cost_usd,
        item.item_id,
    )


def unusable(item: Unusable) -> BulkOutcome:
    """Return the outcome of a request that cannot be sent."""
    error = item.error
    return BulkOutcome(item.number, "failed", None, error=error, reason=str(error), id=item.item_id)
