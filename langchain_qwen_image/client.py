"""The endpoint without LangChain's run machinery, and the only place that sends a POST."""

import asyncio
import logging
import random
import time
import warnings
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from itertools import count
from types import TracebackType
from typing import Any, Self, Unpack

import httpx
from pydantic import SecretStr

from langchain_qwen_image.concurrency.script import Do, Script, drive
from langchain_qwen_image.defaults import MAX_RETRIES, PRICE_USD, SANDBOX_URL, TIMEOUT
from langchain_qwen_image.environment import (
    base_url_from_environment,
    check_numbers,
    checked_base_url,
    is_loopback,
    usable_key,
)
from langchain_qwen_image.errors import (
    ConfigurationError,
    MalformedResponseError,
    QwenImageError,
)
from langchain_qwen_image.pipeline.cancellation import CallState, finish_in_background
from langchain_qwen_image.pipeline.watcher import Watcher
from langchain_qwen_image.result import GeneratedImage, ImageGenerationResult
from langchain_qwen_image.schemas import GivenParameters, QwenImageInput
from langchain_qwen_image.transport.call import Call
from langchain_qwen_image.transport.pool import CONNECT_SECONDS, AsyncPool, Pool
from langchain_qwen_image.transport.post import (
    RawAnswer,
    apost,
    callers_async_client,
    callers_client,
    own_async_client,
    own_client,
    post,
)
from langchain_qwen_image.wire.arguments import check_prompt
from langchain_qwen_image.wire.request import WireRequest, build_request, cut_off_warnings
from langchain_qwen_image.wire.response import QueuedAnswer, WireAnswer, parse_response
from langchain_qwen_image.wire.retry import retry_delay

logger = logging.getLogger("langchain_qwen_image")


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
        sandbox: bool = False,
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
            api_key: Subscription key; by default `PIXAZO_API_KEY`, read at each call.
            base_url: Address of the gateway; by default `PIXAZO_BASE_URL`, else the public one.
            sandbox: Answer from the embedded sandbox: no key, no network, no cost.
            timeout: Seconds for the whole answer to one POST.
            max_retries: Extra attempts, made only where the request provably bought nothing.
            price_usd: Price of one image in US dollars.
            http_client: Your own client for the POST; never closed here.
            http_async_client: The same for asyncio, bound to your event loop.
            sleep: Waits between attempts, in seconds; tests put their own here.
            asleep: The same for asyncio.

        Raises:
            ConfigurationError: `base_url` is not an address that the key may be sent to, or a
                number cannot work.
        """
        api_key = SecretStr(api_key) if isinstance(api_key, str) else api_key
        self._api_key = api_key
        self.sandbox = sandbox
        self.base_url = (
            SANDBOX_URL if sandbox else checked_base_url(base_url or base_url_from_environment())
        )
        check_numbers(timeout, max_retries, price_usd)
        self.timeout = timeout
        self.max_retries = max_retries
        self.price_usd = 0.0 if sandbox else price_usd
        self._http_client = None if sandbox else http_client
        self._http_async_client = None if sandbox else http_async_client
        self._sleep = sleep
        self._asleep = asleep
        transport = _sandbox_transport() if sandbox else None
        self._pool = Pool(transport)
        self._async_pool = AsyncPool(transport)

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
        call_state = CallState()
        return drive(self.script(check_prompt(prompt, parameters), call_state))

    async def agenerate(
        self, prompt: str | QwenImageInput, **parameters: Unpack[GivenParameters]
    ) -> ImageGenerationResult:
        """Async twin of `generate`."""
        call_state = CallState()
        return await finish_in_background(
            self.script(check_prompt(prompt, parameters), call_state), call_state
        )

    def close(self) -> None:
        """Close the blocking connections; a later call opens new ones."""
        self._pool.close()

    async def aclose(self) -> None:
        """Close the running loop's connections and the blocking ones."""
        self.close()
        await self._async_pool.aclose()

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
        known = vars(self)  # a traceback may show a client that its constructor refused
        return f"QwenImageClient(base_url={known.get('base_url')!r}, sandbox={self.sandbox})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without key and connections: the copy reads the environment."""
        return _rebuild, (
            {
                "base_url": None if self.sandbox else self.base_url,
                "sandbox": self.sandbox,
                "timeout": self.timeout,
                "max_retries": self.max_retries,
                "price_usd": self.price_usd,
            },
        )

    @property
    def is_local(self) -> bool:
        """Whether the gateway is on this machine, so that its links may be so too."""
        return is_loopback(self.base_url)

    def prepare(self, arguments: QwenImageInput) -> WireRequest:
        """Build the request, and warn of what upstream will cut off.

        Raises:
            ConfigurationError: There is no key, or it cannot stand in a header.
        """
        for sentence in cut_off_warnings(arguments):
            warnings.warn(sentence, UserWarning, stacklevel=2)
        key = "sandbox" if self.sandbox else usable_key(self._api_key)
        return build_request(self.base_url, key, arguments)

    def script(
        self, arguments: QwenImageInput, call_state: CallState
    ) -> Script[ImageGenerationResult]:
        """Say the steps of one call: prepare, send, read."""
        from langchain_qwen_image.storage.reader import reader_of

        wire = self.prepare(arguments)
        answer = yield from self.exchange(wire, call_state, Watcher(), self.max_retries)
        result = self.result(arguments, answer)
        for image in result.images:
            image.bind(reader_of(sandbox=self.sandbox, allow_loopback=self.is_local))
        return result

    def exchange(
        self, wire: WireRequest, call_state: CallState, watcher: Watcher, max_retries: int
    ) -> Script[WireAnswer]:
        """Say the steps from the first POST to an answer; the retry rule stands here alone.

        Raises:
            QwenImageError: No image came.
        """
        for attempt in count(1):
            yield from watcher.before_post()
            outcome = yield from self._attempt(wire, call_state, attempt)
            if isinstance(outcome, WireAnswer):
                return outcome
            seconds = retry_delay(
                outcome,
                attempt=attempt,
                max_retries=max_retries,
                jitter=random.random(),  # noqa: S311 - no secret
            )
            if seconds is None or call_state.abandoned:
                raise outcome
            call_state.not_billed()
            logger.info("attempt %d bought nothing; next in %.1f s: %s", attempt, seconds, outcome)
            yield from watcher.before_wait(outcome, seconds)
            yield Do(self._sleep, self._asleep, (seconds,))
        raise AssertionError  # count() has no end

    def result(self, arguments: QwenImageInput, answer: WireAnswer) -> ImageGenerationResult:
        """Put together what the caller gets; the price is that of each image."""
        return ImageGenerationResult(
            images=[
                GeneratedImage.from_link(url, width=answer.width, height=answer.height)
                for url in answer.urls
            ],
            prompt=arguments.prompt,
            parameters=arguments.parameters(),
            request_id=answer.request_id,
            finish_reason=answer.finish_reason,
            cost_usd=round(self.price_usd * len(answer.urls), 6),
            sandbox=self.sandbox,
        )

    def _attempt(
        self, wire: WireRequest, call_state: CallState, attempt: int
    ) -> Script[WireAnswer | QwenImageError]:
        call = call_state.start_post(CONNECT_SECONDS, self.timeout)
        started = time.monotonic()
        logger.debug("POST %s, attempt %d", wire.url, attempt)
        try:
            raw: RawAnswer = yield Do(self._post, self._apost, (wire, call))
            logger.debug("answered %d after %.1f s", raw.status, time.monotonic() - started)
            answer = parse_response(
                raw.status,
                raw.headers,
                bytes(raw.body),
                secret=wire.key,
                now=datetime.now(UTC),
                base_url=self.base_url,
            )
            if isinstance(answer, QueuedAnswer):
                return MalformedResponseError(f"The gateway put the request on hold: {answer!r}")
            return answer
        except QwenImageError as error:
            return error.with_traceback(None)  # its frames hold the key

    def _post(self, wire: WireRequest, call: Call) -> RawAnswer:
        if self._http_client is not None:
            return post(callers_client, self._http_client, wire, call, self.timeout)
        if self._http_async_client is not None:
            raise ConfigurationError(
                "A blocking call needs http_client=…; only http_async_client was given. "
                "Nothing was sent."
            )
        with self._pool.lease() as client:
            return post(own_client, client, wire, call, self.timeout)

    async def _apost(self, wire: WireRequest, call: Call) -> RawAnswer:
        if self._http_async_client is not None:
            client = self._http_async_client
            return await apost(callers_async_client, client, wire, call, self.timeout)
        if self._http_client is not None:
            return await asyncio.to_thread(
                post, callers_client, self._http_client, wire, call, self.timeout
            )
        async with await self._async_pool.lease() as client:
            return await apost(own_async_client, client, wire, call, self.timeout)


def _sandbox_transport() -> Any:
    from langchain_qwen_image.sandbox import SandboxTransport

    return SandboxTransport()


def _rebuild(settings: dict[str, Any]) -> QwenImageClient:
    return QwenImageClient(**settings)
