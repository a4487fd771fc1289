"""LangChain's `with_retry`, made safe for calls that cost money."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.retry import RunnableRetry

from langchain_qwen_image.integration.batch import ThreadedBatches


class RetryEach(  # type: ignore[no-redef]  # a field of its parent is called kwargs
    ThreadedBatches[Any, Any], RunnableRetry[Any, Any]
):
    """Repeats each input of a batch separately.

    LangChain's own (read in langchain-core 1.7) judges a batch by the first error in it: if that
    may be repeated, every failed call is, also one that may be billed; if not, the error takes the
    place of all results, also of the images that are paid for.
    """

    async def abatch(
        self,
        inputs: list[Any],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Any]:
        """Call for each input at once, each with its own attempts."""
        return await Runnable.abatch(
            self, inputs, config, return_exceptions=return_exceptions, **kwargs
        )

    async def abatch_as_completed(
        self,
        inputs: Sequence[Any],
        config: RunnableConfig | Sequence[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> AsyncIterator[tuple[int, Any]]:
        """Do what `abatch` does, and yield place and outcome as they come."""
        kwargs["return_exceptions"] = return_exceptions
        async for one in Runnable.abatch_as_completed(self, inputs, config, **kwargs):
            yield one


def retry_each(retry: Runnable[Any, Any]) -> RetryEach:
    """Return what `with_retry` gave, with batches whose inputs are repeated one by one."""
    return RetryEach(**dict(retry))  # type: ignore[call-overload]
