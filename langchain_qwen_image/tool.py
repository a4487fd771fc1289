"""The tool that an agent calls."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Unpack

from langchain_core.callbacks import AsyncCallbackManagerForToolRun, CallbackManagerForToolRun
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tools import ArgsSchema
from pydantic import BaseModel, model_validator

from langchain_qwen_image.defaults import GENERATE_TOOL
from langchain_qwen_image.integration.host_schema import by_host_schema
from langchain_qwen_image.integration.hosted_tool import (
    HostedTool,
    ToolOutput,
    ToolParts,
    is_left_to_us,
    parts_of,
)
from langchain_qwen_image.integration.paid_runnable import PaidRunnable
from langchain_qwen_image.integration.signatures import with_signature
from langchain_qwen_image.integration.tool_run import current_run
from langchain_qwen_image.integration.tracing import IDENTITY
from langchain_qwen_image.pipeline.cancellation import CallState
from langchain_qwen_image.schemas import QwenImageInput
from langchain_qwen_image.settings import QwenImageSettings
from langchain_qwen_image.wire.arguments import check_arguments, schema_without

if TYPE_CHECKING:
    from langchain_qwen_image.result import ImageGenerationResult


class QwenImageTool(QwenImageSettings, PaidRunnable[Any, Any], HostedTool):
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

    @model_validator(mode="after")
    def _fit_to_settings(self) -> "QwenImageTool":
        values = self.__dict__
        if is_left_to_us(self, QwenImageTool, "args_schema"):
            values["args_schema"] = self._our_schema()
        if is_left_to_us(self, QwenImageTool, "description"):
            values["description"] = _describe(0.0 if self.sandbox else self.price_usd)
        values["metadata"] = {**IDENTITY, **(values["metadata"] or {})}
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in QwenImageSettings.model_fields:
            super().__setattr__("name", self.name)  # LangChain forgets the schema it has built

    def as_tool(
        self, args_schema: ArgsSchema | None = None, **told: Unpack[ToolParts]
    ) -> "QwenImageTool":
        """Return a copy under another name, description or schema; the rest is shared."""
        tool = self.model_copy(update=parts_of(args_schema, told))
        tool._pipelines = self._pipelines
        return tool

    def _our_schema(self) -> type[BaseModel]:
        return schema_without(frozenset(self.given_parameters()))

    def _by_our_schema(self, given: Mapping[str, Any]) -> dict[str, Any]:
        fixed = self.given_parameters()
        checked = check_arguments(given, fixed, fixed=fixed)
        return {name: getattr(checked, name) for name in checked.model_fields_set - fixed.keys()}

    def _checked(self, values: Iterable[Any], others: Mapping[str, Any]) -> QwenImageInput:
        """Return the arguments that are sent: the host's schema first, the operator's word last.

        What a subclass makes of its arguments is not held against its schema again.
        """
        given = {**dict(zip(QwenImageInput.model_fields, values, strict=True)), **others}
        fixed = self.given_parameters()
        if self._has_our_schema():
            return check_arguments(given, fixed, fixed=fixed)
        is_ours = type(self)._run is QwenImageTool._run and type(self)._arun is QwenImageTool._arun
        if is_ours and current_run(self) is None:
            given = by_host_schema(self, given, None, directly=True)
        known = {name: given[name] for name in QwenImageInput.model_fields if name in given}
        return check_arguments(known, fixed, fixed=fixed)

    # google-adk hands over only the arguments that the signature names.
    @with_signature
    def _run(
        self,
        prompt: str,
        negative_prompt: str | None = None,
        prompt_extend: bool | None = None,
        watermark: bool | None = None,
        size: str | None = None,
        *,
        run_manager: CallbackManagerForToolRun | None = None,
        **others: Any,
    ) -> ToolOutput:
        call_state = CallState(self._tool_call_id())
        try:
            given = (prompt, negative_prompt, prompt_extend, watermark, size)
            checked = self._checked(given, others)
            known = self._known_by(checked, call_state.tool_call_id)
            result = self.pipeline.generate(checked, call_state, inline=True, **known)
            return _output(self._report(result))
        except BaseException as error:
            self._report_failure(may_be_billed=call_state.may_be_billed(error))
            raise

    @with_signature
    async def _arun(
        self,
        prompt: str,
        negative_prompt: str | None = None,
        prompt_extend: bool | None = None,
        watermark: bool | None = None,
        size: str | None = None,
        *,
        run_manager: AsyncCallbackManagerForToolRun | None = None,
        **others: Any,
    ) -> ToolOutput:
        call_state = CallState(self._tool_call_id())
        try:
            given = (prompt, negative_prompt, prompt_extend, watermark, size)
            checked = self._checked(given, others)
            pipeline = await self.apipeline()
            known = self._known_by(checked, call_state.tool_call_id)
            result = await pipeline.agenerate(checked, call_state, inline=True, **known)
            return _output(await self._areport(result))
        except BaseException as error:
            self._report_failure(may_be_billed=call_state.may_be_billed(error))
            raise

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


def _output(result: "ImageGenerationResult") -> ToolOutput:
    return ToolOutput(result.summary(), result.to_artifact())


def _describe(price_usd: float) -> str:
    cost = f"costs ${price_usd:.4g}" if price_usd else "costs nothing here"
    return (
        "Generates one image from a text description. Use it when the user asks for an image, "
        "photo, illustration, poster, logo or similar; it renders Chinese and English text well. "
        f"Each call makes one new image, {cost} and takes 20 to 30 seconds: call it once for "
        "each image that is wanted, and never again for one that it has reported done. It "
        "cannot edit, find or show existing images."
    )
