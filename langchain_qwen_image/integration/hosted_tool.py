"""A tool as its hosts call it: LangChain, frameworks that call `_run` themselves, subclasses."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from langchain_core.tools import ArgsSchema, BaseTool
from pydantic import BaseModel, Field, create_model, field_serializer, field_validator
from typing_extensions import TypedDict

from langchain_qwen_image.integration.host_schema import by_host_schema, first_field
from langchain_qwen_image.integration.tool_errors import OUR_RULE, RULES
from langchain_qwen_image.integration.tool_run import current_run, noted


class ToolOutput(NamedTuple):
    """What `_run` returns. Its text is what a model reads, since some hosts show a model the text.

    Loosely typed: LangChain evaluates the hints of `_run` at every call, and those of names that
    are imported late cost more than the call.

    Attributes:
        content: The sentence.
        artifact: The result, as JSON.
    """

    content: str
    artifact: Any

    def __str__(self) -> str:
        return self.content


class ToolParts(TypedDict, total=False):
    """What LangChain's `as_tool` takes beside a schema."""

    name: str | None
    description: str | None
    arg_types: Mapping[str, type] | None


def parts_of(args_schema: ArgsSchema | None, told: ToolParts) -> dict[str, Any]:
    """Return what `as_tool` is told, as settings of a tool; types stand for a schema of them."""
    types = told.get("arg_types")
    if types:
        fields: dict[str, Any] = {name: (kind, ...) for name, kind in types.items()}
        args_schema = create_model("Arguments", **fields)
    parts = {**told, "args_schema": args_schema, "arg_types": None}
    return {name: part for name, part in parts.items() if part is not None}


def is_left_to_us(tool: BaseTool, ours: type[BaseTool], field: str) -> bool:
    """Say whether neither the caller nor a subclass of ours has said what this is."""
    is_said = field in tool.model_fields_set and getattr(tool, field) is not None
    here = type(tool).model_fields[field].default
    return not is_said and here is ours.model_fields[field].default


class HostedTool(BaseTool):
    """A tool whose `_run` and `_arun` take its arguments by name, and return a result or raise.

    LangChain does not tell `_run` the id of the tool call, and a subclass that calls
    `super()._run(…)` could not hand it on. So a run is noted while it lasts.
    """

    handle_tool_error: Any = Field(
        default=OUR_RULE,
        description="By default, or as None, the rule above; else what LangChain's BaseTool takes.",
    )

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in cls.__mro__:
            if "_arun" in vars(base):
                break
            if "_run" in vars(base):  # its own, and nothing for asyncio: LangChain calls it there
                cls._arun = BaseTool._arun  # type: ignore[method-assign]
                break

    @field_validator("handle_tool_error")
    @classmethod
    def _named_rule(cls, value: Any) -> Any:
        return RULES[value] if value is None or value is True else value

    @field_serializer("handle_tool_error")
    def _name_of_rule(self, value: Any) -> Any:
        return next((name for name, rule in RULES.items() if rule is value), value)

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Run the tool as LangChain does."""
        with noted(self, kwargs.get("tool_call_id")):
            return super().run(*args, **kwargs)

    async def arun(self, *args: Any, **kwargs: Any) -> Any:
        """Async twin of `run`."""
        with noted(self, kwargs.get("tool_call_id")):
            return await super().arun(*args, **kwargs)

    def _our_schema(self) -> type[BaseModel]:
        """Return what `args_schema` is unless the host has set its own."""
        raise NotImplementedError

    def _by_our_schema(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments as `_run` takes them, checked."""
        raise NotImplementedError

    def _tool_call_id(self) -> str | None:
        run = current_run(self)
        return run.tool_call_id if run else None

    def _has_our_schema(self) -> bool:
        return self.args_schema is self._our_schema()

    def _to_args_and_kwargs(
        self, tool_input: str | dict[str, Any], tool_call_id: str | None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        schema = self.args_schema
        given = {first_field(schema): tool_input} if isinstance(tool_input, str) else tool_input
        if not self._has_our_schema():
            return (), by_host_schema(self, given, tool_call_id)
        known = {**given, "tool_call_id": tool_call_id or given.get("tool_call_id")}
        injected = {name: known.get(name) for name in self._injected_args_keys}
        rest = {name: value for name, value in given.items() if name not in injected}
        return (), {**self._by_our_schema(rest), **injected}

    def _filter_injected_args(self, tool_input: dict[str, Any]) -> dict[str, Any]:
        """Show callbacks no injected arguments; ours has none, and to look for them is slow."""
        if self._has_our_schema() and not self._injected_args_keys:
            return tool_input
        return super()._filter_injected_args(tool_input)
