"""LangChain's `with_retry`, made safe for calls that cost money."""

from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.retry import RunnableRetry

from langchain_qwen_image._batching import ThreadedBatches, with_threads


class RetryEach(  # type: ignore[no-redef]  # a field of its parent is called kwargs
    ThreadedBatches[Any, Any], RunnableRetry[Any, Any]
):
    """Repeats each input of a batch by itself.

    LangChain's own (read in langchain-core 1.7) judges a batch by the first error in it: if that
    may be repeated, every failed call is, also one that may be billed; if not, the error takes the
    place of all results, also of the pictures that are paid for.
    """

    def batch(
        self,
        inputs: list[Any],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Any]:
        """Call for each input, in threads, each with its own attempts."""
        configs = with_threads(config, len(inputs))
        return Runnable.batch(self, inputs, configs, return_exceptions=return_exceptions, **kwargs)

    async def abatch(
        self,
        inputs: list[Any],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Any]:
        """Async twin of `batch`."""
        return await Runnable.abatch(
            self, inputs, config, return_exceptions=return_exceptions, **kwargs
        )


def retry_each(retry: Runnable[Any, Any]) -> RetryEach:
    """Return what `with_retry` gave, with batches whose inputs are repeated one by one."""
    return RetryEach(**dict(retry))  # type: ignore[call-overload]
