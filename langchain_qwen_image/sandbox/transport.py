"""Carry requests to a gateway in this process, as an httpx transport without a socket."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import httpx

from langchain_qwen_image.sandbox.answer import Answer
from langchain_qwen_image.sandbox.gateway import Gateway
from langchain_qwen_image.sandbox.success import Shape

SANDBOX_BASE_URL = "https://sandbox.invalid"
"""Address of the gateway in this process; `.invalid` can never be a real host (RFC 6761)."""
_DRIPS = 50
_DRIP_SECONDS = 0.02
_PIECE_BYTES = 64 * 1024


class SandboxTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Answer httpx clients, sync and async, from a gateway in this process.

    Faults become the exceptions that httpx raises for them on a real connection. A `timeout`
    raises `ReadTimeout` at once instead of after the read timeout; a delay longer than the read
    timeout raises it when that is over; a `drip` takes one second in all.

    Args:
        gateway: The gateway to ask, whose base URL is `https://sandbox.invalid`. By default one
            that remembers no requests.
        shape: Which of the owner's two success bodies the default gateway answers with.
    """

    def __init__(self, gateway: Gateway | None = None, *, shape: Shape = "document") -> None:
        """Take the gateway, or make one that remembers nothing."""
        self.gateway = gateway or Gateway(SANDBOX_BASE_URL, record_limit=0, shape=shape)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request of a sync client."""
        _check_host(request)
        answer = self._ask(request, request.read())
        time.sleep(_pause_seconds(request, answer))
        return _respond(request, answer)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request of an async client, drawing in a thread beside the event loop."""
        _check_host(request)
        answer = await asyncio.to_thread(self._ask, request, await request.aread())
        await asyncio.sleep(_pause_seconds(request, answer))
        return _respond(request, answer)

    def _ask(self, request: httpx.Request, body: bytes) -> Answer:
        target = request.url.raw_path.decode("ascii")
        return self.gateway.answer(request.method, target, request.headers, body)


class _Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """Give an answer's body in pieces, and fail where the answer does."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._pieces, self._pause_seconds = _cut(answer)

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            time.sleep(self._pause_seconds)
            yield piece
        self._end()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            await asyncio.sleep(self._pause_seconds)
            yield piece
        self._end()

    def _end(self) -> None:
        if self._answer.fault in {"truncated", "unfinished"}:
            expected = self._answer.all_headers()["Content-Length"]
            raise httpx.RemoteProtocolError(
                "peer closed connection without sending complete message body (received "
                f"{sum(map(len, self._pieces))} bytes, expected {expected})"
            )


def _cut(answer: Answer) -> tuple[list[bytes], float]:
    """Return the pieces in which the body comes, and the pause before each in seconds."""
    body = answer.body
    if answer.fault == "truncated":
        return [body[: len(body) // 2]], 0.0
    dripping = answer.fault == "drip"
    length = -(-len(body) // _DRIPS) if dripping else _PIECE_BYTES
    pieces = [body[start : start + length] for start in range(0, len(body), length)]
    return pieces, _DRIP_SECONDS if dripping else 0.0


def _check_host(request: httpx.Request) -> None:
    if request.url.host != "sandbox.invalid":
        raise httpx.ConnectError(
            f"the sandbox answers for {SANDBOX_BASE_URL} only, not for {request.url.host}",
            request=request,
        )


def _pause_seconds(request: httpx.Request, answer: Answer) -> float:
    """Return how long to wait before the answer, at most until the read timeout."""
    read_timeout = _read_timeout(request)
    return answer.delay_seconds if read_timeout is None else min(answer.delay_seconds, read_timeout)


def _read_timeout(request: httpx.Request) -> float | None:
    timeouts: dict[str, float | None] = request.extensions.get("timeout", {})
    return timeouts.get("read")


def _respond(request: httpx.Request, answer: Answer) -> httpx.Response:
    read_timeout = _read_timeout(request)
    too_slow = read_timeout is not None and answer.delay_seconds > read_timeout
    if too_slow or answer.fault == "timeout":
        raise httpx.ReadTimeout("The read operation timed out", request=request)
    if answer.fault == "drop":
        raise httpx.RemoteProtocolError(
            "Server disconnected without sending a response.", request=request
        )
    if answer.fault == "reset":
        raise httpx.ReadError("[Errno 104] Connection reset by peer", request=request)
    return httpx.Response(
        answer.status, headers=answer.all_headers(), stream=_Body(answer), request=request
    )
