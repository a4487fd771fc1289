"""Recovery: what a ledger says of images that were paid for, or may have been, and are not saved.

Nothing here sends a POST. Links are fetched and queued calls are asked for, which is free, and what
came of it is noted in the ledger.
"""

from typing import TYPE_CHECKING

from langchain_qwen_image._lazy import attach

if TYPE_CHECKING:
    from langchain_qwen_image.recovery.run import ledger_at, recover
    from langchain_qwen_image.recovery.settle import Finding, Outcome, Recovery, Resume

_HOMES = {
    "Finding": "settle",
    "Outcome": "settle",
    "Recovery": "settle",
    "Resume": "settle",
    "ledger_at": "run",
    "recover": "run",
}

__all__ = ["Finding", "Outcome", "Recovery", "Resume", "ledger_at", "recover"]

__getattr__, __dir__ = attach(__name__, _HOMES)
