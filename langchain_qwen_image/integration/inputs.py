"""What a chain may hand to the generator, turned into the arguments of a call."""

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage, convert_to_messages
from langchain_core.prompt_values import PromptValue

from langchain_qwen_image.errors import InvalidRequestError
from langchain_qwen_image.schemas import QwenImageInput, is_blank

GeneratorInput = (
    str | PromptValue | BaseMessage | Sequence[Any] | Mapping[str, Any] | QwenImageInput
)


def arguments_of(given: GeneratorInput) -> dict[str, Any]:
    """Return the arguments that are given, unchecked.

    Args:
        given: A prompt, a `PromptValue`, messages (the text of the last human one), one message of
            any kind (its text), a dict of arguments, or a `QwenImageInput`.

    Raises:
        InvalidRequestError: It has no text that could be a prompt.
    """
    if isinstance(given, QwenImageInput):
        return given.model_dump()
    if isinstance(given, Mapping):
        return dict(given)
    if isinstance(given, str):
        return {"prompt": given}
    if isinstance(given, BaseMessage):
        return {"prompt": _text_of(given)}
    if isinstance(given, PromptValue):
        return {"prompt": _text_of(_last_human(given.to_messages()))}
    if isinstance(given, Sequence) and not isinstance(given, bytes | bytearray):
        return {"prompt": _text_of(_last_human(_messages(given)))}
    raise InvalidRequestError(
        "Expected a prompt as str, PromptValue, message, list of messages, dict of arguments or "
        f"QwenImageInput, got {type(given).__name__}; nothing was sent."
    )


def _messages(given: Sequence[Any]) -> list[BaseMessage]:
    try:
        return convert_to_messages(given)
    except (ValueError, TypeError, NotImplementedError, KeyError):
        pass
    raise InvalidRequestError(
        "Expected a list of messages, got a list with something else in it; nothing was sent."
    )


def _last_human(messages: Sequence[BaseMessage]) -> BaseMessage:
    for message in reversed(messages):
        if isinstance(message, HumanMessage):
            return message
    raise InvalidRequestError(
        f"Expected a human message with the prompt, got {len(messages)} messages and none of them "
        "human; nothing was sent."
    )


def _text_of(message: BaseMessage) -> str:
    text = str(message.text)
    if not is_blank(text):
        return text
    raise InvalidRequestError(
        f"Expected a {message.type} message with text to use as the prompt, got one without "
        "text; nothing was sent. This endpoint takes no images."
    )
