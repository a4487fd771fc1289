"""Connections to the hosts of images: guarded, without credentials, and silent about links."""

import logging
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore

import httpx

from langchain_qwen_image.concurrency.threads import THREADS
from langchain_qwen_image.download.ssrf import GuardedBackend, plain_http
from langchain_qwen_image.transport.call import Call, current_call
from langchain_qwen_image.transport.deadline import DeadlineBackend, tls_context, use_backend

_LIMITS = httpx.Limits(max_connections=THREADS, keepalive_expiry=5.0)


class Connections:
    """The connections of one process, used again within five seconds."""

    def __init__(self, *, allow_loopback: bool) -> None:
        """Prepare; nothing is connected yet.

        Raises:
            ImportError, ValueError: the environment names a proxy that httpx cannot use.
        """
        logging.getLogger("httpcore.http11").addFilter(_keeps_links_secret)
        self._client = httpx.Client(verify=tls_context(), limits=_LIMITS)
        use_backend(self._client, DeadlineBackend())  # a proxy may well be on a private address
        _guard(self._client._transport, allow_loopback=allow_loopback)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send through the transport for this host, a proxy of the environment or a direct one.

        The client above the transports would log the whole link and collect cookies.
        """
        return self._client._transport_for_url(request.url).handle_request(request)

    def close(self) -> None:
        """Close what is open, without the pool's lock: a forked child may find it held for ever."""
        for transport in (self._client._transport, *self._client._mounts.values()):
            if isinstance(transport, httpx.HTTPTransport):
                for connection in transport._pool.connections:
                    connection.close()


class ConnectionsOfProcess:
    """Connections made at first use, anew in a forked child, closed with their owner."""

    def __init__(self, owner: object, *, allow_loopback: bool) -> None:
        """Close them when `owner` is gone or the interpreter ends."""
        self._allow_loopback = allow_loopback
        self._by_process: dict[int, Connections] = {}
        self._turns: dict[int, BoundedSemaphore] = {}
        weakref.finalize(owner, _close, self._by_process)

    def get(self) -> Connections:
        """Return those of this process.

        Raises:
            ImportError, ValueError: the environment names a proxy that httpx cannot use.
        """
        connections = self._by_process.get(os.getpid())
        if connections is None:
            made = Connections(allow_loopback=self._allow_loopback)
            connections = self._by_process.setdefault(os.getpid(), made)
        return connections

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for one of a few turns: more fetches at once are no faster and take memory."""
        with self._turns.setdefault(os.getpid(), BoundedSemaphore(THREADS)):
            yield

    def close(self) -> None:
        """Close what is open."""
        _close(self._by_process)


@contextmanager
def bound_to(call: Call, *, is_plain: bool) -> Iterator[None]:
    """Bind what is sent and read inside to a deadline, and to loopback when it is plain http."""
    call_token = current_call.set(call)
    plain_token = plain_http.set(is_plain)
    try:
        yield
    finally:
        plain_http.reset(plain_token)
        current_call.reset(call_token)


def _guard(transport: httpx.BaseTransport, *, allow_loopback: bool) -> None:
    if isinstance(transport, httpx.HTTPTransport):
        transport._pool._network_backend = GuardedBackend(allow_loopback=allow_loopback)


def _close(by_process: dict[int, Connections]) -> None:
    """Close all connections; in a forked child that takes nothing from the parent's."""
    for process in tuple(by_process):
        by_process.pop(process).close()


def _keeps_links_secret(record: logging.LogRecord) -> bool:
    """Drop what httpcore notes of an answer to a fetch: `Location` may be a signed link."""
    return plain_http.get() is None or not str(record.msg).startswith("receive_response")
