"""Routes of a request: through a transport of our own, or through the caller's client."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.transport.call import Call
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


Route = Callable[[Any, Outgoing, Call], httpx.Response]
"""Sends a request through a client or transport, and returns the open answer."""
AsyncRoute = Callable[[Any, Outgoing, Call], Awaitable[httpx.Response]]


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


def callers_client(client: httpx.Client, outgoing: Outgoing, call: Call) -> httpx.Response:
    """Send through the caller's client, with what it adds; a redirect is not followed."""
    _check_open(client)
    call.is_unseen = True
    request = _merged(client, outgoing, call.trace)
    return client.send(request, stream=True, follow_redirects=False)


def callers_async_client(
    client: httpx.AsyncClient, outgoing: Outgoing, call: Call
) -> Awaitable[httpx.Response]:
    """Async twin of `callers_client`."""
    _check_open(client)
    call.is_unseen = True
    request = _merged(client, outgoing, call.atrace)
    return client.send(request, stream=True, follow_redirects=False)


def _check_open(client: httpx.Client | httpx.AsyncClient) -> None:
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


def _merged(
    client: httpx.Client | httpx.AsyncClient, outgoing: Outgoing, trace: Callable[..., object]
) -> httpx.Request:
    return client.build_request(
        outgoing.method,
        url_of(outgoing.url),
        headers=outgoing.headers,
        content=outgoing.body,
        timeout=_timeout(outgoing.seconds),
        extensions={"trace": trace},
    )


def _timeout(seconds: float) -> httpx.Timeout:
    return httpx.Timeout(seconds, connect=CONNECT_SECONDS)
