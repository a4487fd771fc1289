"""Connections to the hosts of images: guarded, without credentials, and silent about links.

Each host is reached directly, or by the proxy that the environment or a client of the caller's
names for it. This machine itself is never reached by a proxy.
"""

import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import BoundedSemaphore
from urllib.parse import urlsplit

import httpx

from langchain_qwen_image.concurrency.threads import THREADS
from langchain_qwen_image.download.callers_client import AnyClient, context_for, proxy_for
from langchain_qwen_image.download.failures import Failure, FetchError
from langchain_qwen_image.download.ssrf import GuardedBackend, is_this_machine, plain_http
from langchain_qwen_image.environment import base_url_from_environment
from langchain_qwen_image.transport import proxies
from langchain_qwen_image.transport.call import Call, current_call, hide_answers_in_logs
from langchain_qwen_image.transport.deadline import DeadlineBackend, use_backend
from langchain_qwen_image.transport.tls import no_tls_context

_LIMITS = httpx.Limits(max_connections=THREADS, keepalive_expiry=5.0)


class Connections:
    """The connections of one process, used again within five seconds."""

    def __init__(
        self,
        gateway: str,
        *,
        allow_loopback: bool,
        loopback_port: int | None,
        clients: Sequence[AnyClient],
    ) -> None:
        """Prepare, with the gateway's address or ""; nothing is connected yet."""
        hide_answers_in_logs()
        self._clients = clients
        self._transports: dict[str, httpx.HTTPTransport] = {}
        host = _host_of(gateway or base_url_from_environment())
        self._guard = GuardedBackend(
            allow_loopback=allow_loopback, loopback_port=loopback_port, gateway=host
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send through the transport for this host, a proxy's or the direct one.

        A client above the transports would log the whole link and collect cookies.

        Raises:
            FetchError: the environment names a proxy or certificates that cannot be used.
        """
        return self._transport_for(request.url).handle_request(request)

    def close(self) -> None:
        """Close what is open, without the pool's lock: a forked child may find it held for ever."""
        for transport in self._transports.values():
            for connection in transport._pool.connections:
                connection.close()

    def _transport_for(self, url: httpx.URL) -> httpx.HTTPTransport:
        try:
            proxy = None if is_this_machine(url.host) else self._proxy_for(url)
            name = f"{proxy.url} {proxy.raw_auth} {proxy.headers.raw}" if proxy else url.scheme
            if name not in self._transports:
                self._transports.setdefault(name, self._opened(url, proxy))
            return self._transports[name]
        except ValueError as problem:
            failure = Failure(str(problem).rstrip("."))
        except OSError as error:  # SSLKEYLOGFILE, for one, may name what cannot be written
            failure = Failure(f"TLS cannot be set up on this machine: {error}")
        raise FetchError(failure)

    def _proxy_for(self, url: httpx.URL) -> httpx.Proxy | None:
        of_client = proxy_for(url, self._clients)
        if of_client is not None:
            return of_client
        of_environment = proxies.proxy_for(str(url))
        return None if of_environment is None else httpx.Proxy(of_environment)

    def _opened(self, url: httpx.URL, proxy: httpx.Proxy | None) -> httpx.HTTPTransport:
        """Open a transport; a proxy may well be on a private address."""
        is_plain = proxy is None and url.scheme == "http"
        transport = httpx.HTTPTransport(
            verify=no_tls_context() if is_plain else context_for(self._clients),
            trust_env=False,
            proxy=proxy,
            limits=_LIMITS,
        )
        return use_backend(transport, DeadlineBackend() if proxy else self._guard)


class ConnectionsOfProcess:
    """Connections made at first use, anew in a forked child, closed with their owner."""

    def __init__(self, owner: object, connect: Callable[[], Connections]) -> None:
        """Close them when `owner` is gone or the interpreter ends."""
        self._connect = connect
        self._by_process: dict[int, Connections] = {}
        self._turns: dict[int, BoundedSemaphore] = {}
        weakref.finalize(owner, _close, self._by_process)

    def get(self) -> Connections:
        """Return those of this process."""
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


def _host_of(address: str) -> str:
    with suppress(ValueError):  # an image outlives the address in the environment
        return urlsplit(address).hostname or ""
    return ""


def _close(by_process: dict[int, Connections]) -> None:
    """Close all connections; in a forked child that takes nothing from the parent's."""
    for process in tuple(by_process):
        by_process.pop(process).close()
