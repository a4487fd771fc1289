"""The runnable that a chain or a notebook calls."""

from typing import Any, Self, Unpack

from langchain_core.runnables import Runnable, RunnableConfig, RunnableSerializable

from langchain_qwen_image._arguments import check_arguments, check_parameters
from langchain_qwen_image._prompts import GeneratorInput, arguments_of
from langchain_qwen_image._ticket import Ticket
from langchain_qwen_image._tracing import IDENTITY, report
from langchain_qwen_image.result import ImageGenerationResult
from langchain_qwen_image.schemas import GivenParameters, QwenImageInput
from langchain_qwen_image.settings import QwenImageSettings, may_repeat


class QwenImageGenerator(
    QwenImageSettings, RunnableSerializable[GeneratorInput, ImageGenerationResult]
):
    """Generate a picture from a prompt, as a runnable for chains, scripts and notebooks.

    Takes a `str`, a `PromptValue`, one message, a list of messages (the text of the last human
    one), a dict of arguments or a `QwenImageInput`; gives an `ImageGenerationResult`. Parameters
    that are set here are defaults for the calls that do not give them.

    Setup:
        Set the environment variable `PIXAZO_API_KEY`, or pass `api_key`. With `sandbox=True` no
        key is needed and nothing is paid: the pictures are placeholders.

        ```console
        $ export PIXAZO_API_KEY="your-subscription-key"
        ```

    Instantiation:
        ```python
        from langchain_qwen_image import QwenImageGenerator

        generator = QwenImageGenerator(save_to="images", watermark=False)
        ```

    Invocation:
        ```python
        result = generator.invoke("A red fox in the snow, woodcut", size="512*512")
        print(result.image.width, result.cost_usd)
        ```

        ```text
        512 0.045
        ```

    In a chain:
        ```python
        from langchain_core.prompts import ChatPromptTemplate

        chain = ChatPromptTemplate.from_template("One {thing}, flat colours") | generator
        print(chain.invoke({"thing": "lighthouse"}).prompt)
        ```

        ```text
        One lighthouse, flat colours
        ```
    """

    model_config = QwenImageSettings.model_config  # LangChain's own would take unknown settings

    def invoke(
        self, input: GeneratorInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> ImageGenerationResult:
        """Generate a picture: one paid POST.

        Args:
            input: The prompt, in any of the forms above.
            config: LangChain's run configuration.
            **kwargs: Parameters for this call, such as `size`; they win over those of the input.

        Raises:
            QwenImageError: No picture came; the class says why, and `may_have_been_billed`
                whether it may be paid for all the same.
        """
        return self._call_with_config(
            self._generate, input, _with_identity(config), run_type="tool", **kwargs
        )

    async def ainvoke(
        self, input: GeneratorInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> ImageGenerationResult:
        """Async twin of `invoke`."""
        return await self._acall_with_config(
            self._agenerate, input, _with_identity(config), run_type="tool", **kwargs
        )

    def with_parameters(self, **parameters: Unpack[GivenParameters]) -> Self:
        """Return a copy with other defaults; key, connections, ledger and budget are shared.

        Examples:
            >>> generator = QwenImageGenerator(sandbox=True, watermark=False)
            >>> generator.with_parameters(size="512x512").given_parameters()
            {'watermark': False, 'size': '512*512'}

        Raises:
            InvalidRequestError: One is not a parameter, or cannot be used.
        """
        copy = self.model_copy(update=check_parameters(parameters))
        copy._pipeline = self.pipeline
        return copy

    def with_retry(
        self,
        *,
        retry_if_exception_type: Any = may_repeat,
        **kwargs: Any,
    ) -> Runnable[GeneratorInput, ImageGenerationResult]:
        """Repeat failed calls, by default only those where a repeat cannot buy a second image."""
        from langchain_qwen_image._retrying import retry_each

        return retry_each(
            super().with_retry(retry_if_exception_type=retry_if_exception_type, **kwargs)
        )

    def _generate(self, given: GeneratorInput, **parameters: Any) -> ImageGenerationResult:
        ticket = Ticket()
        try:
            arguments = self._arguments(given, parameters)
            return _reported(self.pipeline.generate(arguments, ticket))
        except BaseException as error:
            self._report_failure(error, ticket)
            raise

    async def _agenerate(self, given: GeneratorInput, **parameters: Any) -> ImageGenerationResult:
        ticket = Ticket()
        try:
            arguments = self._arguments(given, parameters)
            return _reported(await self.pipeline.agenerate(arguments, ticket))
        except BaseException as error:
            self._report_failure(error, ticket)
            raise

    def _arguments(self, given: GeneratorInput, parameters: dict[str, Any]) -> QwenImageInput:
        return check_arguments({**self.given_parameters(), **arguments_of(given), **parameters})


def _reported(result: ImageGenerationResult) -> ImageGenerationResult:
    report(result)
    return result


def _with_identity(config: RunnableConfig | None) -> RunnableConfig:
    given = config or {}
    return {**given, "metadata": {**IDENTITY, **(given.get("metadata") or {})}}
