"""Calls the gateway for a bulk run as a generator does: with its pipeline, as LangChain's runs."""

from collections.abc import Awaitable
from typing import Any

from langchain_core.runnables import RunnableConfig

from langchain_qwen_image.account.pace_store import TurnLostError
from langchain_qwen_image.bulk.caller import Work
from langchain_qwen_image.integration.inputs import GeneratorInput
from langchain_qwen_image.integration.tracing import with_identity
from langchain_qwen_image.pipeline.cancellation import CallState
from langchain_qwen_image.pipeline.order import Order
from langchain_qwen_image.pipeline.pipeline import Pipeline
from langchain_qwen_image.result import ImageGenerationResult
from langchain_qwen_image.schemas import QwenImageInput


class GeneratorCaller:
    """A `bulk.caller.Caller` of a generator."""

    def __init__(self, generator: Any, pipeline: Pipeline | None = None) -> None:
        """Take the `QwenImageGenerator`, which is of a room above.

        Args:
            generator: What checks requests, and is named in traces.
            pipeline: What pays, by default the generator's own.
        """
        self._generator = generator
        self._pipeline = pipeline

    @property
    def pipeline(self) -> Pipeline:
        """What pays."""
        pipeline: Pipeline = self._pipeline or self._generator.pipeline
        return pipeline

    def checked(self, input: GeneratorInput) -> QwenImageInput:
        """Return the arguments that a call of this input would have; nothing is sent."""
        arguments: QwenImageInput = self._generator.checked(input)
        return arguments

    def as_run(
        self, work: Work, arguments: QwenImageInput, config: RunnableConfig | None
    ) -> Awaitable[ImageGenerationResult]:
        """Do the work for one request as one of LangChain's runs."""
        run: Awaitable[ImageGenerationResult] = self._generator._acall_with_config(
            work, arguments, with_identity(config), run_type="tool"
        )
        return run

    async def generate(
        self, arguments: QwenImageInput, call_state: CallState, order: Order
    ) -> ImageGenerationResult:
        """Generate one image under the key of its order: at most one paid POST.

        Raises:
            TurnLostError: The order's turn is lost; nothing was sent.
        """
        try:
            result = await self.pipeline.agenerate(
                arguments,
                call_state,
                key=order.key,
                item_id=order.item_id,
                max_retries=order.max_retries,
                turn=order.turn,
                patience=order.patience,
            )
        except TurnLostError:
            raise
        except BaseException as error:
            self._generator._report_failure(may_be_billed=call_state.may_be_billed(error))
            raise
        await self._generator._areport(result)
        return result
