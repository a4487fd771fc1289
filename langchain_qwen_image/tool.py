"""The tool that an agent calls."""

from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import AsyncCallbackManagerForToolRun, CallbackManagerForToolRun
from langchain_core.runnables import Runnable
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tools import ArgsSchema, BaseTool
from pydantic import Field, model_validator

from langchain_qwen_image.defaults import GENERATE_TOOL
from langchain_qwen_image.errors import QwenImageError, may_repeat
from langchain_qwen_image.integration.batch import ThreadedBatches
from langchain_qwen_image.integration.tool_errors import message_or_raise
from langchain_qwen_image.integration.tracing import IDENTITY, report
from langchain_qwen_image.pipeline.cancellation import CallState
from langchain_qwen_image.schemas import QwenImageInput
from langchain_qwen_image.settings import QwenImageSettings
from langchain_qwen_image.wire.arguments import check_arguments, schema_without

if TYPE_CHECKING:
    from langchain_qwen_image.result import ImageGenerationResult

_Outcome = tuple[Any, Any]
"""A sentence or an error message, and the artifact. Loosely typed: LangChain evaluates the hints of
`_run` at every call, and those of names that are imported late cost more than the call."""


class QwenImageTool(QwenImageSettings, ThreadedBatches[Any, Any], BaseTool):
    """Generate an image from a text description, as a tool for an agent.

    The model sees one short sentence. Your program finds the full result in `message.artifact`.
    Parameters that are set here leave the model's schema, and win over whatever a model sends.

    Errors that a model can fix or should know become an error `ToolMessage`; those that only the
    operator can fix (configuration, authentication, permission, quota, not found, account) are
    raised. Called without a tool call, with a plain string or dict, the tool raises all of them.
    Set `handle_tool_error` to have it otherwise.

    Under a LangGraph checkpointer a tool call is paid for once, however often its step runs. That
    takes an account, which a folder in `save_to` has. `idempotency=False` switches it off.

    Setup:
        Set the environment variable `PIXAZO_API_KEY`, or pass `api_key`. With `sandbox=True` no
        key is needed and nothing is paid: the images are placeholders.

        ```console
        $ export PIXAZO_API_KEY="your-subscription-key"
        ```

    Instantiation:
        ```python
        from langchain_qwen_image import Budget, QwenImageTool

        tool = QwenImageTool(save_to="images", size="1024*1024", budget=Budget(max_usd=1))
        ```

    Invocation:
        Called without a tool call, it returns the sentence alone, and raises every error.

        ```python
        print(tool.invoke({"prompt": "A red fox in the snow, woodcut"}))
        ```

        ```text
        Done: 1 image generated, 1024×1024 image/png. Saved as …
        ```

    Invocation with ToolCall:
        ```python
        call = {"name": "generate_image", "args": {"prompt": "A red fox"}, "id": "call_1"}
        message = tool.invoke({**call, "type": "tool_call"})
        print(message.status, message.artifact["images"][0]["width"])
        ```

        ```text
        success 1024
        ```

    Within an agent:
        Any chat model that supports tool calling works.

        ```python
        from langchain.agents import create_agent

        agent = create_agent("openai:gpt-5.5", tools=[tool])
        state = agent.invoke({"messages": [("user", "Draw a lighthouse.")]})
        print([message.type for message in state["messages"]])
        ```

        ```text
        ['human', 'ai', 'tool', 'ai']
        ```
    """

    model_config = QwenImageSettings.model_config  # LangChain's own would take unknown settings

    name: str = GENERATE_TOOL
    description: str = ""
    args_schema: ArgsSchema | None = QwenImageInput
    response_format: Any = "content_and_artifact"
    handle_tool_error: Any = Field(
        default=None,
        description="None for the rule above, else what LangChain's BaseTool takes.",
    )

    @model_validator(mode="after")
    def _fit_to_settings(self) -> "QwenImageTool":
        values = self.__dict__
        if "args_schema" not in self.model_fields_set:
            values["args_schema"] = schema_without(frozenset(self.given_parameters()))
        if "description" not in self.model_fields_set:
            values["description"] = _describe(0.0 if self.sandbox else self.price_usd)
        values["metadata"] = {**IDENTITY, **(values["metadata"] or {})}
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in QwenImageSettings.model_fields:
            super().__setattr__("name", self.name)  # LangChain forgets the schema it has built

    def with_retry(
        self,
        *,
        retry_if_exception_type: Any = may_repeat,
        **kwargs: Any,
    ) -> Runnable[Any, Any]:
        """Repeat failed calls, by default only those where a repeat cannot buy a second image.

        With the default error handling there is nothing to repeat after a tool call: the error
        is the message. The tool itself makes `max_retries` attempts.
        """
        from langchain_qwen_image.integration.retry import retry_each

        return retry_each(
            super().with_retry(retry_if_exception_type=retry_if_exception_type, **kwargs)
        )

    def _to_args_and_kwargs(
        self, tool_input: str | dict[str, Any], tool_call_id: str | None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Check the arguments; an error goes through `_run`, which knows what becomes of it."""
        given = {"prompt": tool_input} if isinstance(tool_input, str) else tool_input
        checked: QwenImageInput | QwenImageError
        try:
            fixed = self.given_parameters()
            checked = check_arguments({**given, **fixed}, fixed=fixed)
        except QwenImageError as error:
            checked = error
        return (checked,), {"tool_call_id": tool_call_id}

    def _filter_injected_args(self, tool_input: dict[str, Any]) -> dict[str, Any]:
        """Show callbacks the arguments as they came: none is injected (inspecting costs 0.1 ms)."""
        return tool_input

    def _run(
        self,
        arguments: QwenImageInput | QwenImageError,
        *,
        tool_call_id: str | None = None,
        run_manager: CallbackManagerForToolRun | None = None,
    ) -> _Outcome:
        call_state = CallState(tool_call_id)
        try:
            checked = _or_raise(arguments)
            known = self._known_by(checked, tool_call_id)
            return _succeeded(self.pipeline.generate(checked, call_state, inline=True, **known))
        except BaseException as error:
            return self._failed(error, call_state)

    async def _arun(
        self,
        arguments: QwenImageInput | QwenImageError,
        *,
        tool_call_id: str | None = None,
        run_manager: AsyncCallbackManagerForToolRun | None = None,
    ) -> _Outcome:
        call_state = CallState(tool_call_id)
        try:
            checked = _or_raise(arguments)
            pipeline = await self.apipeline()
            known = self._known_by(checked, tool_call_id)
            result = await pipeline.agenerate(checked, call_state, inline=True, **known)
            return _succeeded(result)
        except BaseException as error:
            return self._failed(error, call_state)

    def _known_by(self, arguments: QwenImageInput, tool_call_id: str | None) -> dict[str, Any]:
        """Return what tells a call to be the same as another: its key, and a name until it ends.

        A key is good for an account. Without one, equal calls are joined in this process.
        """
        from langchain_qwen_image.integration.tool_keys import tool_call_key
        from langchain_qwen_image.pipeline.order import CallKey

        if not self.idempotency or not tool_call_id:
            return {}
        config = var_child_runnable_config.get()
        key = tool_call_key(config, tool_call_id, arguments, tool=self.name)
        is_kept = key is not None and self.pipeline.account is not None
        return {
            "known_as": key or (self.name, tool_call_id, arguments),
            "key": CallKey(
                key if is_kept else None,
                retry_unknown=self.retry_unknown,
                retry_lost=self.retry_lost,
            ),
        }

    def _failed(self, error: BaseException, call_state: CallState) -> _Outcome:
        self._report_failure(error, call_state)
        return message_or_raise(error, self, call_state.tool_call_id), None


def _succeeded(result: "ImageGenerationResult") -> _Outcome:
    report(result)
    return result.summary(), result.to_artifact()


def _or_raise(arguments: QwenImageInput | QwenImageError) -> QwenImageInput:
    if isinstance(arguments, QwenImageError):
        raise arguments
    return arguments


def _describe(price_usd: float) -> str:
    cost = f"costs ${price_usd:.4g}" if price_usd else "costs nothing here"
    return (
        "Generates one image from a text description. Use it when the user asks for an image, "
        "photo, illustration, poster, logo or similar; it renders Chinese and English text well. "
        f"Each call makes one new image, {cost} and takes 20 to 30 seconds: call it once for "
        "each image that is wanted, and never again for one that it has reported done. It "
        "cannot edit, find or show existing images."
    )
