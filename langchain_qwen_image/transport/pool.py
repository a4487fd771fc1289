"""Connections to the gateway: used again between calls, one call at a time on each.

Each transport here has one connection. httpx 0.28 walks over all connections of a pool for each
request, so a pool of hundreds spends more CPU on itself than on the calls, and it breaks after some
thousands of cancelled requests (encode/httpcore#1093). A transport of one connection does neither,
takes half a kilobyte, and is closed, not used again, after a call that failed.

Why a set per event loop: a connection belongs to the loop that opened it, and httpx used from
another loop fails after the server has got the POST.
"""

import asyncio
import os
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import NamedTuple

import httpx

from langchain_qwen_image.transport.deadline import leave_to_parent
from langchain_qwen_image.transport.idle import Idle, aopen_transport, open_transport

CONNECT_SECONDS = 10.0

_of_parents: list[object] = []


class Pool:
    """Blocking connections to one gateway; safe for threads, and new ones after a fork."""

    def __init__(self, transport: httpx.BaseTransport | None = None) -> None:
        """Ask `transport` in place of the network (the sandbox), where one is given."""
        self._transport = transport
        self._start()

    @contextmanager
    def lease(self, url: str) -> Iterator[httpx.BaseTransport]:
        """Lend a transport for one call to `url`, an address at the one gateway of this pool.

        Raises:
            ConfigurationError: A proxy or a certificate that the environment names is unusable.
        """
        if self._transport is not None:
            yield self._transport
            return
        if self._process != os.getpid():
            self._forget_parents()
        idle = self._idle
        transport = idle.take(url)
        try:
            yield transport
        except BaseException:
            transport.close()
            raise
        for unused in idle.give_back(transport):
            unused.close()

    def close(self) -> None:
        """Close all connections, busy ones when they are done; a later call opens new ones."""
        idle = self._idle
        self._finalizer.detach()
        self._start()
        _close(idle)

    def _start(self) -> None:
        self._idle = Idle(open_transport)
        self._finalizer = weakref.finalize(self, _close, self._idle)
        self._process = os.getpid()  # last: another thread of a forked child may look at it

    def _forget_parents(self) -> None:
        """Leave the connections that a fork copied to the parent process: they are its own.

        They are held on to, not closed: a lock of theirs may be one that the fork froze.
        """
        self._finalizer.detach()
        _of_parents.append(self._idle)
        leave_to_parent()
        self._start()


class AsyncPool:
    """`Pool` for asyncio: a set of connections per running loop, closed when it shuts down."""

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """Ask `transport` in place of the network (the sandbox), where one is given."""
        self._transport = transport
        self._sets: _Sets = {}
        weakref.finalize(self, _close_soon, self._sets).atexit = False

    @asynccontextmanager
    async def lease(self, url: str) -> AsyncIterator[httpx.AsyncBaseTransport]:
        """Lend a transport of the running loop for one call.

        Raises:
            ConfigurationError: A proxy or a certificate that the environment names is unusable.
        """
        if self._transport is not None:
            yield self._transport
            return
        idle = await self._of_this_loop()
        transport = idle.take(url)
        try:
            yield transport
        except BaseException:
            await transport.aclose()
            raise
        for unused in idle.give_back(transport):
            await unused.aclose()

    async def aclose(self) -> None:
        """Close the running loop's connections, busy ones when they are done."""
        mine = self._sets.pop(asyncio.get_running_loop(), None)
        if mine is not None:
            await mine.guard.aclose()

    async def _of_this_loop(self) -> Idle[httpx.AsyncHTTPTransport]:
        loop = asyncio.get_running_loop()
        mine = self._sets.get(loop)
        if mine is None:
            for other in [other for other in tuple(self._sets) if other.is_closed()]:
                self._sets.pop(other, None)
            idle = Idle(aopen_transport)
            mine = self._sets[loop] = _LoopSet(idle, _closing(idle, self._sets, loop))
            await anext(mine.guard)
        return mine.idle


class _LoopSet(NamedTuple):
    """The transports of one loop, and the guard that closes them.

    The guard is an asynchronous generator: `asyncio.run` closes those that are still open before
    it closes the loop (`shutdown_asyncgens`), which is the one hook that a loop offers. A loop that
    is closed by hand without it leaves its idle connections to the garbage collector.
    """

    idle: Idle[httpx.AsyncHTTPTransport]
    guard: AsyncGenerator[None]


_Sets = dict[asyncio.AbstractEventLoop, _LoopSet]


async def _closing(
    idle: Idle[httpx.AsyncHTTPTransport], sets: _Sets, loop: asyncio.AbstractEventLoop
) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        sets.pop(loop, None)
        await _aclose(idle)


def _close_soon(sets: _Sets) -> None:
    """Have each loop close its connections; what the garbage collector closes, it complains of.

    The guard is left alone: the loop may be ending just now and close it, and two cannot.
    """
    for loop, mine in list(sets.items()):
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(
                lambda loop, idle: loop.create_task(_aclose(idle)), loop, mine.idle
            )


async def _aclose(idle: Idle[httpx.AsyncHTTPTransport]) -> None:
    """Close all idle connections; a loop that ends cancels this task, and loses none by it."""
    cancelled = None
    for transport in idle.close():
        try:
            await transport.aclose()
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


def _close(idle: Idle[httpx.HTTPTransport]) -> None:
    for transport in idle.close():
        transport.close()
