"""One request over httpx and what came of it: an answer, or an error that says what it bought.

The errors of httpx are not chained to ours: their frames hold the request, and with it the key.
"""

from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import aclosing, closing
from typing import Any

import httpx

from langchain_qwen_image.concurrency.threads import in_thread
from langchain_qwen_image.transport.answer import MAX_ANSWER_BYTES, RawAnswer
from langchain_qwen_image.transport.call import Call, current_call, hide_answers_in_logs
from langchain_qwen_image.transport.failures import transport_errors, unanswered, unpolled
from langchain_qwen_image.transport.http_libraries import (
    AsyncHttpClient,
    HttpClient,
    HttpResponse,
)
from langchain_qwen_image.transport.reading import Reading
from langchain_qwen_image.transport.routes import AsyncRoute, Outgoing, Route
from langchain_qwen_image.wire.request import WireRequest


def post(
    route: Route,
    client: HttpClient | httpx.BaseTransport,
    wire: WireRequest,
    call: Call,
    seconds: float,
    max_bytes: int = MAX_ANSWER_BYTES,
) -> RawAnswer:
    """Send one POST, once, and read the answer.

    Args:
        route: `own_client` for a transport of the pool, `callers_client` for the caller's client.
        client: What the route sends through.
        wire: The request.
        call: Its deadline; afterwards `call.answer` holds what came, also after an error.
        seconds: How long the answer may take.
        max_bytes: Most bytes of a 2xx that are read, as sent and decoded.

    Raises:
        QwenImageError: No answer came, it was cut short, or it cannot be decoded.
    """
    reading = Reading(call, max_bytes, unanswered, seconds)
    _exchange(route, client, Outgoing.post(wire, seconds), reading)
    return reading.settled()


async def apost(
    route: AsyncRoute,
    client: AsyncHttpClient | httpx.AsyncBaseTransport,
    wire: WireRequest,
    call: Call,
    seconds: float,
    max_bytes: int = MAX_ANSWER_BYTES,
) -> RawAnswer:
    """Async twin of `post`."""
    reading = Reading(call, max_bytes, unanswered, seconds)
    await _aexchange(route, client, Outgoing.post(wire, seconds), reading)
    return await _settled(reading)


def fetch_answer(
    route: Route,
    client: HttpClient | httpx.BaseTransport,
    url: str,
    headers: Mapping[str, str],
    call: Call,
    seconds: float,
    max_bytes: int = MAX_ANSWER_BYTES,
) -> RawAnswer:
    """Ask the gateway by GET, once; the answer is read as one to a POST, no redirect is followed.

    The caller joins `url` from the configured gateway's address, so that `headers`, with the key in
    them, go nowhere else:

        with pool.lease() as transport:
            raw = fetch_answer(own_client, transport, url, headers, Call(deadline), seconds)

    Args:
        route: `own_client` for a transport of the pool, `callers_client` for the caller's client.
        client: What the route sends through.
        url: Address at the gateway.
        headers: All headers, the key among them.
        call: Its deadline, which a GET keeps from the start: `Call(time.monotonic() + seconds)`.
        seconds: How long the answer may take.
        max_bytes: Most bytes of a 2xx that are read, as sent and decoded.

    Raises:
        ConnectionFailedError: No whole answer came; asking again is free, and `is_retryable`.
        ConfigurationError: The request cannot be sent, by an address or a setting.
    """
    reading = Reading(call, max_bytes, unpolled, seconds)
    _exchange(route, client, Outgoing.get(url, headers, seconds), reading)
    return reading.settled()


async def afetch_answer(
    route: AsyncRoute,
    client: AsyncHttpClient | httpx.AsyncBaseTransport,
    url: str,
    headers: Mapping[str, str],
    call: Call,
    seconds: float,
    max_bytes: int = MAX_ANSWER_BYTES,
) -> RawAnswer:
    """Async twin of `fetch_answer`."""
    reading = Reading(call, max_bytes, unpolled, seconds)
    await _aexchange(route, client, Outgoing.get(url, headers, seconds), reading)
    return await _settled(reading)


def _exchange(route: Route, client: Any, outgoing: Outgoing, reading: Reading) -> None:
    hide_answers_in_logs()
    token = current_call.set(reading.call)  # for the deadline of the network layer
    try:
        with closing(route(client, outgoing, reading.call)) as head:
            reading.begin(head)
            with closing(_pieces(head)) as pieces:
                for piece in pieces:
                    if not reading.take(piece):
                        break
    except transport_errors() as failure:
        reading.fail(failure)
    finally:
        current_call.reset(token)


async def _aexchange(route: AsyncRoute, client: Any, outgoing: Outgoing, reading: Reading) -> None:
    hide_answers_in_logs()
    token = current_call.set(reading.call)
    try:
        async with aclosing(await route(client, outgoing, reading.call)) as head:
            reading.begin(head)
            async with aclosing(_apieces(head)) as pieces:
                async for piece in pieces:
                    if not reading.take(piece):
                        break
    except transport_errors() as failure:
        reading.fail(failure)
    finally:
        current_call.reset(token)


def _pieces(head: HttpResponse) -> Generator[bytes]:
    if not head.is_stream_consumed:
        yield from head.iter_raw()


async def _apieces(head: HttpResponse) -> AsyncGenerator[bytes]:
    if not head.is_stream_consumed:
        async for piece in head.aiter_raw():
            yield piece


async def _settled(reading: Reading) -> RawAnswer:
    """Make the end of an answer beside the event loop, where that takes long."""
    return await in_thread(reading.settled) if reading.takes_long else reading.settled()
