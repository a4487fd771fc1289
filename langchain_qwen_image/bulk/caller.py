"""What a bulk run asks of its caller of the gateway; the generator gives it."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from langchain_core.runnables import RunnableConfig

from langchain_qwen_image.integration.inputs import GeneratorInput
from langchain_qwen_image.pipeline.cancellation import CallState
from langchain_qwen_image.pipeline.order import Order
from langchain_qwen_image.pipeline.pipeline import Pipeline
from langchain_qwen_image.result import ImageGenerationResult
from langchain_qwen_image.schemas import QwenImageInput

Work = Callable[[QwenImageInput], Awaitable[ImageGenerationResult]]
"""Everything that is done for one request: waits, attempts, and the call that succeeds."""


class Checker(Protocol):
    """Knows what a request means and where it would go; enough for an estimate."""

    @property
    def pipeline(self) -> Pipeline:
        """Client, account, budget and store of the run."""

    def checked(self, input: GeneratorInput) -> QwenImageInput:
        """Return the arguments that a call of this input would have; nothing is sent.

        Raises:
            InvalidRequestError: They cannot be used.
        """


class Caller(Checker, Protocol):
    """Calls the gateway for one request of a run at a time."""

    def as_run(
        self, work: Work, arguments: QwenImageInput, config: RunnableConfig | None
    ) -> Awaitable[ImageGenerationResult]:
        """Do the work for one request as one of LangChain's runs."""

    async def generate(
        self, arguments: QwenImageInput, call_state: CallState, order: Order
    ) -> ImageGenerationResult:
        """Generate one image under the key of its order: at most one paid POST.

        Raises:
            QwenImageError: No image came.
        """
