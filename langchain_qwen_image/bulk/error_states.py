"""What an error means for one request of a bulk run, and for the run."""

from langchain_qwen_image.bulk.lookup import PriorState, elsewhere
from langchain_qwen_image.errors import (
    AccountError,
    AuthenticationError,
    CallInProgressError,
    ConfigurationError,
    ConnectionFailedError,
    DownloadError,
    IdempotencyError,
    NotFoundError,
    PermissionDeniedError,
    QwenImageError,
    ResultUnknownError,
)

DENIALS = (AuthenticationError, PermissionDeniedError, NotFoundError)
"""They end a run if they come twice."""

OPERATOR_ERRORS = (ConfigurationError, ConnectionFailedError, AccountError)
"""They end a run."""

_OF_ANOTHER_CALL = (CallInProgressError, IdempotencyError, ResultUnknownError)


def sent_nothing(error: QwenImageError) -> bool:
    """Say whether another call of the request has its key: it says nothing of the gateway."""
    is_lost = isinstance(error, DownloadError) and error.is_lost
    return is_lost or isinstance(error, _OF_ANOTHER_CALL)


def state_of_error(error: QwenImageError, price: float) -> PriorState:
    """Return what became of a request that a call ended with an error for.

    Args:
        error: What the call raised; a run goes on after it.
        price: What the call may have cost, in US dollars.
    """
    reason = str(error)
    if isinstance(error, CallInProgressError):
        return elsewhere(error.retry_after or 0.0)
    if isinstance(error, DownloadError) and error.is_lost:
        return PriorState("lost", reason=reason, error=error)
    if isinstance(error, ResultUnknownError):  # of an earlier call
        return PriorState("unknown", reason=reason, error=error)
    if isinstance(error, DownloadError):  # the account has the link, and the next run tries again
        return PriorState("unsaved", reason=reason, error=error, cost_usd=price)
    if error.may_have_been_billed:
        return PriorState("unknown", reason=reason, error=error, cost_usd=price)
    return PriorState("failed", reason=reason, error=error)
