"""A plain client for the endpoint, without LangChain callbacks or tracing."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self, Unpack

import httpx
from pydantic import SecretStr

from langchain_qwen_image.concurrency.runtime import Asyncio, Blocking
from langchain_qwen_image.defaults import MAX_RETRIES, PRICE_USD, TIMEOUT
from langchain_qwen_image.environment import (
    check_environment_sandbox,
    sandbox_from_environment,
)
from langchain_qwen_image.pipeline.cancellation import CallState
from langchain_qwen_image.pipeline.pipeline import Pipeline
from langchain_qwen_image.pipeline.saver import ImageSaver
from langchain_qwen_image.pipeline.sender import Sender
from langchain_qwen_image.result import ImageGenerationResult
from langchain_qwen_image.schemas import GivenParameters, QwenImageInput
from langchain_qwen_image.storage.reader import make_fetcher
from langchain_qwen_image.transport.gateway import GatewayConnection
from langchain_qwen_image.wire.arguments import check_prompt


class QwenImageClient:
    """Client of the Qwen-Image endpoint, for code that needs no LangChain run.

    Safe to share between threads, event loops and processes. Closing is possible, never required.

    Examples:
        >>> client = QwenImageClient(sandbox=True)
        >>> client.generate("a red fox in the snow", size="512*512").image.width
        512
    """

    def __init__(
        self,
        *,
        api_key: SecretStr | str | None = None,
        base_url: str | None = None,
        sandbox: bool | None = None,
        timeout: float = TIMEOUT,
        max_retries: int = MAX_RETRIES,
        price_usd: float = PRICE_USD,
        http_client: httpx.Client | None = None,
        http_async_client: httpx.AsyncClient | None = None,
        sleep: Callable[[float], None] = time.sleep,
        asleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Set the client up; nothing is opened or sent before the first call.

        Args:
            api_key: API key of the gateway; by default `PIXAZO_API_KEY`, else the file
                `~/.pixazo/api-key`, read at each call.
            base_url: Address of the gateway; by default `PIXAZO_BASE_URL`, else the public one.
            sandbox: Answer from the embedded sandbox: no key, no network, no cost. By default
                `PIXAZO_SANDBOX`, else off.
            timeout: Seconds for the whole answer to one POST.
            max_retries: Extra attempts, made only where the request provably bought nothing.
            price_usd: Price of one image in US dollars.
            http_client: Your own client for the POST; never closed here. Its certificates and its
                proxy, and nothing else of it, serve to download images too.
            http_async_client: The same for asyncio, bound to your event loop.
            sleep: Waits between attempts, in seconds; tests put their own here.
            asleep: The same for asyncio.

        Raises:
            ConfigurationError: `base_url` is not an address that the key may be sent to, or a
                number cannot work.
        """
        api_key = SecretStr(api_key) if isinstance(api_key, str) else api_key  # for tracebacks
        is_sandbox = sandbox_from_environment() if sandbox is None else sandbox
        if is_sandbox and sandbox is None:
            own = {
                "api_key": api_key,
                "base_url": base_url,
                "http_client": http_client,
                "http_async_client": http_async_client,
            }
            check_environment_sandbox([name for name, value in own.items() if value is not None])
        self._sender = Sender(
            api_key=api_key,
            base_url=base_url,
            sandbox=is_sandbox,
            timeout=timeout,
            max_retries=max_retries,
            price_usd=price_usd,
            connection=GatewayConnection(
                sandbox=is_sandbox,
                http_client=http_client,
                http_async_client=http_async_client,
            ),
        )
        self._pipeline = Pipeline(
            self._sender,
            ImageSaver(
                make_fetcher(
                    sandbox=is_sandbox,
                    allow_loopback=self._sender.is_local,
                    gateway=self._sender.base_url,
                    clients=(http_client, http_async_client),
                )
            ),
            blocking=Blocking(sleep),
            asyncio=Asyncio(asleep),
        )

    def generate(
        self, prompt: str | QwenImageInput, **parameters: Unpack[GivenParameters]
    ) -> ImageGenerationResult:
        """Generate an image: one paid POST.

        Args:
            prompt: What the image shows, or checked arguments.
            **parameters: `negative_prompt`, `prompt_extend`, `watermark`, `size`.

        Returns:
            The result; its images are links, fetched by `result.image.read()` or `.save(…)`.

        Raises:
            QwenImageError: No image came; the class says why, and `may_have_been_billed`
                whether it may be paid for all the same.
        """
        return self._pipeline.generate(check_prompt(prompt, parameters), CallState())

    async def agenerate(
        self, prompt: str | QwenImageInput, **parameters: Unpack[GivenParameters]
    ) -> ImageGenerationResult:
        """Async twin of `generate`."""
        return await self._pipeline.agenerate(check_prompt(prompt, parameters), CallState())

    def close(self) -> None:
        """Close the blocking connections; a later call opens new ones."""
        self._sender.close()

    async def aclose(self) -> None:
        """Close the running loop's connections and the blocking ones."""
        await self._sender.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        sender = vars(self).get("_sender")  # a traceback may show a client that was refused
        if sender is None:
            return "QwenImageClient()"
        return f"QwenImageClient(base_url={sender.base_url!r}, sandbox={sender.sandbox})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without key and connections: the copy reads the environment."""
        sender = self._sender
        return _rebuild, (
            {
                "base_url": None if sender.sandbox else sender.base_url,
                "sandbox": sender.sandbox,
                "timeout": sender.timeout,
                "max_retries": sender.max_retries,
                "price_usd": sender.price_usd,
            },
        )

    @property
    def base_url(self) -> str:
        """Address of the gateway."""
        return self._sender.base_url

    @property
    def sandbox(self) -> bool:
        """Whether the embedded sandbox answers."""
        return self._sender.sandbox

    @property
    def timeout(self) -> float:
        """Seconds for the whole answer to one POST."""
        return self._sender.timeout

    @property
    def max_retries(self) -> int:
        """Extra attempts, made only where the request provably bought nothing."""
        return self._sender.max_retries

    @property
    def price_usd(self) -> float:
        """Price of one image in US dollars; 0 in the sandbox."""
        return self._sender.price_usd


def _rebuild(settings: dict[str, Any]) -> QwenImageClient:
    return QwenImageClient(**settings)
