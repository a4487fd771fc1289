"""Errors: one tree, read by agents, judged by middleware, caught by people.

    QwenImageError
    ├── ConfigurationError          no key, or a setting that cannot work; nothing was sent
    ├── BudgetExceededError         the budget does not allow it; nothing was sent
    ├── InvalidRequestError         400 and other 4xx
    │   ├── ContentRejectedError    moderation refused the prompt or the image
    │   └── IdempotencyError        the key was used with other arguments; nothing was sent
    ├── AuthenticationError         401
    ├── PermissionDeniedError       403
    │   └── QuotaExceededError      402, and every answer that says quota, balance or bill
    ├── NotFoundError               404
    ├── RateLimitError              429
    ├── ServerError                 5xx
    ├── ConnectionFailedError       the request never left
    ├── RequestTimeoutError         it left, and no answer came
    │   └── ResultUnknownError      an earlier request of this key lost its answer; nothing was sent
    ├── MalformedResponseError      2xx without a usable image
    ├── AccountError                the books cannot be read or written
    ├── CallInProgressError         another call of this key is under way; nothing was sent
    ├── DownloadError               the image is paid for; its link could not be fetched
    └── SaveError                   the image is paid for; it could not be written to the disk
        └── FileAlreadyExistsError  a file of that name exists, and was left as it is

Every class is a `ToolException` (an agent can read it), a `ModelError` (middleware asks its
`is_retryable`) and a `RuntimeError` (LangGraph's default `RetryPolicy` repeats exception classes
that it does not know, and leaves `RuntimeError` alone).
"""

from langchain_core.exceptions import (
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
)
from langchain_core.tools import ToolException

__all__ = [
    "AccountError",
    "AuthenticationError",
    "BudgetExceededError",
    "CallInProgressError",
    "ConfigurationError",
    "ConnectionFailedError",
    "ContentRejectedError",
    "DownloadError",
    "FileAlreadyExistsError",
    "IdempotencyError",
    "InvalidRequestError",
    "MalformedResponseError",
    "NotFoundError",
    "PermissionDeniedError",
    "QuotaExceededError",
    "QwenImageError",
    "RateLimitError",
    "RequestTimeoutError",
    "ResultUnknownError",
    "SaveError",
    "ServerError",
]


class QwenImageError(ToolException, ModelError, RuntimeError):
    """Root of the tree; its message says what happened and what to do.

    Attributes:
        is_retryable: True only where a repeat cannot buy a second image.
        may_have_been_billed: True where an image may have been paid for without reaching us.
        status_code: HTTP status of the answer, if one came.
        code: Error code that the answer named, such as `Throttling.RateQuota`.
        request_id: Identifier to quote to support, if the answer had one.
        retry_after: Seconds that the answer asked to wait.
    """

    is_retryable: bool = False
    may_have_been_billed: bool = False

    def __init__(
        self,
        message: str,
        *,
        is_retryable: bool | None = None,
        may_have_been_billed: bool | None = None,
        status_code: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Keep the facts as attributes; the two flags default to those of the class."""
        super().__init__(message)
        if is_retryable is not None:
            self.is_retryable = is_retryable
        if may_have_been_billed is not None:
            self.may_have_been_billed = may_have_been_billed
        self.status_code = status_code
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after

    @property
    def message(self) -> str:
        """Text of the error."""
        return str(self)


class ConfigurationError(QwenImageError):
    """A key is missing, or a setting cannot work; nothing was sent."""


class BudgetExceededError(QwenImageError):
    """The budget does not allow another image; nothing was sent."""


class InvalidRequestError(QwenImageError, ModelInvalidRequestError):
    """The request was refused: 400 and other 4xx, or arguments that were never sent."""


class ContentRejectedError(InvalidRequestError):
    """Moderation refused the prompt or the image."""


class IdempotencyError(InvalidRequestError):
    """The idempotency key was used before, for another request; nothing was sent."""


class AuthenticationError(QwenImageError, ModelAuthenticationError):
    """The gateway did not accept the API key: 401."""


class PermissionDeniedError(QwenImageError, ModelPermissionDeniedError):
    """The subscription may not do this, or a firewall before the gateway refused it: 403."""


class QuotaExceededError(PermissionDeniedError):
    """Credits, quota or balance are used up: 402, and billing answers in 400, 403 and 429."""


class NotFoundError(QwenImageError, ModelNotFoundError):
    """The endpoint does not exist at this address, or the gateway does not offer the model: 404."""


class RateLimitError(QwenImageError, ModelRateLimitError):
    """Too many requests at this moment: 429. Nothing was bought."""

    is_retryable = True


class ServerError(QwenImageError, ModelAPIError):
    """The gateway or the model failed: 5xx. The image may have been billed all the same."""

    may_have_been_billed = True
    is_retryable = False


class ConnectionFailedError(QwenImageError, ModelConnectionError):
    """The connection was never made, so the request never left."""

    is_retryable = True


class RequestTimeoutError(QwenImageError, ModelTimeoutError):
    """The request left, and no answer came: a timeout, or a connection lost on the way."""

    may_have_been_billed = True
    is_retryable = False


class ResultUnknownError(RequestTimeoutError):
    """An earlier request of this idempotency key lost its answer; this call sent nothing.

    The earlier one may have been billed, and is counted as spent.
    """


class MalformedResponseError(QwenImageError):
    """The gateway reported success without an image that can be used.

    Attributes:
        polling_url: Address of another host, at which the gateway said to ask for the image. It
            was not asked, because the key would be sent there; it is in no message.
    """

    may_have_been_billed = True
    polling_url: str | None = None


class AccountError(QwenImageError):
    """The books cannot be read or written, or a step does not follow the last one.

    Before a request, nothing was sent.
    """


class CallInProgressError(QwenImageError):
    """Another call of this idempotency key is under way; nothing was sent by this one.

    `retry_after` is the time by which that call must have ended.
    """

    is_retryable = True


class DownloadError(QwenImageError):
    """The image is paid for; its link could not be fetched, or was not safe to fetch.

    Attributes:
        not_an_image: True when something came by the link, and it is no image.
        is_lost: True when an earlier call paid for the image, and it cannot be had any more.
    """

    not_an_image: bool = False
    is_lost: bool = False


class SaveError(QwenImageError, OSError):
    """The image is paid for; it could not be written where it was to be saved.

    It is not lost: the bytes are where they were, so that it can be saved elsewhere. `errno` and
    `strerror` are the system's, where the system refused.
    """

    def __str__(self) -> str:
        # An OSError with an errno would say that in place of the message.
        return str(self.args[0])


class FileAlreadyExistsError(SaveError, FileExistsError):
    """The image is paid for; a file of that name exists, and was left as it is."""


def may_repeat(error: BaseException) -> bool:
    """Say whether a repeat cannot buy a second image; `with_retry()` asks this by default."""
    return isinstance(error, QwenImageError) and error.is_retryable
