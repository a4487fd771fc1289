"""A plain client for the endpoint, without LangChain callbacks or tracing."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

from pydantic import SecretStr

from langchain_qwen_image.account.account_setting import checked_account
from langchain_qwen_image.concurrency.runtime import Asyncio, Blocking
from langchain_qwen_image.concurrency.threads import in_thread
from langchain_qwen_image.defaults import MAX_RETRIES, PRICE_USD, TIMEOUT
from langchain_qwen_image.environment import (
    check_environment_sandbox,
    on_event_loop,
    sandbox_from_environment,
)
from langchain_qwen_image.pipeline.assembly import assemble_bare
from langchain_qwen_image.pipeline.cancellation import CallState
from langchain_qwen_image.pipeline.order import CallKey
from langchain_qwen_image.pipeline.pipeline import Pipeline
from langchain_qwen_image.pipeline.sender import Sender
from langchain_qwen_image.result import ImageGenerationResult
from langchain_qwen_image.schemas import GivenParameters, QwenImageInput
from langchain_qwen_image.transport.gateway import GatewayConnection
from langchain_qwen_image.transport.http_libraries import AsyncHttpClient, HttpClient
from langchain_qwen_image.wire.arguments import check_prompt

if TYPE_CHECKING:
    from langchain_qwen_image.account.account import Account
    from langchain_qwen_image.account.pace import Pace


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
        account: "str | PathLike[str] | Account | None" = None,
        pace: "Pace | Literal[False] | None" = None,
        http_client: HttpClient | None = None,
        http_async_client: AsyncHttpClient | None = None,
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
            account: The books, for idempotency keys and a limit: a path, a `postgresql://` address
                or an `Account`. By default what `QWEN_IMAGE_DATABASE` names, else none.
            pace: How fast requests leave, found out together. By default the account's pace, or
                this process's for gateway and key; False for none.
            http_client: Your own client for the POST, of httpx or httpx2; never closed here. Its
                certificates and its proxy, and nothing else of it, serve to download images too.
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
            names = ("api_key", "base_url", "http_client", "http_async_client")
            own = (api_key, base_url, http_client, http_async_client)
            check_environment_sandbox([n for n, v in zip(names, own, strict=True) if v is not None])
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
        self._account = checked_account(account)
        self._pace = pace
        self._assemble = partial(
            assemble_bare,
            self._sender,
            self._account,
            pace,
            (http_client, http_async_client),
            Blocking(sleep),
            Asyncio(asleep),
        )
        self._made: list[Pipeline] = []
        if not on_event_loop():  # there the first call does it, in a thread: it reads the disk
            self._pipeline()

    def generate(
        self,
        prompt: str | QwenImageInput,
        *,
        idempotency_key: str | None = None,
        run: str = "",
        retry_unknown: bool = False,
        retry_lost: bool = False,
        **parameters: Unpack[GivenParameters],
    ) -> ImageGenerationResult:
        """Generate an image: one paid POST, or none where the key has bought it before.

        Args:
            prompt: What the image shows, or checked arguments.
            idempotency_key: 1 to 255 characters; in one account a key is paid for once.
            run: A label of the call in the account, and the name space of its key.
            retry_unknown: Pay again where the answer of an earlier call of the key was lost.
            retry_lost: Pay again where its image was paid for and cannot be had any more.
            **parameters: `negative_prompt`, `prompt_extend`, `watermark`, `size`.

        Returns:
            The result; its images are links, fetched by `result.image.read()` or `.save(…)`.

        Raises:
            QwenImageError: No image came; the class says why, and `may_have_been_billed`
                whether it may be paid for all the same.
        """
        key = CallKey(idempotency_key, run, retry_unknown, retry_lost)
        return self._pipeline().generate(check_prompt(prompt, parameters), CallState(), key=key)

    async def agenerate(
        self,
        prompt: str | QwenImageInput,
        *,
        idempotency_key: str | None = None,
        run: str = "",
        retry_unknown: bool = False,
        retry_lost: bool = False,
        **parameters: Unpack[GivenParameters],
    ) -> ImageGenerationResult:
        """Async twin of `generate`."""
        key = CallKey(idempotency_key, run, retry_unknown, retry_lost)
        checked = check_prompt(prompt, parameters)
        pipeline = self._made[0] if self._made else await in_thread(self._pipeline)
        return await pipeline.agenerate(checked, CallState(), key=key)

    def _pipeline(self) -> Pipeline:
        if not self._made:
            self._made.append(self._assemble())
        return self._made[0]

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
        """Pickle without API key, password and connections: the copy reads the environment."""
        sender = self._sender
        return partial(
            QwenImageClient,
            base_url=None if sender.sandbox else sender.base_url,
            sandbox=sender.sandbox,
            timeout=sender.timeout,
            max_retries=sender.max_retries,
            price_usd=sender.price_usd,
            account=self._account,
            pace=self._pace,
        ), ()

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
