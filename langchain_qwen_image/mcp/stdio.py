"""The protocol over standard input and output, for one client.

The SDK's own transport hands a result to another task and does not say when it was written; and it
reads in a thread that only the client can end. This one waits for each write, and leaves when told.
"""

import asyncio
import os
import sys
import threading
from contextlib import suppress
from queue import SimpleQueue
from types import TracebackType
from typing import IO, Any, Self

import anyio
from mcp.server.lowlevel import Server
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCError, JSONRPCResponse, RequestId, jsonrpc_message_adapter

from langchain_qwen_image.mcp.tickets import Outbox, Ticket

__all__ = ["StdioOutbox", "serve_stdio"]

_Message = SessionMessage | Exception


class StdioOutbox:
    """The results that are to be written, by the names of their requests."""

    def __init__(self) -> None:
        """Begin with none."""
        self._expected: dict[str, Ticket] = {}

    def of(self, request_id: RequestId) -> Outbox:
        """Return what answers one request."""
        return _Answer(self._expected, str(request_id))

    def end(self, request_id: RequestId | None, *, is_answered: bool) -> None:
        """Note that a request was answered, or that it never will be."""
        ticket = self._expected.pop(str(request_id), None)
        if ticket is None:
            return
        if is_answered and ticket.has_result:
            ticket.hand_over()
        else:
            ticket.let_go()

    def close(self) -> None:
        """Note that the client is gone."""
        for request_id in list(self._expected):
            self.end(request_id, is_answered=False)


class _Answer:
    def __init__(self, expected: dict[str, Ticket], request_id: str) -> None:
        self._expected = expected
        self._request_id = request_id

    def expect(self, ticket: Ticket) -> None:
        self._expected[self._request_id] = ticket


class _Writer:
    """Writes one message after the other, in a thread that never keeps the process from ending."""

    def __init__(self, descriptor: int, outbox: StdioOutbox, left: asyncio.Event) -> None:
        """Take where to write, who is told, and what is set when the client reads no more."""
        self._descriptor = descriptor
        self._outbox = outbox
        self._left = left
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[tuple[SessionMessage, asyncio.Future[None]] | None] = SimpleQueue()
        threading.Thread(target=self._run, name="qwen-image-mcp-out", daemon=True).start()

    async def send(self, item: SessionMessage, /) -> None:
        """Write a message, and return when it is written.

        Raises:
            anyio.BrokenResourceError: The client reads no more.
        """
        if self._left.is_set():
            raise anyio.BrokenResourceError
        written: asyncio.Future[None] = self._loop.create_future()
        self._jobs.put((item, written))
        await written

    async def aclose(self) -> None:
        """Let the thread end."""
        self._jobs.put(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            item, written = job
            is_written = self._write(item)
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                self._loop.call_soon_threadsafe(self._tell, written, is_written)

    def _write(self, item: SessionMessage) -> bool:
        message = item.message
        line = message.model_dump_json(by_alias=True, exclude_unset=True) + "\n"
        left = memoryview(line.encode())
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            return False
        if isinstance(message, JSONRPCResponse | JSONRPCError):
            self._outbox.end(message.id, is_answered=isinstance(message, JSONRPCResponse))
        return True

    def _tell(self, written: "asyncio.Future[None]", is_written: bool) -> None:
        if not is_written:
            self._left.set()
        if written.done():
            return
        if is_written:
            written.set_result(None)
        else:
            written.set_exception(anyio.BrokenResourceError())


async def serve_stdio(server: Server[Any], outbox: StdioOutbox, stop: asyncio.Event) -> None:
    """Serve one client, until it closes standard input or `stop` is set.

    Standard output is the protocol's from then on, and whatever else prints to it ends on stderr.
    """
    reading, writing = _claim()
    send, receive = anyio.create_memory_object_stream[_Message](0)
    left = asyncio.Event()
    writer = _Writer(writing, outbox, left)
    reader = threading.Thread(
        target=_read,
        args=(os.fdopen(reading, "rb"), send, asyncio.get_running_loop()),
        name="qwen-image-mcp-in",
        daemon=True,
    )
    waits = [asyncio.ensure_future(event.wait()) for event in (stop, left)]
    for wait in waits:
        wait.add_done_callback(lambda _: send.close())
    reader.start()
    try:
        await server.run(receive, writer, server.create_initialization_options())
    finally:
        for wait in waits:
            wait.cancel()
        outbox.close()


def _read(lines: IO[bytes], send: Any, loop: asyncio.AbstractEventLoop) -> None:
    """Hand over what the client says, line by line, until it or the loop has ended."""
    with suppress(RuntimeError, OSError, ValueError, anyio.ClosedResourceError):
        for line in lines:
            if line.strip():
                asyncio.run_coroutine_threadsafe(send.send(_parsed(line)), loop).result()
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(send.close)


def _parsed(line: bytes) -> _Message:
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:
        return error


def _claim() -> tuple[int, int]:
    """Keep standard input and output for the protocol alone; return what to read and to write."""
    sys.stdout.flush()
    reading, writing = os.dup(0), os.dup(1)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    os.dup2(2, 1)
    return reading, writing
