"""Routes of a request: through a transport of our own, or through the caller's client."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.transport.call import Call
from langchain_qwen_image.transport.http_libraries import (
    AsyncHttpClient,
    HttpClient,
    HttpResponse,
    check_transport,
    library_of,
)
from langchain_qwen_image.transport.pool import CONNECT_SECONDS
from langchain_qwen_image.transport.urls import url_of
from langchain_qwen_image.wire.request import WireRequest


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One request, ready to be sent; its repr does not show the key."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None
    seconds: float

    @classmethod
    def post(cls, wire: WireRequest, seconds: float) -> "Outgoing":
        """Return the POST of a wire request, whose answer may take so many seconds."""
        return cls("POST", wire.url, wire.headers, wire.body, seconds)

    @classmethod
    def get(cls, url: str, headers: Mapping[str, str], seconds: float) -> "Outgoing":
        """Return a GET, whose answer may take so many seconds."""
        return cls("GET", url, headers, None, seconds)


Route = Callable[[Any, Outgoing, Call], HttpResponse]
"""Sends a request through a client or transport, and returns the open answer."""
AsyncRoute = Callable[[Any, Outgoing, Call], Awaitable[HttpResponse]]


def own_client(transport: httpx.BaseTransport, outgoing: Outgoing, call: Call) -> httpx.Response:
    """Send through a transport of our own, exactly what the document has and nothing else.

    What a client does on top is left out: redirects, cookies, default headers, and a log line with
    the whole address.
    """
    call.is_unseen = not isinstance(transport, httpx.HTTPTransport)
    return transport.handle_request(_exact(outgoing, call.trace))


def own_async_client(
    transport: httpx.AsyncBaseTransport, outgoing: Outgoing, call: Call
) -> Awaitable[httpx.Response]:
    """Async twin of `own_client`."""
    call.is_unseen = not isinstance(transport, httpx.AsyncHTTPTransport)
    return transport.handle_async_request(_exact(outgoing, call.atrace))


def callers_client(client: HttpClient, outgoing: Outgoing, call: Call) -> HttpResponse:
    """Send through the caller's client, with what it adds; a redirect is not followed."""
    return _sent_by(client, outgoing, call, call.trace)  # type: ignore[no-any-return]


def callers_async_client(
    client: AsyncHttpClient, outgoing: Outgoing, call: Call
) -> Awaitable[HttpResponse]:
    """Async twin of `callers_client`."""
    return _sent_by(client, outgoing, call, call.atrace)  # type: ignore[no-any-return]


def _sent_by(client: Any, outgoing: Outgoing, call: Call, trace: Callable[..., object]) -> Any:
    _check_open(client)
    request = _merged(client, outgoing, trace)
    check_transport(client, request.url)
    call.is_unseen = True
    return client.send(request, stream=True, follow_redirects=False)


def _check_open(client: Any) -> None:
    if client.is_closed:
        raise ConfigurationError(
            "The HTTP client that was passed is closed; nothing was sent. Pass an open one."
        )


def _exact(outgoing: Outgoing, trace: Callable[..., object]) -> httpx.Request:
    return httpx.Request(
        outgoing.method,
        url_of(outgoing.url),
        headers=outgoing.headers,
        content=outgoing.body,
        extensions={"timeout": _timeout(outgoing.seconds).as_dict(), "trace": trace},
    )


def _merged(client: Any, outgoing: Outgoing, trace: Callable[..., object]) -> Any:
    library = library_of(client)
    return client.build_request(
        outgoing.method,
        url_of(outgoing.url, library),
        headers=outgoing.headers,
        content=outgoing.body,
        timeout=_timeout(outgoing.seconds, library),
        extensions={"trace": trace},
    )


def _timeout(seconds: float, library: Any = httpx) -> Any:
    return library.Timeout(seconds, connect=CONNECT_SECONDS)
