"""One POST and what came of it: an answer, or an error that says whether it can have been paid.

The errors of httpx are not chained to ours: their frames hold the request, and with it the key.
"""

import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpx

from langchain_qwen_image.errors import (
    ConfigurationError,
    ConnectionFailedError,
    MalformedResponseError,
    QwenImageError,
    RequestTimeoutError,
)
from langchain_qwen_image.transport.call import Call, CallAbandonedError, current_call
from langchain_qwen_image.transport.deadline import transport_for, url_of
from langchain_qwen_image.transport.pool import CONNECT_SECONDS
from langchain_qwen_image.wire.request import WireRequest

Route = Callable[[httpx.Client, WireRequest, float], httpx.Response]
"""Sends a request, with the seconds that the answer may take, and returns the open answer."""
AsyncRoute = Callable[[httpx.AsyncClient, WireRequest, float], Awaitable[httpx.Response]]

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""Cap of one answer; an image may come inline, as base64."""

TRANSPORT_ERRORS = (httpx.HTTPError, httpx.InvalidURL, OSError, CallAbandonedError)
"""What sending may raise. Nothing wider: a test's network block must stay visible."""


_NEVER_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_CANNOT_LEAVE = (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError)
_PERHAPS_BILLED = "The image may have been billed, so it is not asked for again by itself."


@dataclass(slots=True)
class RawAnswer:
    """Status, headers and body as they came; the body may be cut short where it is an error."""

    status: int
    headers: httpx.Headers = field(repr=False)
    body: bytearray = field(default_factory=bytearray, repr=False)
    deadline: float = float("inf")

    def take(self, chunk: bytes) -> None:
        """Add a piece of the body.

        Raises:
            httpx.HTTPError: The body is too large, or the deadline has passed.
        """
        self.body += chunk
        if len(self.body) > MAX_ANSWER_BYTES:
            raise httpx.DecodingError(f"it is larger than {MAX_ANSWER_BYTES} bytes")
        if time.monotonic() > self.deadline:
            raise httpx.ReadTimeout("the deadline has passed")


def post(
    route: Route, client: httpx.Client, wire: WireRequest, call: Call, seconds: float
) -> RawAnswer:
    """Send one POST, once, and read the answer.

    Raises:
        QwenImageError: No answer came, or it was cut short.
    """
    answer: RawAnswer | None = None
    token = current_call.set(call)  # for the deadline of the network layer
    try:
        response = route(client, wire, seconds)
        try:
            answer = RawAnswer(response.status_code, response.headers, deadline=call.deadline)
            for chunk in response.iter_bytes():
                answer.take(chunk)
        finally:
            response.close()
        return answer
    except TRANSPORT_ERRORS as failure:
        outcome = _outcome(answer, failure, seconds)
    finally:
        current_call.reset(token)
    return _answer_or_raise(outcome)


async def apost(
    route: AsyncRoute, client: httpx.AsyncClient, wire: WireRequest, call: Call, seconds: float
) -> RawAnswer:
    """Async twin of `post`."""
    answer: RawAnswer | None = None
    token = current_call.set(call)
    try:
        response = await route(client, wire, seconds)
        try:
            answer = RawAnswer(response.status_code, response.headers, deadline=call.deadline)
            async for chunk in response.aiter_bytes():
                answer.take(chunk)
        finally:
            await response.aclose()
        return answer
    except TRANSPORT_ERRORS as failure:
        outcome = _outcome(answer, failure, seconds)
    finally:
        current_call.reset(token)
    return _answer_or_raise(outcome)


def own_client(client: httpx.Client, wire: WireRequest, seconds: float) -> httpx.Response:
    """Send through a client of our own, exactly what the document has and nothing else."""
    return transport_for(client, wire.url).handle_request(_exact(wire, seconds))


def own_async_client(
    client: httpx.AsyncClient, wire: WireRequest, seconds: float
) -> Awaitable[httpx.Response]:
    """Async twin of `own_client`."""
    return transport_for(client, wire.url).handle_async_request(_exact(wire, seconds))


def callers_client(client: httpx.Client, wire: WireRequest, seconds: float) -> httpx.Response:
    """Send through the caller's client, with what it adds; a redirect is not followed."""
    _check_open(client)
    return client.send(_merged(client, wire, seconds), stream=True, follow_redirects=False)


def callers_async_client(
    client: httpx.AsyncClient, wire: WireRequest, seconds: float
) -> Awaitable[httpx.Response]:
    """Async twin of `callers_client`."""
    _check_open(client)
    return client.send(_merged(client, wire, seconds), stream=True, follow_redirects=False)


def _check_open(client: httpx.Client | httpx.AsyncClient) -> None:
    if client.is_closed:
        raise ConfigurationError(
            "The http client that was given is closed; nothing was sent. Give an open one."
        )


def _exact(wire: WireRequest, seconds: float) -> httpx.Request:
    return httpx.Request(
        "POST",
        url_of(wire.url),
        headers=wire.headers,
        content=wire.body,
        extensions={"timeout": _timeout(seconds).as_dict()},
    )


def _merged(
    client: httpx.Client | httpx.AsyncClient, wire: WireRequest, seconds: float
) -> httpx.Request:
    return client.build_request(
        "POST", wire.url, headers=wire.headers, content=wire.body, timeout=_timeout(seconds)
    )


def _timeout(seconds: float) -> httpx.Timeout:
    return httpx.Timeout(seconds, connect=CONNECT_SECONDS)


def _outcome(
    answer: RawAnswer | None, failure: Exception, seconds: float
) -> RawAnswer | QwenImageError:
    """Judge trouble: a refusal stays one when its text is cut short, anything else is an error."""
    if answer is not None and not 200 <= answer.status < 300:
        return answer
    return _error_from(failure, answer, seconds)


def _answer_or_raise(outcome: RawAnswer | QwenImageError) -> RawAnswer:
    if isinstance(outcome, QwenImageError):
        raise outcome
    return outcome


def _error_from(failure: Exception, answer: RawAnswer | None, seconds: float) -> QwenImageError:
    what = type(failure).__name__
    status = None if answer is None else answer.status
    if isinstance(failure, CallAbandonedError):
        return ConnectionFailedError(
            "The call was cancelled before its request left; nothing was bought.",
            is_retryable=False,
        )
    if isinstance(failure, _NEVER_LEFT):
        return _never_left(failure, what)
    if isinstance(failure, _CANNOT_LEAVE):
        return ConfigurationError(
            f"The request could not be built ({what}); nothing was sent. "
            "Check base_url (PIXAZO_BASE_URL) and the proxy settings."
        )
    if isinstance(failure, httpx.DecodingError):
        return MalformedResponseError(
            f"The gateway's answer could not be decoded ({failure}). {_PERHAPS_BILLED}",
            status_code=status,
        )
    if isinstance(failure, httpx.TimeoutException):
        return RequestTimeoutError(
            f"No whole answer came within {seconds:g} s. {_PERHAPS_BILLED} "
            "A longer timeout=… may help."
        )
    return RequestTimeoutError(
        f"The connection was lost before the whole answer came ({what}). {_PERHAPS_BILLED}",
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
    while failure is not None:
        if isinstance(failure, ssl.SSLError):
            return True
        failure = failure.__cause__ or failure.__context__
    return False


def _reason(failure: Exception) -> str:
    return " ".join(str(failure).split())[:120] or "no reason given"
