"""Connections to the hosts of images: guarded, without credentials, and silent about links.

Each host is reached directly, or by the proxy that the environment or a client of the caller's
names for it. This machine itself is never reached by a proxy.
"""

import logging
import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import BoundedSemaphore
from urllib.parse import urlsplit

import httpcore
import httpx

from langchain_qwen_image.concurrency.threads import THREADS
from langchain_qwen_image.download.callers_client import AnyClient, context_for, proxy_for
from langchain_qwen_image.download.ssrf import GuardedBackend, is_this_machine, plain_http
from langchain_qwen_image.environment import base_url_from_environment
from langchain_qwen_image.transport.call import Call, current_call
from langchain_qwen_image.transport.deadline import DeadlineBackend, use_backend

_LIMITS = httpx.Limits(max_connections=THREADS, keepalive_expiry=5.0)


class Connections:
    """The connections of one process, used again within five seconds."""

    def __init__(self, gateway: str, *, allow_loopback: bool, clients: Sequence[AnyClient]) -> None:
        """Prepare, with the gateway's address or ""; nothing is connected yet.

        Raises:
            ImportError, ValueError: the environment names a proxy that httpx cannot use.
            OSError: the environment names certificates that cannot be read.
        """
        logging.getLogger("httpcore.http11").addFilter(_keeps_links_secret)
        self._clients = clients
        self._context = context_for(clients)
        self._client = httpx.Client(verify=self._context, limits=_LIMITS)
        self._by_proxy: dict[str, httpx.HTTPTransport] = {}
        use_backend(self._client, DeadlineBackend())  # a proxy may well be on a private address
        host = urlsplit(gateway or base_url_from_environment()).hostname or ""
        backend = GuardedBackend(allow_loopback=allow_loopback, gateway=host)
        _use_backend(self._client._transport, backend)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send through the transport for this host, a proxy's or the direct one.

        The client above the transports would log the whole link and collect cookies.
        """
        return self._transport_for(request.url).handle_request(request)

    def _transport_for(self, url: httpx.URL) -> httpx.BaseTransport:
        if is_this_machine(url.host):
            return self._client._transport
        proxy = proxy_for(url, self._clients)
        if proxy is None:
            return self._client._transport_for_url(url)
        name = f"{proxy.url} {proxy.raw_auth} {proxy.headers.raw}"
        if name not in self._by_proxy:
            made = httpx.HTTPTransport(verify=self._context, limits=_LIMITS, proxy=proxy)
            _use_backend(made, DeadlineBackend())
            self._by_proxy.setdefault(name, made)
        return self._by_proxy[name]

    def close(self) -> None:
        """Close what is open, without the pool's lock: a forked child may find it held for ever."""
        mounted = self._client._mounts.values()
        for transport in (self._client._transport, *mounted, *self._by_proxy.values()):
            if isinstance(transport, httpx.HTTPTransport):
                for connection in transport._pool.connections:
                    connection.close()


class ConnectionsOfProcess:
    """Connections made at first use, anew in a forked child, closed with their owner."""

    def __init__(self, owner: object, connect: Callable[[], Connections]) -> None:
        """Close them when `owner` is gone or the interpreter ends."""
        self._connect = connect
        self._by_process: dict[int, Connections] = {}
        self._turns: dict[int, BoundedSemaphore] = {}
        weakref.finalize(owner, _close, self._by_process)

    def get(self) -> Connections:
        """Return those of this process.

        Raises:
            ImportError, ValueError, OSError: as `Connections` raises them.
        """
        connections = self._by_process.get(os.getpid())
        if connections is None:
            connections = self._by_process.setdefault(os.getpid(), self._connect())
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


def _use_backend(transport: httpx.BaseTransport, backend: httpcore.NetworkBackend) -> None:
    if isinstance(transport, httpx.HTTPTransport):
        transport._pool._network_backend = backend


def _close(by_process: dict[int, Connections]) -> None:
    """Close all connections; in a forked child that takes nothing from the parent's."""
    for process in tuple(by_process):
        by_process.pop(process).close()


def _keeps_links_secret(record: logging.LogRecord) -> bool:
    """Drop what httpcore notes of an answer to a fetch: `Location` may be a signed link."""
    return plain_http.get() is None or not str(record.msg).startswith("receive_response")
