"""Sends the POST of a call until there is an answer.

The only place that pays. What may be sent again is decided in `wire.retry`, what an answer means in
`wire.response`, and what became of one POST in `transport.post`.
"""

import logging
import random
import time
import warnings
from datetime import UTC, datetime
from itertools import count
from typing import Protocol

from pydantic import SecretStr

from langchain_qwen_image.concurrency.runtime import Runtime
from langchain_qwen_image.defaults import SANDBOX_URL
from langchain_qwen_image.environment import (
    base_url_from_environment,
    check_numbers,
    checked_base_url,
    is_loopback,
    usable_key,
)
from langchain_qwen_image.errors import MalformedResponseError, QwenImageError
from langchain_qwen_image.pipeline.cancellation import CallState
from langchain_qwen_image.schemas import QwenImageInput
from langchain_qwen_image.transport.answer import RawAnswer
from langchain_qwen_image.transport.gateway import GatewayConnection
from langchain_qwen_image.transport.pool import CONNECT_SECONDS
from langchain_qwen_image.wire.request import WireRequest, build_request, cut_off_warnings
from langchain_qwen_image.wire.response import QueuedAnswer, WireAnswer, parse_response
from langchain_qwen_image.wire.retry import retry_delay

_LARGE = 256 * 1024
"""Bytes of an answer from which on it is read beside the event loop (an image came inline)."""

logger = logging.getLogger("langchain_qwen_image")


class Observer(Protocol):
    """Is told of the attempts of a call; raising keeps the next POST from leaving."""

    async def before_post(self) -> None:
        """Do what must be done before each POST leaves."""

    async def before_wait(self, error: QwenImageError, seconds: float) -> None:
        """Do what must be done when a POST bought nothing and is to be repeated."""


class Sender:
    """One gateway, one key: sends what is paid for, with the retry rule.

    Attributes:
        sandbox: Whether the embedded sandbox answers.
        base_url: The gateway's address.
        timeout: Seconds for the whole answer to one POST.
        max_retries: Extra attempts, made only where the request provably bought nothing.
        price_usd: Price of one image in US dollars; 0 in the sandbox.
    """

    def __init__(
        self,
        *,
        api_key: SecretStr | None,
        base_url: str | None,
        sandbox: bool,
        timeout: float,
        max_retries: int,
        price_usd: float,
        connection: GatewayConnection,
    ) -> None:
        """Check the settings; nothing is opened or sent.

        Raises:
            ConfigurationError: `base_url` is not an address that the key may be sent to, or a
                number cannot work.
        """
        self._api_key = api_key
        self.sandbox = sandbox
        self.base_url = (
            SANDBOX_URL if sandbox else checked_base_url(base_url or base_url_from_environment())
        )
        check_numbers(timeout, max_retries, price_usd)
        self.timeout = timeout
        self.max_retries = max_retries
        self.price_usd = 0.0 if sandbox else price_usd
        self._connection = connection

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

    async def send(
        self,
        runtime: Runtime,
        wire: WireRequest,
        call_state: CallState,
        observer: Observer,
        *,
        max_retries: int,
    ) -> WireAnswer:
        """Send until there is an answer, or a failure that may not be repeated.

        Raises:
            QwenImageError: No image came.
        """
        for attempt in count(1):
            await observer.before_post()
            outcome = await self._attempt(runtime, wire, call_state, attempt)
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
            logger.info("attempt %d was not billed; next in %.1f s: %s", attempt, seconds, outcome)
            await observer.before_wait(outcome, seconds)
            await runtime.sleep(seconds)
        raise AssertionError  # count() has no end

    def close(self) -> None:
        """Close the blocking connections; a later call opens new ones."""
        self._connection.close()

    async def aclose(self) -> None:
        """Close the running loop's connections and the blocking ones."""
        await self._connection.aclose()

    async def _attempt(
        self, runtime: Runtime, wire: WireRequest, call_state: CallState, attempt: int
    ) -> WireAnswer | QwenImageError:
        call = call_state.start_post(CONNECT_SECONDS, self.timeout)
        started = time.monotonic()
        logger.debug("POST %s, attempt %d", wire.url, attempt)
        try:
            raw = await runtime.either(
                self._connection.post, self._connection.apost, wire, call, self.timeout
            )
            logger.debug("answered %d after %.1f s", raw.status, time.monotonic() - started)
            return await self._read(runtime, raw, wire.key)
        except QwenImageError as error:
            return error.with_traceback(None)  # its frames hold the key

    async def _read(self, runtime: Runtime, raw: RawAnswer, key: str) -> WireAnswer:
        def read() -> WireAnswer | QueuedAnswer:
            return parse_response(
                raw.status,
                raw.headers,
                bytes(raw.body),
                secret=key,
                now=datetime.now(UTC),
                base_url=self.base_url,
            )

        answer = await runtime.beside(read) if len(raw.body) > _LARGE else read()
        if isinstance(answer, QueuedAnswer):
            raise MalformedResponseError("The gateway queued the request.")
        return answer
