"""Which client a request to the gateway goes through: the caller's own, or one of our pools."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from langchain_qwen_image.defaults import MAX_IMAGE_BYTES
from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.transport.answer import RawAnswer, answer_cap
from langchain_qwen_image.transport.call import Call
from langchain_qwen_image.transport.http_libraries import (
    AsyncHttpClient,
    HttpClient,
    checked_async_client,
    checked_client,
)
from langchain_qwen_image.transport.pool import AsyncPool, Pool
from langchain_qwen_image.transport.post import afetch_answer, apost, fetch_answer, post
from langchain_qwen_image.transport.routes import (
    AsyncRoute,
    Route,
    callers_async_client,
    callers_client,
    own_async_client,
    own_client,
)
from langchain_qwen_image.wire.request import WireRequest


class GatewayConnection:
    """Sends single requests to one gateway; safe for threads, event loops and forks."""

    def __init__(
        self,
        *,
        sandbox: bool = False,
        http_client: HttpClient | None = None,
        http_async_client: AsyncHttpClient | None = None,
        max_image_bytes: int = MAX_IMAGE_BYTES,
    ) -> None:
        """Open nothing yet.

        Args:
            sandbox: The embedded sandbox answers; the clients are not used.
            http_client: The caller's own client; never closed here.
            http_async_client: The same for asyncio.
            max_image_bytes: Largest image, in bytes, that may come inside an answer.

        Raises:
            ConfigurationError: What was passed as a client is none of httpx's or httpx2's.
        """
        checked_client(http_client)
        checked_async_client(http_async_client)
        transport = _sandbox_transport() if sandbox else None
        self._max_bytes = answer_cap(max_image_bytes)
        self._pool = Pool(transport)
        self._async_pool = AsyncPool(transport)
        self._http_client = None if sandbox else http_client
        self._http_async_client = None if sandbox else http_async_client

    def post(self, wire: WireRequest, call: Call, seconds: float) -> RawAnswer:
        """Send one POST, once; the answer may take so many seconds.

        Raises:
            QwenImageError: No answer came, it was cut short, or it cannot be decoded.
        """
        with self._way(wire.url) as (route, client):
            return post(route, client, wire, call, seconds, self._max_bytes)

    async def apost(self, wire: WireRequest, call: Call, seconds: float) -> RawAnswer:
        """Async twin of `post`; a blocking client of the caller's works in a thread."""
        if self._needs_thread:
            return await asyncio.to_thread(self.post, wire, call, seconds)
        async with self._away(wire.url) as (route, client):
            return await apost(route, client, wire, call, seconds, self._max_bytes)

    def get(self, url: str, headers: Mapping[str, str], call: Call, seconds: float) -> RawAnswer:
        """Ask the gateway by GET, once, without following a redirect.

        `url` must be an address at the gateway: `headers` have the key in them.

        Raises:
            ConnectionFailedError: No whole answer came; asking again is free.
            ConfigurationError: The request cannot be sent, by an address or a setting.
        """
        with self._way(url) as (route, client):
            return fetch_answer(route, client, url, headers, call, seconds, self._max_bytes)

    async def aget(
        self, url: str, headers: Mapping[str, str], call: Call, seconds: float
    ) -> RawAnswer:
        """Async twin of `get`."""
        if self._needs_thread:
            return await asyncio.to_thread(self.get, url, headers, call, seconds)
        async with self._away(url) as (route, client):
            return await afetch_answer(route, client, url, headers, call, seconds, self._max_bytes)

    def close(self) -> None:
        """Close the blocking connections; a later call opens new ones."""
        self._pool.close()

    async def aclose(self) -> None:
        """Close the running loop's connections and the blocking ones."""
        self.close()
        await self._async_pool.aclose()

    @property
    def _needs_thread(self) -> bool:
        return self._http_async_client is None and self._http_client is not None

    @contextmanager
    def _way(self, url: str) -> Iterator[tuple[Route, Any]]:
        if self._http_client is not None:
            yield callers_client, self._http_client
        elif self._http_async_client is not None:
            raise ConfigurationError(
                "A blocking call needs http_client=…; only http_async_client was given. "
                "Nothing was sent."
            )
        else:
            with self._pool.lease(url) as transport:
                yield own_client, transport

    @asynccontextmanager
    async def _away(self, url: str) -> AsyncIterator[tuple[AsyncRoute, Any]]:
        if self._http_async_client is not None:
            yield callers_async_client, self._http_async_client
        else:
            async with self._async_pool.lease(url) as transport:
                yield own_async_client, transport


def _sandbox_transport() -> Any:
    from langchain_qwen_image.sandbox import SandboxTransport

    return SandboxTransport()
