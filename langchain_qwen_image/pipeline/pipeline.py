"""The one pipeline behind every face: reserve, send, book, fetch, save."""

import logging
from collections.abc import Callable, Coroutine, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from langchain_qwen_image.account.pace_state import Turn
from langchain_qwen_image.account.records import CallRecord
from langchain_qwen_image.concurrency.runtime import Runtime, run_blocking
from langchain_qwen_image.errors import CallInProgressError, RequestTimeoutError
from langchain_qwen_image.pipeline.by_key import KeyedSteps
from langchain_qwen_image.pipeline.cancellation import (
    CallState,
    finish_in_background,
    finish_in_helper,
)
from langchain_qwen_image.pipeline.order import NO_KEY, CallKey, Order
from langchain_qwen_image.pipeline.progress import Progress
from langchain_qwen_image.pipeline.replay import Replay
from langchain_qwen_image.pipeline.shared_call import CutOffError, SharedCall
from langchain_qwen_image.pipeline.shared_calls import SharedCalls
from langchain_qwen_image.rendering.spinner import waiting
from langchain_qwen_image.result import ImageGenerationResult
from langchain_qwen_image.schemas import QwenImageInput

logger = logging.getLogger("langchain_qwen_image")


@dataclass(frozen=True, slots=True)
class Pipeline(KeyedSteps):
    """The steps of a call as blocking and asynchronous methods."""

    def generate(
        self,
        arguments: QwenImageInput,
        call_state: CallState,
        *,
        key: CallKey = NO_KEY,
        item_id: str | None = None,
        max_retries: int | None = None,
        turn: Turn | None = None,
        inline: bool = False,
        patience: float | None = None,
        known_as: Hashable = None,
    ) -> ImageGenerationResult:
        """Generate and save, or hand out what an earlier call of the key bought.

        Args:
            arguments: What to generate, checked.
            call_state: A new one; after an error it says whether a POST was out.
            key: By what the call is known in its account, and what may be paid for once more.
            item_id: The caller's own id of the request, for file names and sidecars.
            max_retries: Extra attempts, by default those of the settings.
            turn: Its turn in the pace, if the caller waited for it, as a bulk run does.
            inline: Save also an image that came inside the answer and has no store.
            patience: Seconds to wait for an equal call of another caller, by default those of the
                settings' timeout.
            known_as: By what equal calls that are under way in this process are known, and joined,
                where that is not the key.

        Raises:
            QwenImageError: No image came.
        """
        order = Order(key, item_id, max_retries, turn, inline, patience)
        steps = partial(self._generate, self.blocking, arguments, call_state, order)
        name = self._name_of(arguments, key) or known_as
        share = partial(self._share, name=name, call_state=call_state, steps=steps, order=order)
        with waiting():
            return finish_in_helper(partial(share, self.blocking), call_state)

    async def agenerate(
        self,
        arguments: QwenImageInput,
        call_state: CallState,
        *,
        key: CallKey = NO_KEY,
        item_id: str | None = None,
        max_retries: int | None = None,
        turn: Turn | None = None,
        inline: bool = False,
        patience: float | None = None,
        known_as: Hashable = None,
    ) -> ImageGenerationResult:
        """Async twin of `generate`; a repeated tool call gets what a cancelled one bought."""
        order = Order(key, item_id, max_retries, turn, inline, patience)
        steps = partial(self._generate, self.asyncio, arguments, call_state, order)
        name = self._name_of(arguments, key) or known_as
        with waiting():
            return await self._share(
                self.asyncio, name=name, call_state=call_state, steps=steps, order=order
            )

    def resume(self, call: CallRecord, *, item_id: str | None = None) -> ImageGenerationResult:
        """Go on asking for the answer of a call that the gateway queued; nothing is sent again.

        Args:
            call: A call of this pipeline's account, in state `queued`.
            item_id: The caller's own id of the request, for file names and sidecars.

        Raises:
            RequestTimeoutError: It was not there in time. After 24 hours the call is unknown.
            QwenImageError: The gateway says that it failed, or refuses to be asked.
        """
        return finish_in_helper(partial(self._resume, self.blocking, call, item_id), CallState())

    async def aresume(
        self, call: CallRecord, *, item_id: str | None = None
    ) -> ImageGenerationResult:
        """Async twin of `resume`."""
        return await finish_in_background(self._resume(self.asyncio, call, item_id), CallState())

    def fetch(
        self, result: ImageGenerationResult | Mapping[str, Any], *, item_id: str | None = None
    ) -> ImageGenerationResult:
        """Save the images of an earlier result, or artifact, that are not saved yet.

        Args:
            result: Where the links are.
            item_id: The caller's own id of the request, for file names and sidecars.

        Raises:
            DownloadError: One could not be fetched, or was not safe to fetch.
            ConfigurationError: There is no `save_to`.
            OSError: The disk is full, or the folder cannot be written.
        """
        return finish_in_helper(partial(self._fetch, self.blocking, result, item_id), CallState())

    async def afetch(
        self, result: ImageGenerationResult | Mapping[str, Any], *, item_id: str | None = None
    ) -> ImageGenerationResult:
        """Async twin of `fetch`."""
        return await finish_in_background(self._fetch(self.asyncio, result, item_id), CallState())

    async def areplay(self, call: CallRecord, *, item_id: str | None = None) -> Replay:
        """Bring back what a call of this pipeline's account bought, free of charge.

        Args:
            call: A call in state `answered` or `saved`.
            item_id: The caller's own id of the request, for file names and sidecars.
        """
        steps = self._replay(self.asyncio, call, CallState(), Order(item_id=item_id))
        return await finish_in_background(steps, CallState())

    def close(self) -> None:
        """Close connections and account; a later call opens them again."""
        self.sender.close()
        self.saver.close()
        if self.account is not None:
            self.account.close()

    async def aclose(self) -> None:
        """Async twin of `close`, for the running loop's connections."""
        await self.sender.aclose()
        await self.asyncio.beside(self.close)

    def _name_of(self, arguments: QwenImageInput, key: CallKey) -> Hashable:
        """Return by what a call of a key is known to others like it in this process."""
        if key.key is None or self.account is None:
            return None
        return (self.account.store, self.sender.base_url, key.run, key.key, arguments)

    async def _share(
        self,
        runtime: Runtime,
        *,
        name: Hashable,
        call_state: CallState,
        steps: Callable[[], Coroutine[Any, Any, ImageGenerationResult]],
        order: Order,
    ) -> ImageGenerationResult:
        """Make a call, or wait for the one of that name that another caller makes."""
        by_key = order.key.key is not None
        calls = _BY_KEY if by_key else self.shared
        patience = self.sender.timeout if order.patience is None else order.patience
        while True:
            with calls.taking_part(name, call_state) as caller, _again_if_cut_off(by_key):
                if caller.leads:
                    await runtime.either(partial(caller.lead, run_blocking), caller.alead, steps)
                elif not await runtime.either(caller.wait, caller.await_end, patience):
                    raise _still_under_way(caller.call)
                result, is_first = caller.take()
                if is_first:
                    return result
                progress = Progress(runtime, result.call_id or "", call_state)
                await progress.tell("received", cost_usd=0.0, replayed=True)
                return await runtime.beside(self.saver.published, result.as_replayed())


_BY_KEY: SharedCalls[ImageGenerationResult] = SharedCalls(keeps=False)
"""Calls under way by their keys, of all pipelines: an account is shared by them."""


@contextmanager
def _again_if_cut_off(by_key: bool) -> Iterator[None]:
    """Let a caller that waited try again where the call ended with its loop.

    By its key the account knows then whether it may be paid for.
    """
    try:
        yield
    except CutOffError as error:
        if by_key or not error.was_paying:
            return
    else:
        return
    raise RequestTimeoutError(
        "The same call, made by another caller, was cut off before its answer came. The image may "
        "have been billed, so the request is not retried automatically."
    )


def _still_under_way(call: SharedCall[Any]) -> CallInProgressError:
    return CallInProgressError(
        "The same call, made by another caller, is still under way. Nothing was sent for this one. "
        "Ask again later: it gets what that one buys.",
        retry_after=call.call_state.seconds_left,
    )
