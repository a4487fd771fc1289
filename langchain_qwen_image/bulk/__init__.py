"""Many requests, each paid for once. It asks a caller for each image and sends nothing itself."""

from typing import TYPE_CHECKING

from langchain_qwen_image._lazy import attach

if TYPE_CHECKING:
    from langchain_qwen_image.bulk.estimate import Estimate, estimate_cost
    from langchain_qwen_image.bulk.lookup import BulkStatus
    from langchain_qwen_image.bulk.outcome import BulkOutcome
    from langchain_qwen_image.bulk.request import BulkRequest
    from langchain_qwen_image.bulk.run import BulkRun

_HOMES = {
    "BulkOutcome": "outcome",
    "BulkRequest": "request",
    "BulkRun": "run",
    "BulkStatus": "lookup",
    "Estimate": "estimate",
    "estimate_cost": "estimate",
}

__all__ = [
    "BulkOutcome",
    "BulkRequest",
    "BulkRun",
    "BulkStatus",
    "Estimate",
    "estimate_cost",
]

__getattr__, __dir__ = attach(__name__, _HOMES)
