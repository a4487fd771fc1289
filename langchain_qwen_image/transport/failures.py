"""What a failed exchange means: whether the request can have bought something, and what to do."""

import ssl

from langchain_qwen_image.errors import (
    ConfigurationError,
    ConnectionFailedError,
    MalformedResponseError,
    QwenImageError,
    RequestTimeoutError,
)
from langchain_qwen_image.transport.answer import UnreadableAnswerError
from langchain_qwen_image.transport.call import Call, CallAbandonedError, LeaseOverError
from langchain_qwen_image.transport.http_libraries import classes

_RAISED = ("HTTPError", "StreamError", "InvalidURL")
_NEVER_LEFT = ("ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError")
_CANNOT_LEAVE = ("InvalidURL", "UnsupportedProtocol", "LocalProtocolError")
_PERHAPS_BILLED = "The image may have been billed, so the request is not retried automatically."


class GivenUpError(ConnectionFailedError):
    """Nobody waited for the call when its request was about to leave, so it did not."""


def transport_errors() -> tuple[type[Exception], ...]:
    """Return what sending may raise. Nothing wider: a test's network block must stay visible."""
    return (*classes(*_RAISED), OSError, CallAbandonedError, LeaseOverError)


def unanswered(
    failure: Exception, status: int | None, call: Call, seconds: float
) -> QwenImageError:
    """Return the error for a POST without a whole answer.

    Args:
        failure: What the HTTP library raised.
        status: Status of the answer, where its head came.
        call: The exchange; where its request has left, a later failure to connect (a transport of
            the caller's that sends again) does not mean that nothing was sent.
        seconds: How long the answer was waited for.
    """
    what = type(failure).__name__
    if isinstance(failure, CallAbandonedError):
        return GivenUpError(
            "The call was cancelled before its request was sent; nothing was bought.",
            is_retryable=False,
        )
    if isinstance(failure, LeaseOverError):
        return ConnectionFailedError(
            "The time that the request may take had passed before it left, as it does when a "
            "machine sleeps; nothing was sent."
        )
    if isinstance(failure, classes(*_NEVER_LEFT)) and not call.left:
        return _never_left(failure, what)
    if isinstance(failure, classes(*_CANNOT_LEAVE)):
        return ConfigurationError(
            f"The request could not be built ({what}); nothing was sent. "
            "Check base_url (PIXAZO_BASE_URL) and the proxy settings."
        )
    if isinstance(failure, (UnreadableAnswerError, *classes("DecodingError"))):
        return MalformedResponseError(
            f"The gateway's response could not be decoded ({failure}). {_PERHAPS_BILLED}",
            status_code=status,
        )
    if isinstance(failure, classes("TimeoutException")):
        return RequestTimeoutError(
            f"No complete response within {seconds:g} s. {_PERHAPS_BILLED} "
            "A longer timeout=… may help.",
            status_code=status,
        )
    return RequestTimeoutError(
        f"The connection was lost before the response was complete ({what}). {_PERHAPS_BILLED}",
        status_code=status,
    )


def unpolled(failure: Exception, status: int | None, call: Call, seconds: float) -> QwenImageError:
    """Return the error for a GET without a whole answer; a GET is free, so it may be repeated."""
    if isinstance(failure, classes(*_CANNOT_LEAVE)):
        return unanswered(failure, status, call, seconds)
    return ConnectionFailedError(
        f"The queued request could not be looked up ({type(failure).__name__}: "
        f"{_reason(failure)}). Asking again is free of charge.",
        is_retryable=True,
        status_code=status,
    )


def _never_left(failure: Exception, what: str) -> ConnectionFailedError:
    if _is_tls(failure):
        return ConnectionFailedError(
            f"The gateway's TLS certificate or handshake failed ({_reason(failure)}); nothing was "
            "sent. Check base_url, the proxy and the machine's certificates.",
            is_retryable=False,
        )
    return ConnectionFailedError(
        f"The gateway could not be reached ({what}: {_reason(failure)}); nothing was sent. "
        "Check the network, base_url and the proxy settings, then try again."
    )


def _is_tls(failure: BaseException | None) -> bool:
    if isinstance(failure, classes("TimeoutException")):
        return False  # a handshake that waits has an `SSLWantReadError` behind it in asyncio
    while failure is not None:
        if isinstance(failure, ssl.SSLError):
            return True
        failure = failure.__cause__ or failure.__context__
    return False


def _reason(failure: Exception) -> str:
    return " ".join(str(failure).split())[:120] or "no reason given"
