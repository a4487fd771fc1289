"""Connections to the gateway: reused between calls, spread over small pools, one set per loop.

Why many small clients and not one large: httpx 0.28 walks over all connections of a pool for each
request, so a pool of hundreds spends more CPU on itself than on the calls. Up to `_WIDTH` calls
share a client here, and another client is opened only when all are full; they share one TLS
context, so that opening one costs a tenth of a millisecond. A thousand calls of 200 ms at once, on
two cores: 51 a second through one large client, over 700 through these.

Why a set per event loop: a connection belongs to the loop that opened it, and httpx used from
another loop fails after the server has got the POST.
"""

import asyncio
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Generic, TypeVar

import httpx

from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.transport.deadline import (
    AsyncDeadlineBackend,
    DeadlineBackend,
    tls_context,
    use_backend,
)

_Client = TypeVar("_Client", httpx.Client, httpx.AsyncClient)

CONNECT_SECONDS = 10.0
_WIDTH = 10
_IDLE_SECONDS = 4.0
"""How long an idle connection is trusted. The front end drops them at a time of its own, and a
POST on a dropped one looks like an answer that was lost."""
_LIMITS = httpx.Limits(max_connections=_WIDTH, keepalive_expiry=_IDLE_SECONDS)

_of_parents: list[object] = []


class _Shards(Generic[_Client]):
    """Clients, each with the number of calls that it carries.

    One that is cleared away while it carries calls is closed after the last of them: their
    answers are paid for.
    """

    def __init__(self, open_client: Callable[[], _Client]) -> None:
        self._open_client: Callable[[], _Client] = open_client
        self._loads: dict[_Client, int] = {}
        self._leaving: dict[_Client, int] = {}
        self._lock = threading.Lock()

    def take(self) -> _Client:
        """Return the first client that has room, or a new one.

        Raises:
            ConfigurationError: httpx cannot work with the proxies or the certificates that the
                environment names.
        """
        with self._lock:
            client = next((one for one, load in self._loads.items() if load < _WIDTH), None)
            if client is None:
                client = _opened(self._open_client)
            self._loads[client] = self._loads.get(client, 0) + 1
            return client

    def give_back(self, client: _Client) -> bool:
        """Count one call less; return whether the client is to be closed now."""
        with self._lock:
            loads = self._loads if client in self._loads else self._leaving
            loads[client] -= 1
            if loads is self._loads or loads[client]:
                return False
            del loads[client]
            return True

    def clear(self) -> list[_Client]:
        """Lend none of the clients any more, and return the idle ones, to be closed now."""
        with self._lock:
            idle = [client for client, load in self._loads.items() if not load]
            self._leaving |= {client: load for client, load in self._loads.items() if load}
            self._loads.clear()
            return idle


class Lease:
    """A client for one call. A class: there is one of these for each call in flight."""

    __slots__ = ("_client", "_shards")

    def __init__(self, shards: _Shards[httpx.Client]) -> None:
        """Lend from these."""
        self._shards = shards

    def __enter__(self) -> httpx.Client:
        self._client = self._shards.take()
        return self._client

    def __exit__(self, *_: object) -> None:
        if self._shards.give_back(self._client):
            self._client.close()


class AsyncLease:
    """`Lease` for asyncio."""

    __slots__ = ("_client", "_shards")

    def __init__(self, shards: _Shards[httpx.AsyncClient]) -> None:
        """Lend from these."""
        self._shards = shards

    async def __aenter__(self) -> httpx.AsyncClient:
        self._client = self._shards.take()
        return self._client

    async def __aexit__(self, *_: object) -> None:
        if self._shards.give_back(self._client):
            await self._client.aclose()


class Pool:
    """Blocking connections; safe for threads, and new ones after a fork."""

    def __init__(self, transport: httpx.BaseTransport | None = None) -> None:
        """Use `transport` in place of the network (the sandbox), where one is given."""
        self._transport = transport
        self._shards = self._new_shards()
        self._process = os.getpid()
        self._finalizer = weakref.finalize(self, _close_all, self._shards)

    def lease(self) -> "Lease":
        """Lend a client for one call."""
        if self._process != os.getpid():
            self._forget_parents()
        return Lease(self._shards)

    def close(self) -> None:
        """Close all connections, busy ones when they are done; a later call opens new ones."""
        _close_all(self._shards)

    def _new_shards(self) -> _Shards[httpx.Client]:
        transport = self._transport
        return _Shards(lambda: _open(transport))

    def _forget_parents(self) -> None:
        """Leave the connections that a fork copied to the parent process: they are its own.

        They are held on to, not closed: a lock of theirs may be one that the fork froze.
        """
        self._finalizer.detach()
        _of_parents.append(self._shards)
        self._shards, self._process = self._new_shards(), os.getpid()
        self._finalizer = weakref.finalize(self, _close_all, self._shards)


class AsyncPool:
    """`Pool` for asyncio: a set of connections per running loop, closed when it shuts down."""

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """Use `transport` in place of the network (the sandbox), where one is given."""
        self._transport = transport
        self._sets: dict[asyncio.AbstractEventLoop, _LoopSet] = {}
        weakref.finalize(self, _close_soon, self._sets).atexit = False

    async def lease(self) -> "AsyncLease":
        """Lend a client of the running loop for one call."""
        loop = asyncio.get_running_loop()
        mine = self._sets.get(loop)
        if mine is None:
            mine = await self._open_set(loop)
        return AsyncLease(mine.shards)

    async def aclose(self) -> None:
        """Close the running loop's connections, busy ones when they are done."""
        mine = self._sets.pop(asyncio.get_running_loop(), None)
        if mine is not None:
            await mine.aclose()

    async def _open_set(self, loop: asyncio.AbstractEventLoop) -> "_LoopSet":
        for other in list(self._sets):
            if other.is_closed():
                self._sets.pop(other, None)
        transport = self._transport
        mine = _LoopSet(_Shards(lambda: _aopen(transport)), self._sets, loop)
        self._sets[loop] = mine
        await anext(mine.guard)
        return mine


class _LoopSet:
    """The clients of one loop, and the guard that closes them.

    The guard is an asynchronous generator: `asyncio.run` closes those that are still open before
    it closes the loop (`shutdown_asyncgens`), which is the one hook that a loop offers. A loop that
    is closed by hand without it leaves its idle connections to the garbage collector.
    """

    def __init__(
        self,
        shards: _Shards[httpx.AsyncClient],
        sets: "dict[asyncio.AbstractEventLoop, _LoopSet]",
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.shards = shards
        self.guard = _closing(shards, sets, loop)

    async def aclose(self) -> None:
        """Close the idle clients now, and the others when they are done."""
        await self.guard.aclose()


async def _closing(
    shards: _Shards[httpx.AsyncClient],
    sets: dict[asyncio.AbstractEventLoop, _LoopSet],
    loop: asyncio.AbstractEventLoop,
) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        sets.pop(loop, None)
        for client in shards.clear():
            await client.aclose()


def _close_soon(sets: dict[asyncio.AbstractEventLoop, _LoopSet]) -> None:
    """Have each loop close its connections; what the garbage collector closes, it complains of."""
    for loop, mine in list(sets.items()):
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(
                lambda loop, mine: loop.create_task(mine.aclose()), loop, mine
            )


def _opened(open_client: Callable[[], _Client]) -> _Client:
    try:
        return open_client()
    except (ValueError, ImportError, OSError, httpx.InvalidURL) as failure:
        what = type(failure).__name__
    raise ConfigurationError(
        f"No connection could be set up ({what}); nothing was sent. Check the proxies and "
        "certificates in the environment: HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE."
    )


def _open(transport: httpx.BaseTransport | None) -> httpx.Client:
    if transport is not None:
        return httpx.Client(transport=transport)
    client = httpx.Client(verify=tls_context(), limits=_LIMITS)
    return use_backend(client, DeadlineBackend())


def _aopen(transport: httpx.AsyncBaseTransport | None) -> httpx.AsyncClient:
    if transport is not None:
        return httpx.AsyncClient(transport=transport)
    client = httpx.AsyncClient(verify=tls_context(), limits=_LIMITS)
    return use_backend(client, AsyncDeadlineBackend())


def _close_all(shards: _Shards[httpx.Client]) -> None:
    for client in shards.clear():
        client.close()
