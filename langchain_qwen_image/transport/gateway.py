"""Which client a request to the gateway goes through: the caller's own, or one of our pools."""

import asyncio
from typing import Any

import httpx

from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.transport.call import Call
from langchain_qwen_image.transport.pool import AsyncPool, Pool
from langchain_qwen_image.transport.post import (
    RawAnswer,
    apost,
    callers_async_client,
    callers_client,
    own_async_client,
    own_client,
    post,
)
from langchain_qwen_image.wire.request import WireRequest


class GatewayConnection:
    """Sends single requests to one gateway; safe for threads, event loops and forks."""

    def __init__(
        self,
        *,
        sandbox: bool = False,
        http_client: httpx.Client | None = None,
        http_async_client: httpx.AsyncClient | None = None,
    ) -> None:
        """Open nothing yet.

        Args:
            sandbox: The embedded sandbox answers; the clients are not used.
            http_client: The caller's own client; never closed here.
            http_async_client: The same for asyncio.
        """
        transport = _sandbox_transport() if sandbox else None
        self._pool = Pool(transport)
        self._async_pool = AsyncPool(transport)
        self._http_client = None if sandbox else http_client
        self._http_async_client = None if sandbox else http_async_client

    def post(self, wire: WireRequest, call: Call, seconds: float) -> RawAnswer:
        """Send one POST, once; the answer may take so many seconds.

        Raises:
            QwenImageError: No answer came, or it was cut short.
        """
        if self._http_client is not None:
            return post(callers_client, self._http_client, wire, call, seconds)
        if self._http_async_client is not None:
            raise ConfigurationError(
                "A blocking call needs http_client=…; only http_async_client was given. "
                "Nothing was sent."
            )
        with self._pool.lease() as client:
            return post(own_client, client, wire, call, seconds)

    async def apost(self, wire: WireRequest, call: Call, seconds: float) -> RawAnswer:
        """Async twin of `post`; a blocking client of the caller's works in a thread."""
        if self._http_async_client is not None:
            client = self._http_async_client
            return await apost(callers_async_client, client, wire, call, seconds)
        if self._http_client is not None:
            return await asyncio.to_thread(
                post, callers_client, self._http_client, wire, call, seconds
            )
        async with await self._async_pool.lease() as client:
            return await apost(own_async_client, client, wire, call, seconds)

    def close(self) -> None:
        """Close the blocking connections; a later call opens new ones."""
        self._pool.close()

    async def aclose(self) -> None:
        """Close the running loop's connections and the blocking ones."""
        self.close()
        await self._async_pool.aclose()


def _sandbox_transport() -> Any:
    from langchain_qwen_image.sandbox import SandboxTransport

    return SandboxTransport()
