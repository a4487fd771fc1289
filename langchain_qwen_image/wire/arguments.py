"""Arguments of a call: checked once, with messages that a person and a model can act on."""

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError, create_model

from langchain_qwen_image.errors import InvalidRequestError
from langchain_qwen_image.schemas import PARAMETERS, SIZES, Arguments, QwenImageInput, given_only


def check_arguments(
    *given: Mapping[str, Any], fixed: Collection[str] = frozenset()
) -> QwenImageInput:
    """Return the arguments, checked; nothing is sent for those that are not right.

    Args:
        *given: The arguments as they came. Later ones win, where they have a value.
        fixed: Names that are not the caller's to set, and not listed as allowed.

    Raises:
        InvalidRequestError: One is unknown, missing or cannot be used; the message lists what is
            allowed.
    """
    try:
        return QwenImageInput.model_validate(
            {name: value for some in given for name, value in given_only(some).items()}
        )
    except ValidationError as error:
        problems = explain(error)
    allowed = [name for name in QwenImageInput.model_fields if name not in fixed]
    sizes = f"; sizes: {', '.join(SIZES)}" if "size" in allowed else ""
    raise InvalidRequestError(
        f"Nothing was sent: {problems}. Allowed arguments: {', '.join(allowed)}{sizes}."
    )


def check_parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that are given, checked.

    Raises:
        InvalidRequestError: One is unknown or cannot be used.
    """
    try:
        checked = schema_without(frozenset({"prompt"})).model_validate(given)
        return checked.model_dump(exclude_unset=True)
    except ValidationError as error:
        problems = explain(error)
    raise InvalidRequestError(f"Expected some of {', '.join(PARAMETERS)}: {problems}.")


def check_prompt(prompt: str | QwenImageInput, parameters: Mapping[str, Any]) -> QwenImageInput:
    """Return a prompt, or checked arguments, with the parameters that are given beside it.

    Raises:
        InvalidRequestError: As `check_arguments`.
    """
    given = prompt.model_dump() if isinstance(prompt, QwenImageInput) else {"prompt": prompt}
    return check_arguments(given, parameters)


def explain(error: ValidationError) -> str:
    """Return pydantic's findings in one line, without the values that were given."""
    return "; ".join(_explain_one(finding) for finding in error.errors(include_url=False)[:5])


def _explain_one(finding: Any) -> str:
    name = ".".join(str(part) for part in finding["loc"]) or "input"
    if finding["type"] == "extra_forbidden":
        return f"{name[:40]} is not an argument"
    if finding["type"] == "missing":
        return f"{name} is missing"
    message = finding["msg"].removeprefix("Value error, ")
    return f"{name}: {message[:1].lower()}{message[1:]}"


@cache
def schema_without(fixed: frozenset[str]) -> type[BaseModel]:
    """Return the schema that is left to a model when the operator has set some parameters."""
    if not fixed:
        return QwenImageInput
    left: dict[str, Any] = {
        name: (field.annotation, field)
        for name, field in QwenImageInput.model_fields.items()
        if name not in fixed
    }
    return create_model(
        QwenImageInput.__name__,
        __base__=Arguments,
        __doc__=QwenImageInput.__doc__,
        __module__=__name__,
        **left,
    )
