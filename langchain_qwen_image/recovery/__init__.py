"""Recovery: what an account says of images that were paid for, or may have been, and are not saved.

Nothing here sends a POST. Links are fetched and queued calls are asked for, which is free, and what
came of it is noted in the account.
"""

from typing import TYPE_CHECKING

from langchain_qwen_image._lazy import attach

if TYPE_CHECKING:
    from langchain_qwen_image.recovery.books import account_at
    from langchain_qwen_image.recovery.run import recover
    from langchain_qwen_image.recovery.settle import Finding, Outcome, Recovery, Resume

_HOMES = {
    "Finding": "settle",
    "Outcome": "settle",
    "Recovery": "settle",
    "Resume": "settle",
    "account_at": "books",
    "recover": "run",
}

__all__ = ["Finding", "Outcome", "Recovery", "Resume", "account_at", "recover"]

__getattr__, __dir__ = attach(__name__, _HOMES)
