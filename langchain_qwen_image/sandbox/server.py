"""Serve a gateway on loopback over real HTTP/1.1, with faults on the wire."""

import asyncio
import contextlib
import errno
import os
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from langchain_qwen_image.sandbox.answer import Answer, text_answer
from langchain_qwen_image.sandbox.gateway import Gateway
from langchain_qwen_image.sandbox.http1 import IncomingRequest, discard, head, read_request
from langchain_qwen_image.sandbox.records import GivenImage, ReceivedRequest
from langchain_qwen_image.sandbox.storage import Draw
from langchain_qwen_image.sandbox.success import Shape

_HOST = "127.0.0.1"
_BACKLOG = 4096
# On, 0 seconds: closing the socket sends RST instead of FIN.
_LINGER_NOT = struct.pack("ii", 1, 0)


class SandboxServer:
    """Serve a sandbox gateway on loopback, from a thread of its own, until closed.

    Args:
        port: The port on 127.0.0.1; 0 for a free one.
        draw: What draws the images; by default Pillow, or plain patterns where it is missing.
            `draw_plain` is fast.
        shape: Which of the owner's two success bodies to answer with.
        latency_seconds: How long every POST takes at least.
        drip_seconds: The pause before each byte of a dripping answer.

    Raises:
        OSError: The port is in use or not allowed.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        draw: Draw | None = None,
        shape: Shape = "document",
        latency_seconds: float = 0.0,
        drip_seconds: float = 0.1,
    ) -> None:
        """Bind the port and start to serve."""
        self._listener = _listen(port)
        self.base_url = f"http://{_HOST}:{self._listener.getsockname()[1]}"
        self.gateway = Gateway(self.base_url, draw=draw, shape=shape)
        self._latency_seconds = latency_seconds
        self._drip_seconds = drip_seconds
        self._conversations: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="qwen-image-sandbox", daemon=True)
        self._thread.start()

    @property
    def requests(self) -> list[ReceivedRequest]:
        """Return the requests received, oldest first."""
        return self.gateway.requests

    @property
    def images(self) -> list[GivenImage]:
        """Return the images given out, oldest first."""
        return self.gateway.images

    @property
    def poll_count(self) -> int:
        """Return how often queued requests were asked for (see `Gateway.poll_count`)."""
        return self.gateway.poll_count

    def script(self, *names: str) -> None:
        """Let the next POSTs play these scenarios, in order (see `Gateway.script`)."""
        self.gateway.script(*names)

    def close(self) -> None:
        """Stop serving, cut every open connection, and wait until that is done."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def __enter__(self) -> Self:
        """Return the server, which serves already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the server."""
        self.close()

    def _run(self) -> None:
        with ThreadPoolExecutor(os.cpu_count()) as painters:
            self._loop.set_default_executor(painters)
            try:
                self._loop.run_until_complete(self._serve())
            finally:
                painters.shutdown(wait=False, cancel_futures=True)
                self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._welcome, sock=self._listener, backlog=_BACKLOG)
        await self._stop.wait()
        server.close()
        for conversation in self._conversations:
            conversation.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)
        await asyncio.sleep(0)  # Sockets close in the turn of the loop after their cutting.

    def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = self._loop.create_task(self._converse(reader, writer))
        self._conversations.add(conversation)
        conversation.add_done_callback(self._conversations.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests until either side closes it."""
        try:
            while request := await read_request(reader, writer):
                if not await self._deliver(request, reader, writer):
                    break
            if request and request.refusal:
                writer.write_eof()
                await discard(reader)
            writer.close()
        except ConnectionError:
            pass  # The peer has gone: there is nobody to tell.
        finally:
            await _end(writer)

    async def _deliver(
        self, request: IncomingRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Send the answer, or fail as it asks; return whether the connection lives on."""
        answer = await self._ask(request)
        start = head(answer, self.gateway.now())
        body = b"" if request.method == "HEAD" else answer.body
        match answer.fault:
            case "timeout":
                await reader.read()
            case "drop":
                pass
            case "reset":
                _reset(writer)
            case "truncated":
                writer.write(start + body[: len(body) // 2])
            case "unfinished":
                writer.write(start + body)
            case "drip":
                await self._drip(start, body, writer)
            case _:
                writer.write(start + body)
                await writer.drain()
        return answer.fault in {None, "drip"} and request.keep_alive

    async def _ask(self, request: IncomingRequest) -> Answer:
        """Ask the gateway: in a thread where it may draw, at once where it decides only."""
        if request.refusal:
            return request.refusal
        arguments = (request.method, request.target, request.headers, request.body)
        try:
            if request.method != "POST":
                return await asyncio.to_thread(self.gateway.answer, *arguments)
            answer = self.gateway.answer(*arguments)
        except Exception as error:  # whatever draws is not ours: its failure is an answer too
            return text_answer(500, str(error) or type(error).__name__)
        await asyncio.sleep(max(answer.delay_seconds, self._latency_seconds))
        return answer

    async def _drip(self, start: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        for value in body:
            await asyncio.sleep(self._drip_seconds)
            writer.write(bytes([value]))
            await writer.drain()


@contextlib.contextmanager
def serve(port: int = 0, *, shape: Shape = "document") -> Iterator[str]:
    """Serve a sandbox gateway on loopback; give its base URL.

    `shape` says which of the owner's two success bodies it answers with.

    Raises:
        OSError: The port is in use or not allowed.

    Examples:
        >>> with serve() as base_url:
        ...     print(base_url.rpartition(":")[0])
        http://127.0.0.1
    """
    with SandboxServer(port, shape=shape) as server:
        yield server.base_url


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((_HOST, port), backlog=_BACKLOG)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        reason = f"port {port} on {_HOST} is in use; choose another one, or 0 for any free one"
        raise OSError(errno.EADDRINUSE, reason) from None


def _reset(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    writer.transport.abort()


async def _end(writer: asyncio.StreamWriter) -> None:
    """Cut what is still open, and wait until the socket is closed."""
    if not writer.is_closing():
        writer.transport.abort()
    try:
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    finally:
        # When the server closes, a peer that reads nothing must not hold it up.
        writer.transport.abort()
