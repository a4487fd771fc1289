"""What both faces do in another way than LangChain's runnables, because their calls cost money."""

from typing import Any

from langchain_core.runnables import Runnable
from langchain_core.runnables.utils import Input, Output

from langchain_qwen_image.errors import may_repeat
from langchain_qwen_image.integration.batch import ThreadedBatches


class PaidRunnable(ThreadedBatches[Input, Output]):
    """A runnable that waits in many threads, and repeats nothing that may be paid for."""

    def with_retry(
        self, *, retry_if_exception_type: Any = may_repeat, **kwargs: Any
    ) -> Runnable[Input, Output]:
        """Repeat failed calls, by default only those where a repeat cannot buy a second image.

        On a tool with the default error handling there is nothing to repeat after a tool call: the
        error is the message. Each call makes `max_retries` attempts of its own.
        """
        from langchain_qwen_image.integration.retry import retry_each

        return retry_each(
            super().with_retry(retry_if_exception_type=retry_if_exception_type, **kwargs)
        )
