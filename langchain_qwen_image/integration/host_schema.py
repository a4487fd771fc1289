"""A host's own `args_schema`: what it makes of the arguments, before we look at them."""

from collections.abc import Mapping
from typing import Any

from langchain_core.tools import ArgsSchema, BaseTool
from langchain_core.utils.json_schema import dereference_refs
from langchain_core.utils.pydantic import get_fields
from pydantic import ValidationError

from langchain_qwen_image.errors import InvalidRequestError
from langchain_qwen_image.integration.json_schema import defaults, problems
from langchain_qwen_image.schemas import QwenImageInput, given_only
from langchain_qwen_image.wire.arguments import explain

_OURS = frozenset(QwenImageInput.model_fields)


def by_host_schema(
    tool: BaseTool, given: Mapping[str, Any], tool_call_id: str | None, *, directly: bool = False
) -> dict[str, Any]:
    """Return the arguments by the schema's defaults, limits, validators and injected fields.

    A parameter that has no value and need have none is left to the schema's default. A pydantic
    model is applied as LangChain applies it; a JSON schema, which LangChain only shows to the
    model, by its defaults and limits.

    Args:
        tool: The tool that has the schema.
        given: The arguments as they came.
        tool_call_id: The model's name of the call.
        directly: The host called `_run`, and such hosts hand over only what its signature names.
            So other fields may be missing.

    Raises:
        InvalidRequestError: The schema refuses them; the message says why.
        ValidationError: The same, where the tool's `handle_validation_error` is set.
    """
    schema: Any = tool.args_schema
    valued, required = given_only(given), _required(schema)
    given = {name: one for name, one in given.items() if name in valued or name in required}
    try:
        if isinstance(schema, dict):
            return _by_json_schema(schema, given, directly)
        parsed: Any = tool._parse_input(dict(given), "" if directly else tool_call_id)
        return dict(parsed)
    except ValidationError as error:
        if directly and all(_misses_another(finding) for finding in error.errors()):
            return {**_defaults(schema), **given}
        if tool.handle_validation_error and not directly:
            raise
        problem = explain(error)
    except (ValueError, TypeError) as error:  # of pydantic's version 1, LangChain's, and ours
        problem = str(error)
    raise InvalidRequestError(
        f"Nothing was sent: {problem}. Allowed arguments: {', '.join(tool.args)}."
    )


def first_field(schema: ArgsSchema | None) -> str:
    """Return the argument that is meant where a tool is called with a text alone."""
    names: Any = schema.get("properties", {}) if isinstance(schema, dict) else schema
    names = get_fields(names) if isinstance(names, type) else names or {}
    return "prompt" if "prompt" in names else next(iter(names), "prompt")


def _by_json_schema(
    schema: dict[str, Any], given: Mapping[str, Any], directly: bool
) -> dict[str, Any]:
    schema, filled = dereference_refs(schema), {**defaults(schema), **given}
    missing = {name for name in schema.get("required", []) if name not in filled}
    checked = {**schema, "required": sorted(missing & _OURS if directly else missing)}
    if found := list(problems(checked, given)):
        raise ValueError("; ".join(found[:5]))
    return {name: one for name, one in filled.items() if name in schema.get("properties", {})}


def _required(schema: Any) -> set[str]:
    """Return the names of the fields that must be given."""
    if isinstance(schema, dict):
        return set(schema.get("required", []))
    fields = get_fields(schema).items()
    return {name for name, field in fields if getattr(field, "is_required", lambda: False)()}


def _defaults(schema: Any) -> dict[str, Any]:
    fields = {name: field for name, field in schema.model_fields.items() if name in _OURS}
    return {
        name: field.get_default(call_default_factory=True)
        for name, field in fields.items()
        if not field.is_required()
    }


def _misses_another(finding: Any) -> bool:
    return finding["type"] == "missing" and finding["loc"][0] not in _OURS
