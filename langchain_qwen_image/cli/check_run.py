"""The calls of a live check, one after another, through the pipeline of any other call."""

import asyncio
import dataclasses
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr

from langchain_qwen_image.account.run_spend import newest_call, spend_after
from langchain_qwen_image.checks.live_answer import is_refused
from langchain_qwen_image.checks.live_evidence import (
    BAD_SIZE,
    PROMPT,
    SIZE,
    WRONG_KEY,
    Evidence,
    LiveCall,
)
from langchain_qwen_image.checks.live_exchange import ImageAnswers, RecordingConnection
from langchain_qwen_image.cli.generate import account_of
from langchain_qwen_image.cli.interrupts import run_interruptible
from langchain_qwen_image.cli.terminal import amount, dollars, waiting
from langchain_qwen_image.download.fetcher import Fetcher
from langchain_qwen_image.environment import is_loopback
from langchain_qwen_image.errors import QwenImageError
from langchain_qwen_image.generator import QwenImageGenerator
from langchain_qwen_image.pipeline.cancellation import CallState
from langchain_qwen_image.pipeline.pipeline import Pipeline
from langchain_qwen_image.pipeline.saver import ImageSaver
from langchain_qwen_image.pipeline.sender import Sender
from langchain_qwen_image.result import ImageGenerationResult
from langchain_qwen_image.schemas import QwenImageInput

_ARGUMENTS = QwenImageInput(prompt=PROMPT, size=SIZE)
_AGAIN = "press Ctrl-C again to leave without it"


class LiveRun:
    """A wrong key, then one image, then perhaps a size that is not documented.

    Attributes:
        evidence: What was seen so far, also when the run was left.
    """

    def __init__(self, generator: QwenImageGenerator, *, probe_size: bool) -> None:
        """Take the settings, and make the books ready; nothing is sent yet.

        Raises:
            QwenImageError: A call would fail for certain.
        """
        generator.pipeline.make_ready()
        self._generator = generator
        self._probe_size = probe_size
        self._call_state = CallState()
        self._stopping = False
        self._account = account_of(generator.pipeline)
        self._first = newest_call(self._account)
        self.evidence = Evidence(
            generator.base_url, datetime.now(UTC), generator.pipeline.sender.price_usd
        )

    def watch(self) -> int:
        """Make the calls; return the exit status of a signal that came meanwhile, or 0."""
        with (
            warnings.catch_warnings(action="ignore"),  # the size that is not documented
            waiting("Waiting for the gateway,") as say,
        ):
            value, status = run_interruptible(self._run(), self._finisher(say))
        self.evidence.interrupted = bool(status) and (value is None or self._left_out)
        return status

    def spent(self) -> str:
        """Say what the account has of this run's money."""
        spend = spend_after(self._account, self._first, batch=None)
        said = []
        if spend.images:
            paid = f"{amount(spend.images, 'image')} paid for"
            said.append(f"{paid}, {dollars(spend.usd)} by the price list")
        if spend.unknown:
            request = amount(spend.unknown, "request")
            said.append(f"{request} may have been billed, at most {dollars(spend.usd_unknown)}")
        return "; ".join(said) or "nothing was paid"

    @property
    def _left_out(self) -> bool:
        evidence = self.evidence
        return evidence.image is None or (self._probe_size and evidence.bad_size is None)

    async def _run(self) -> Evidence:
        evidence = self.evidence
        await self._make(evidence.wrong_key, _ARGUMENTS, SecretStr(WRONG_KEY))
        if self._stopping or not is_refused(evidence.wrong_key):
            return evidence
        evidence.image = LiveCall()
        await self._make(evidence.image, _ARGUMENTS, self._generator.api_key)
        if self._probe_size and not self._stopping and evidence.image.result is not None:
            evidence.bad_size = LiveCall()
            odd = _ARGUMENTS.model_copy(update={"size": BAD_SIZE})
            await self._make(evidence.bad_size, odd, self._generator.api_key)
        return evidence

    async def _make(
        self, call: LiveCall, arguments: QwenImageInput, api_key: SecretStr | None
    ) -> None:
        connection, answers = RecordingConnection(), ImageAnswers()
        call.exchanges, call.image_answers = connection.exchanges, answers.answers
        pipeline = self._pipeline(connection, answers, api_key)
        self._call_state = CallState()
        result = None
        try:
            call.result = result = await pipeline.agenerate(
                arguments, self._call_state, inline=True
            )
        except QwenImageError as error:
            call.error = error.with_traceback(None)  # its frames hold the key
        call.contents = await asyncio.to_thread(_contents, result)
        await pipeline.aclose()

    def _pipeline(
        self, connection: RecordingConnection, answers: ImageAnswers, api_key: SecretStr | None
    ) -> Pipeline:
        """Return the generator's pipeline, with what it sends and fetches through watched."""
        generator, base = self._generator, self._generator.pipeline
        sender = Sender(
            api_key=api_key,
            base_url=generator.base_url,
            sandbox=False,
            timeout=generator.timeout,
            max_retries=0,  # each call of the check is one POST
            price_usd=generator.price_usd,
            connection=connection,
        )
        fetcher = Fetcher(
            max_image_bytes=generator.max_image_bytes,
            allow_loopback=is_loopback(generator.base_url),
            gateway=generator.base_url,
            watch=answers,
        )
        saver = ImageSaver(fetcher, base.saver.store, base.account)
        return dataclasses.replace(base, sender=sender, saver=saver, shared=base.shared)

    def _finisher(self, say: Callable[[str], None]) -> "Callable[[asyncio.Task[Evidence]], None]":
        """Return what the first Ctrl-C does: what left is waited for, and nothing follows it."""

        def finish(task: "asyncio.Task[Evidence]") -> None:
            self._stopping = True
            if not self._call_state.paying:
                task.cancel()
                return
            self._call_state.abandon()
            say(f"Waiting for the answer, which may be billed; {_AGAIN}")

        return finish


def _contents(result: ImageGenerationResult | None) -> dict[str, bytes]:
    images = [] if result is None else result.images
    return {one.url or "": Path(one.path).read_bytes() for one in images if one.path is not None}
