"""The runnable that a chain or a notebook calls."""

from typing import TYPE_CHECKING, Any, Self, Unpack

from langchain_core.runnables import RunnableConfig, RunnableSerializable

from langchain_qwen_image.defaults import CONCURRENCY
from langchain_qwen_image.integration.inputs import GeneratorInput, arguments_of
from langchain_qwen_image.integration.paid_runnable import PaidRunnable
from langchain_qwen_image.integration.signatures import with_signature
from langchain_qwen_image.integration.tracing import with_identity
from langchain_qwen_image.pipeline.cancellation import CallState
from langchain_qwen_image.result import ImageGenerationResult
from langchain_qwen_image.schemas import GivenParameters, QwenImageInput
from langchain_qwen_image.settings import QwenImageSettings
from langchain_qwen_image.wire.arguments import check_arguments, check_parameters

if TYPE_CHECKING:
    from langchain_core.tools import ArgsSchema

    from langchain_qwen_image.bulk.items import KeyOf
    from langchain_qwen_image.bulk.run import BulkRun, Requests
    from langchain_qwen_image.integration.hosted_tool import ToolParts
    from langchain_qwen_image.pipeline.order import CallKey
    from langchain_qwen_image.tool import QwenImageTool


class QwenImageGenerator(
    QwenImageSettings,
    PaidRunnable[GeneratorInput, ImageGenerationResult],
    RunnableSerializable[GeneratorInput, ImageGenerationResult],
):
    """Generate an image from a prompt, as a runnable for chains, scripts and notebooks.

    Takes a `str`, a `PromptValue`, one message, a list of messages (the text of the last human
    one), a dict of arguments or a `QwenImageInput`; gives an `ImageGenerationResult`. Parameters
    that are set here are defaults for the calls that do not give them.

    Setup:
        Set the environment variable `PIXAZO_API_KEY`, or pass `api_key`. With `sandbox=True` no
        key is needed and nothing is paid: the images are placeholders.

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
        """Generate an image: one paid POST.

        Args:
            input: The prompt, in any of the forms above.
            config: LangChain's run configuration. In a chain the key comes by it:
                `config={"configurable": {"idempotency_key": "order-17"}}`.
            **kwargs: Parameters for this call, such as `size`; they win over those of the input.
                With `idempotency_key="order-17"` the account pays for it once, however often it
                is asked for; `run`, `retry_unknown` and `retry_lost` go with it.

        Raises:
            QwenImageError: No image came; the class says why, and `may_have_been_billed`
                whether it may be paid for all the same.
        """
        return self._call_with_config(
            self._generate, input, with_identity(config), run_type="tool", **kwargs
        )

    async def ainvoke(
        self, input: GeneratorInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> ImageGenerationResult:
        """Async twin of `invoke`."""
        return await self._acall_with_config(
            self._agenerate, input, with_identity(config), run_type="tool", **kwargs
        )

    def generate_many(
        self,
        requests: "Requests",
        *,
        run: str | None = None,
        idempotency_key: "KeyOf | None" = None,
        concurrency: int = CONCURRENCY,
        resume: bool = True,
        retry_unknown: bool = False,
        retry_lost: bool = False,
        config: RunnableConfig | None = None,
    ) -> "BulkRun":
        """Generate many images; iterate over what is returned, with `async for` or `for`.

        Outcomes (`BulkOutcome`) come in the order of their completion, failures among them; few
        are in memory at a time. All requests slow down together when the gateway answers 429, and
        none is given up for it. A lasting refusal of key, permission, quota or address, a used-up
        budget or a full disk ends the run: what has left is settled first, then it is raised.

        A run is a name in the account, by default the one of the `save_to` folder: run again after
        whatever stopped it, it pays only for what is missing. Any number of processes may work on
        one run at the same time. A request is known by its `BulkRequest.id`; without one, by its
        arguments, and then the same request twice is two images.

        Args:
            requests: What `invoke` takes, or `BulkRequest`s, read as needed; an iterable that
                waits should be asynchronous.
            run: Name of the run, for several runs in one account.
            idempotency_key: Returns the key of a request, in place of its `id`.
            concurrency: Maximum number of parallel requests.
            resume: Reuse what was bought earlier in this run; False pays for everything anew.
            retry_unknown: Repeat requests with no known answer; may be billed twice.
            retry_lost: Pay again for images that were paid for and cannot be fetched any more.
            config: LangChain's run configuration, for each request.

        Raises:
            ConfigurationError: There is no `save_to` or account to resume by.

        Examples:
            >>> generator = QwenImageGenerator(sandbox=True, size="512*512")
            >>> run = generator.generate_many(["a red fox", "a heron"], resume=False)
            >>> sorted((outcome.number, outcome.status) for outcome in run)
            [(0, 'saved'), (1, 'saved')]
        """
        from langchain_qwen_image.bulk.generator_caller import GeneratorCaller
        from langchain_qwen_image.bulk.run import BulkRun

        return BulkRun(
            GeneratorCaller(self),
            requests,
            run=run,
            idempotency_key=idempotency_key,
            concurrency=concurrency,
            resume=resume,
            retry_unknown=retry_unknown,
            retry_lost=retry_lost,
            config=config,
        )

    def with_parameters(self, **parameters: Unpack[GivenParameters]) -> Self:
        """Return a copy with other defaults; key, connections, account and budget are shared.

        Examples:
            >>> generator = QwenImageGenerator(sandbox=True, watermark=False)
            >>> generator.with_parameters(size="512x512").given_parameters()
            {'watermark': False, 'size': '512*512'}

        Raises:
            InvalidRequestError: One is not a parameter, or cannot be used.
        """
        copy = self.model_copy(update=check_parameters(parameters))
        copy._pipelines = self._pipelines
        return copy

    def as_tool(
        self, args_schema: "ArgsSchema | None" = None, **told: "Unpack[ToolParts]"
    ) -> "QwenImageTool":
        """Return a tool of the same settings; key, connections, account and budget are shared.

        Parameters that are set here are fixed on the tool.

        Args:
            args_schema: What a model is shown, in place of `QwenImageInput`.
            **told: `name`, `description` and `arg_types`, as LangChain's `as_tool` takes them.

        Examples:
            >>> tool = QwenImageGenerator(sandbox=True, size="512*512").as_tool(name="draw")
            >>> tool.name, list(tool.args)
            ('draw', ['prompt', 'negative_prompt', 'prompt_extend', 'watermark'])
        """
        from langchain_qwen_image.integration.hosted_tool import parts_of
        from langchain_qwen_image.tool import QwenImageTool

        tool = QwenImageTool(**self._shared_settings() | parts_of(args_schema, told))
        tool._pipelines = self._pipelines
        return tool

    @with_signature
    def _generate(
        self, given: GeneratorInput, config: RunnableConfig | None = None, **options: Any
    ) -> ImageGenerationResult:
        call_state = CallState()
        try:
            arguments, key = self._ordered(given, config, options)
            return self._report(self.pipeline.generate(arguments, call_state, key=key))
        except BaseException as error:
            self._report_failure(may_be_billed=call_state.may_be_billed(error))
            raise

    @with_signature
    async def _agenerate(
        self, given: GeneratorInput, config: RunnableConfig | None = None, **options: Any
    ) -> ImageGenerationResult:
        call_state = CallState()
        try:
            arguments, key = self._ordered(given, config, options)
            pipeline = await self.apipeline()
            result = await pipeline.agenerate(arguments, call_state, key=key)
            return await self._areport(result)
        except BaseException as error:
            self._report_failure(may_be_billed=call_state.may_be_billed(error))
            raise

    def _ordered(
        self, given: GeneratorInput, config: RunnableConfig | None, options: dict[str, Any]
    ) -> "tuple[QwenImageInput, CallKey]":
        """Return the arguments of a call, and by what key it is made."""
        from langchain_qwen_image.pipeline.order import CallKey

        by_config = (config or {}).get("configurable", {}).get("idempotency_key")
        mine = {"retry_unknown": self.retry_unknown, "retry_lost": self.retry_lost}
        key = CallKey.taken_from(options, {"idempotency_key": by_config, **mine})
        return self.checked(given, **options), key

    def checked(self, input: GeneratorInput, **parameters: Any) -> QwenImageInput:
        """Return the arguments that a call of this input would have; nothing is sent.

        Raises:
            InvalidRequestError: They cannot be used; the message says why.
        """
        return check_arguments(self.given_parameters(), arguments_of(input), parameters)
