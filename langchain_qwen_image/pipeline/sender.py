"""Sends the POST of a call until there is an answer, and asks for one that the gateway queued.

The only place that pays. `wire.retry` decides what is sent again, `wire.response` what it means.
"""

import logging
import random
import time
import warnings
from datetime import UTC, datetime
from functools import partial
from itertools import count

from pydantic import SecretStr

from langchain_qwen_image.concurrency.runtime import Runtime
from langchain_qwen_image.defaults import SANDBOX_URL
from langchain_qwen_image.environment import (
    ApiKey,
    base_url_from_environment,
    check_numbers,
    checked_base_url,
    is_loopback,
)
from langchain_qwen_image.errors import ConfigurationError, MalformedResponseError, QwenImageError
from langchain_qwen_image.pipeline.cancellation import CallState
from langchain_qwen_image.pipeline.observer import Observer
from langchain_qwen_image.pipeline.queue import wait_in_queue
from langchain_qwen_image.pipeline.turns import Turns, in_turn
from langchain_qwen_image.schemas import QwenImageInput
from langchain_qwen_image.transport.answer import RawAnswer
from langchain_qwen_image.transport.call import Call, Lease
from langchain_qwen_image.transport.gateway import GatewayConnection
from langchain_qwen_image.transport.pool import CONNECT_SECONDS
from langchain_qwen_image.wire.answer import QueuedAnswer, WireAnswer
from langchain_qwen_image.wire.request import (
    WireRequest,
    build_poll,
    build_request,
    cut_off_warnings,
)
from langchain_qwen_image.wire.response import parse_poll, parse_response
from langchain_qwen_image.wire.retry import retry_delay

logger = logging.getLogger("langchain_qwen_image")


class Sender:
    """One gateway, one key: sends what is paid for, with the retry rule.

    Attributes:
        sandbox: Whether the embedded sandbox answers.
        base_url: The gateway's address.
        timeout: Seconds for the whole answer to one POST.
        max_retries: Extra attempts, made only where the request provably bought nothing.
        price_usd: Price of one image in US dollars; 0 in the sandbox.
        key: The gateway's key.
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
        self.key = ApiKey(api_key)
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

    @property
    def key_at_hand(self) -> str:
        """The API key, empty where there is none that can be used."""
        try:
            return self._key()
        except ConfigurationError:
            return ""

    def prepare(self, arguments: QwenImageInput) -> WireRequest:
        """Build the request, and warn of what upstream will cut off.

        Raises:
            ConfigurationError: There is no key, or it cannot stand in a header.
        """
        for sentence in cut_off_warnings(arguments):
            warnings.warn(sentence, UserWarning, stacklevel=2)
        return build_request(self.base_url, self._key(), arguments)

    async def send(
        self,
        runtime: Runtime,
        wire: WireRequest,
        call_state: CallState,
        observer: Observer,
        *,
        max_retries: int,
        turns: Turns | None = None,
    ) -> WireAnswer:
        """Send, in turn, until there is an answer, or a failure that may not be repeated.

        Raises:
            TurnLostError: The turn that the caller gave is lost; nothing was sent.
            QwenImageError: No image came.
        """
        for attempt in count(1):
            lease = await in_turn(turns, observer.before_post)
            outcome = await self._attempt(runtime, wire, call_state, observer, attempt, lease)
            pause = 0.0 if turns is None or call_state.abandoned else await turns.tell(outcome)
            if isinstance(outcome, WireAnswer):
                return outcome
            if isinstance(outcome, QueuedAnswer):
                await observer.queued(outcome)
                return await self.wait(runtime, outcome, observer)
            seconds = retry_delay(
                outcome,
                attempt=attempt - (turns.overtaken if turns else 0),
                max_retries=max_retries,
                jitter=random.random(),  # noqa: S311 - no secret
            )
            if seconds is None or call_state.abandoned:
                raise outcome
            call_state.not_billed()
            wait = pause or seconds
            logger.info("attempt %d was not billed; next in %.1f s: %s", attempt, wait, outcome)
            await observer.before_wait(outcome, wait)
            if not pause:
                await runtime.sleep(seconds)
        raise AssertionError  # count() has no end

    async def wait(self, runtime: Runtime, queued: QueuedAnswer, observer: Observer) -> WireAnswer:
        """Ask for a queued answer until it is there, `timeout` seconds at most.

        Raises:
            RequestTimeoutError: It was not there in time; the gateway may still make the image.
            QwenImageError: The gateway says that it failed, or refuses to be asked.
        """

        async def poll(polling_path: str) -> WireAnswer | QueuedAnswer:
            wire = build_poll(self.base_url, self._key(), polling_path)
            call = Call(time.monotonic() + self.timeout)
            try:
                raw = await runtime.either(
                    self._connection.get,
                    self._connection.aget,
                    wire.url,
                    wire.headers,
                    call,
                    self.timeout,
                )
            except QwenImageError as error:
                error.may_have_been_billed = True  # the POST was taken, whatever a GET meets
                raise
            return await self._read(runtime, raw, wire.key, observer, polling_path=polling_path)

        return await wait_in_queue(
            runtime, poll, queued, seconds=self.timeout, advice=observer.advice
        )

    def close(self) -> None:
        """Close the blocking connections; a later call opens new ones."""
        self._connection.close()

    async def aclose(self) -> None:
        """Close the running loop's connections and the blocking ones."""
        await self._connection.aclose()

    def _key(self) -> str:
        return "sandbox" if self.sandbox else self.key.value

    async def _attempt(
        self,
        runtime: Runtime,
        wire: WireRequest,
        call_state: CallState,
        observer: Observer,
        attempt: int,
        lease: Lease | None,
    ) -> WireAnswer | QueuedAnswer | QwenImageError:
        call = call_state.start_post(CONNECT_SECONDS, self.timeout, lease)
        logger.debug("POST %s, attempt %d", wire.url, attempt)
        started = time.monotonic()
        try:
            raw = await runtime.either(
                self._connection.post, self._connection.apost, wire, call, self.timeout
            )
        except QwenImageError as error:
            if call.answer is not None and call.answer.is_success:
                await observer.unread(call.answer)  # cut, or in a coding that nobody reads
            return error.with_traceback(None)  # its frames hold the key
        logger.debug("answered %d after %.1f s", raw.status, time.monotonic() - started)
        try:
            return await self._read(runtime, raw, wire.key, observer, prompt=wire.prompt)
        except QwenImageError as error:
            return error.with_traceback(None)

    async def _read(
        self,
        runtime: Runtime,
        raw: RawAnswer,
        key: str,
        observer: Observer,
        *,
        prompt: str = "",
        polling_path: str | None = None,
    ) -> WireAnswer | QueuedAnswer:
        parse = parse_response
        if polling_path is not None:
            parse = partial(parse_poll, polling_path=polling_path)
        read = partial(
            parse,
            raw.status,
            raw.headers,
            raw.body,
            secret=key,
            now=datetime.now(UTC),
            base_url=self.base_url,
            prompt=prompt,
        )
        try:
            answer = await runtime.beside(read) if raw.is_large else read()
        except QwenImageError as error:
            is_unread = isinstance(error, MalformedResponseError) or polling_path is None
            if raw.is_success and error.may_have_been_billed and is_unread:
                await observer.unread(raw)
            raise
        if isinstance(answer, WireAnswer) and answer.is_candidate:
            await observer.unread(raw)
        return answer
