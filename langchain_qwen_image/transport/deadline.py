"""The layer below httpx's transports: deadlines that hold, and one TLS context.

httpx has a timeout for each read, none for a whole answer: a server that drips a byte now and then
is waited for without end. Here every wait on a socket is cut to what is left of the current call.
A call that nobody waits for any more can be told not to leave at all (`Call.abandoned`).

httpx offers no argument for the backend of its transports, so `use_backend` sets the private
attribute; a test holds that it is still there.
"""

import ssl
import time
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any, TypeVar, overload

import httpcore
import httpx

from langchain_qwen_image.transport.call import current_call

_SocketOptions = Iterable[Any] | None
_Client = TypeVar("_Client", httpx.Client, httpx.AsyncClient)


def _wait(timeout: float | None, error: type[Exception]) -> float | None:
    """Cut a timeout, in seconds, to what is left of the current call."""
    call = current_call.get()
    if call is None:
        return timeout
    remaining = call.deadline - time.monotonic()
    if remaining <= 0:
        raise error("the deadline of the whole call has passed")
    return remaining if timeout is None else min(timeout, remaining)


def _write_wait(buffer: bytes, timeout: float | None) -> float | None:
    call = current_call.get()
    if call is not None:
        call.leave(buffer)
    return _wait(timeout, httpcore.WriteTimeout)


class DeadlineStream(httpcore.NetworkStream):
    """A connection whose waits end with the current call."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        """Wrap httpcore's own stream."""
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what has come, at most `max_bytes`."""
        return self._stream.read(max_bytes, _wait(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of `buffer`."""
        self._stream.write(buffer, _write_wait(buffer, timeout))

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """Shake hands within what is left of the call."""
        timeout = _wait(timeout, httpcore.ConnectTimeout)
        return DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """Pass on what httpcore asks of a stream."""
        return self._stream.get_extra_info(info)


class AsyncDeadlineStream(httpcore.AsyncNetworkStream):
    """`DeadlineStream` for asyncio."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        """Wrap httpcore's own stream."""
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what has come, at most `max_bytes`."""
        return await self._stream.read(max_bytes, _wait(timeout, httpcore.ReadTimeout))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of `buffer`."""
        await self._stream.write(buffer, _write_wait(buffer, timeout))

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Shake hands within what is left of the call."""
        timeout = _wait(timeout, httpcore.ConnectTimeout)
        stream = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        return AsyncDeadlineStream(stream)

    def get_extra_info(self, info: str) -> Any:
        """Pass on what httpcore asks of a stream."""
        return self._stream.get_extra_info(info)


class DeadlineBackend(httpcore.SyncBackend):
    """httpcore's blocking backend, bound to the deadline of the current call."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: _SocketOptions = None,
    ) -> httpcore.NetworkStream:
        """Connect within `timeout` seconds and what is left of the call."""
        timeout = _wait(timeout, httpcore.ConnectTimeout)
        stream = super().connect_tcp(host, port, timeout, local_address, socket_options)
        return DeadlineStream(stream)


class AsyncDeadlineBackend(httpcore.AnyIOBackend):
    """`DeadlineBackend` for asyncio."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: _SocketOptions = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect within `timeout` seconds and what is left of the call."""
        timeout = _wait(timeout, httpcore.ConnectTimeout)
        stream = await super().connect_tcp(host, port, timeout, local_address, socket_options)
        return AsyncDeadlineStream(stream)


def use_backend(
    client: _Client, backend: httpcore.NetworkBackend | httpcore.AsyncNetworkBackend
) -> _Client:
    """Put `backend` below every transport of a client, those of environment proxies included."""
    for transport in (client._transport, *client._mounts.values()):
        if transport is not None:
            transport._pool._network_backend = backend
    return client


@overload
def transport_for(client: httpx.Client, url: str) -> httpx.BaseTransport: ...
@overload
def transport_for(client: httpx.AsyncClient, url: str) -> httpx.AsyncBaseTransport: ...
def transport_for(client: httpx.Client | httpx.AsyncClient, url: str) -> Any:
    """Return the transport that a client uses for an address: a proxy's, or the direct one.

    Sending through it leaves out what a client does on top: redirects, cookies, default headers,
    and a log line with the whole address.
    """
    return client._transport_for_url(url_of(url))


@lru_cache(maxsize=64)
def url_of(url: str) -> httpx.URL:
    """Parse an address; a gateway's is the same at every call."""
    return httpx.URL(url)


@cache
def tls_context() -> ssl.SSLContext:
    """Return the process's TLS context, made at first use: it costs tens of milliseconds."""
    return httpx.create_ssl_context()
