"""The layer below httpx's transports: deadlines that hold.

httpx has a timeout for each read, none for a whole answer: a server that drips a byte now and then
is waited for without end. Here every wait on a socket is cut to what is left of the current call.

httpx offers no argument for the backend of its transports, so `use_backend` sets one private
attribute of httpx (`_pool`) and one of httpcore (`_network_backend`); a test holds that both are
still there.
"""

import os
import socket
import ssl
import time
import weakref
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

from langchain_qwen_image.transport.call import current_call

_SocketOptions = Iterable[Any] | None


def _wait(timeout: float | None, error: type[Exception]) -> float | None:
    """Cut a timeout, in seconds, to what is left of the current call."""
    call = current_call.get()
    if call is None:
        return timeout
    remaining = call.deadline - time.monotonic()
    if remaining <= 0:
        raise error("the deadline of the whole call has passed")
    return remaining if timeout is None else min(timeout, remaining)


class DeadlineStream(httpcore.NetworkStream):
    """A connection whose waits end with the current call."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        """Wrap httpcore's own stream."""
        self._stream = stream
        self.process = os.getpid()
        _streams.add(self)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what has come, at most `max_bytes`."""
        return self._stream.read(max_bytes, _wait(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of `buffer`."""
        self._stream.write(buffer, _wait(timeout, httpcore.WriteTimeout))

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


_streams: weakref.WeakSet[DeadlineStream] = weakref.WeakSet()


def leave_to_parent() -> None:
    """Let go of the sockets that a fork copied: they are not closed, and nothing warns of them."""
    for stream in list(_streams):
        copied = stream.get_extra_info("socket")
        if stream.process != os.getpid() and isinstance(copied, socket.socket):
            copied.detach()


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
        await self._stream.write(buffer, _wait(timeout, httpcore.WriteTimeout))

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
    transport: httpx.HTTPTransport, backend: httpcore.NetworkBackend
) -> httpx.HTTPTransport:
    """Put `backend` below a transport of httpx's own, and return the transport."""
    transport._pool._network_backend = backend
    return transport


def use_abackend(
    transport: httpx.AsyncHTTPTransport, backend: httpcore.AsyncNetworkBackend
) -> httpx.AsyncHTTPTransport:
    """Async twin of `use_backend`."""
    transport._pool._network_backend = backend
    return transport
