"""LangChain's blocking batches, with threads enough for calls that mostly wait.

LangChain gives a batch four threads more than there are processors: 29 calls of 200 ms a second on
two. Threads that wait cost little, so here a batch has one for each input, up to `_THREADS`; its
connections are spread as those of tasks are. Whoever sets `max_concurrency` gets that.
"""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import get_config_list

_Input = TypeVar("_Input")
_Output = TypeVar("_Output")
_Configs = RunnableConfig | Sequence[RunnableConfig] | None

_THREADS = 100


class ThreadedBatches(Runnable[_Input, _Output]):
    """A runnable whose inputs of a batch wait side by side."""

    def batch(
        self,
        inputs: list[_Input],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[_Output]:
        """Call for each input, in threads; `max_concurrency` of the config limits them."""
        configs = with_threads(config, len(inputs))
        return super().batch(inputs, configs, return_exceptions=return_exceptions, **kwargs)

    def batch_as_completed(
        self,
        inputs: Sequence[_Input],
        config: _Configs = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> Iterator[tuple[int, Any]]:
        """Do what `batch` does, and yield each output as it comes, with its input's number."""
        configs: Any = with_threads(config, len(inputs))
        kwargs["return_exceptions"] = return_exceptions
        return super().batch_as_completed(inputs, configs, **kwargs)


def with_threads(config: _Configs, inputs: int) -> list[RunnableConfig]:
    """Return a config for each input, with threads for all of them unless it says how many."""
    configs = get_config_list(config, inputs)
    if configs and configs[0].get("max_concurrency") is None:
        # LangChain asks the first one only.
        configs[0] = {**configs[0], "max_concurrency": min(inputs, _THREADS)}
    return configs
