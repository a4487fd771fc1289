"""The protocol over streamable HTTP, for programs of this machine.

A web page that a person visits may send requests to this machine too. So `Host` must name loopback,
which defeats DNS rebinding, and an `Origin`, which browsers send, must be the server's own.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.transport_security import TransportSecuritySettings

from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.mcp.tickets import Outbox, Ticket

__all__ = ["PATH", "Listener", "outbox_of", "serve_http"]

PATH = "/mcp"
_HOST = "127.0.0.1"
_KEY = "qwen_image.exchange"
_GRACE_SECONDS = 1  # a stream that is open is cut then; what is paid for goes on
_Message = MutableMapping[str, Any]
_App = Callable[
    [_Message, Callable[[], Awaitable[_Message]], Callable[[_Message], Awaitable[None]]],
    Awaitable[None],
]


class _Exchange:
    """One HTTP request, and the tickets whose results its response is to carry."""

    def __init__(self) -> None:
        self._tickets: list[Ticket] = []
        self._is_over = False

    def expect(self, ticket: Ticket) -> None:
        if self._is_over:
            ticket.let_go()
        else:
            self._tickets.append(ticket)

    def end(self, *, is_whole: bool) -> None:
        """Note that the response ended: whole, or because the client had gone."""
        self._is_over = True
        while self._tickets:
            ticket = self._tickets.pop()
            if is_whole and ticket.has_result:
                ticket.hand_over()
            else:
                ticket.let_go()


def watched(app: _App) -> _App:
    """Return an ASGI application that tells the tickets what became of its responses."""

    async def call(scope: _Message, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        exchange = scope[_KEY] = _Exchange()

        async def heard() -> _Message:
            message: _Message = await receive()
            if message["type"] == "http.disconnect":
                exchange.end(is_whole=False)
            return message

        async def said(message: _Message) -> None:
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                exchange.end(is_whole=True)

        try:
            await app(scope, heard, said)
        finally:
            exchange.end(is_whole=False)

    return call


def outbox_of(request: Any) -> Outbox | None:
    """Return what answers a request that came over HTTP."""
    scope = getattr(request, "scope", None) or {}
    outbox: Outbox | None = scope.get(_KEY)
    return outbox


class Listener:
    """A port of this machine.

    Attributes:
        port: Its number.
    """

    def __init__(self, port: int) -> None:
        """Take a port; 0 for any that is free.

        Raises:
            ConfigurationError: Another program has it.
        """
        try:
            self.socket = socket.create_server((_HOST, port), backlog=128)
        except OSError as error:
            raise ConfigurationError(
                f"Port {port} of this machine cannot be used: {error.strerror}. Choose another one."
            ) from None
        self.port: int = self.socket.getsockname()[1]

    @property
    def url(self) -> str:
        """The address that clients use."""
        return f"http://{_HOST}:{self.port}{PATH}"


async def serve_http(server: Server[Any], listener: Listener, stop: asyncio.Event) -> None:
    """Serve any number of clients of this machine, until `stop` is set."""
    names = (f"{_HOST}:{listener.port}", f"localhost:{listener.port}")
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        transport_security=TransportSecuritySettings(
            allowed_hosts=list(names), allowed_origins=[f"http://{name}" for name in names]
        ),
    )
    config = uvicorn.Config(
        watched(app),
        lifespan="on",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    running = _Uvicorn(config)
    wait = asyncio.ensure_future(stop.wait())
    wait.add_done_callback(lambda _: running.leave())
    try:
        await running.serve([listener.socket])
    finally:
        wait.cancel()
        _set_levels(logging.NOTSET)


def _set_levels(level: int) -> None:
    for name in ("mcp", "uvicorn"):
        logging.getLogger(name).setLevel(level)


class _Uvicorn(uvicorn.Server):
    """Leaves signals to the command."""

    def leave(self) -> None:
        _set_levels(logging.CRITICAL + 1)  # each stream that is cut would be a traceback
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
