"""Calls the gateway for a bulk run as a generator does: with its pipeline, as LangChain's runs."""

from collections.abc import Awaitable
from typing import Any

from langchain_core.runnables import RunnableConfig

from langchain_qwen_image.bulk.caller import Work
from langchain_qwen_image.integration.inputs import GeneratorInput
from langchain_qwen_image.integration.tracing import report, with_identity
from langchain_qwen_image.pipeline.bulk_item import BulkItem
from langchain_qwen_image.pipeline.cancellation import CallState
from langchain_qwen_image.pipeline.pipeline import Pipeline
from langchain_qwen_image.result import ImageGenerationResult
from langchain_qwen_image.schemas import QwenImageInput


class GeneratorCaller:
    """A `bulk.caller.Caller` of a generator."""

    def __init__(self, generator: Any) -> None:
        """Take the `QwenImageGenerator`, which is of a room above."""
        self._generator = generator

    @property
    def pipeline(self) -> Pipeline:
        """The generator's own."""
        pipeline: Pipeline = self._generator.pipeline
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

    async def generate(self, arguments: QwenImageInput, item: BulkItem) -> ImageGenerationResult:
        """Generate one image under the item's key: at most one paid POST."""
        call_state = CallState()
        try:
            result = await self.pipeline.agenerate(
                arguments,
                call_state,
                key=item.key,
                item_id=item.item_id,
                max_retries=0,
                has_turn=True,
            )
        except BaseException as error:
            self._generator._report_failure(error, call_state)
            raise
        report(result)
        return result
