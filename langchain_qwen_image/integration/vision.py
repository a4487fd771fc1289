"""Where in a conversation a chat model is shown the images of tools."""

import re
from collections.abc import Iterable
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    ToolMessage,
    convert_to_openai_image_block,
)

__all__ = ["place_images", "takes_images_of_tools"]

_IMAGE_TYPES = frozenset({"image", "image_url"})
_MISTRALS = re.compile("m(in|ag)?istral|pixtral|devstral|codestral", re.IGNORECASE)
_MOVED = "The image is in the message after the tool results."
_REPLY = "I will look at the image."


def place_images(
    messages: Iterable[BaseMessage],
    model: object,
    *,
    move_images: bool | None = None,
    reply_first: bool | None = None,
) -> list[BaseMessage]:
    """Return the messages of a request, with the images of tools where the model's API takes them.

    OpenAI's Chat Completions, Mistral and Groq refuse a request with an image in a tool message.
    Each such image moves into a human message after all tool results of its turn. The messages that
    are given stay as they are.

    Args:
        messages: The conversation.
        model: The chat model that gets the request.
        move_images: Whether to move images. By default `takes_images_of_tools` decides.
        reply_first: Whether to put a short message of the assistant between tool results and
            images. By default for Mistral's models alone, whose API refuses a user's message right
            after a tool's (error 3230, "Unexpected role 'user' after role 'tool'").
    """
    if not (not takes_images_of_tools(model) if move_images is None else move_images):
        return list(messages)
    return _moved(messages, replies=_is_mistral(model) if reply_first is None else reply_first)


def takes_images_of_tools(model: object) -> bool:
    """Say whether a chat model's API is known to take images in tool messages.

    OpenAI's does in its Responses API (`use_responses_api=True`), but not in Chat Completions,
    which many other services speak too. For other clients their profile says it
    (`image_tool_message`, as for Anthropic, Gemini and Bedrock). A client that is not known is
    taken not to: every API that takes images at all takes them in a human message.
    """
    if not isinstance(model, BaseChatModel):
        return False  # what is wrapped may be chosen at each call
    if any(kind.__name__ == "BaseChatOpenAI" for kind in type(model).__mro__):
        return getattr(model, "use_responses_api", None) is True
    return (model.profile or {}).get("image_tool_message") is True


def _is_mistral(model: object) -> bool:
    classes = [kind.__name__ for kind in type(model).__mro__]
    names = [str(getattr(model, name, "")) for name in ("model_name", "model")]
    return _MISTRALS.search(" ".join(classes + names)) is not None


def _moved(messages: Iterable[BaseMessage], *, replies: bool) -> list[BaseMessage]:
    """Return the messages with each tool's images in a human message after all of its results."""
    moved: list[BaseMessage] = []
    seen: list[str | dict[str, Any]] = []
    for message in messages:
        if isinstance(message, ToolMessage):
            message, images = _split(message)
            seen.extend(images)
        elif seen:
            moved += _shown(seen, replies=replies)
            seen = []
        moved.append(message)
    return moved + (_shown(seen, replies=replies) if seen else [])


def _split(message: ToolMessage) -> tuple[ToolMessage, list[dict[str, Any]]]:
    """Return a tool's message without its images, and these, under a line that says whose."""
    blocks = [] if isinstance(message.content, str) else message.content
    images = [one for one in blocks if isinstance(one, dict) and one.get("type") in _IMAGE_TYPES]
    if not images:
        return message, []
    kept = [*(one for one in blocks if one not in images), _text(_MOVED)]
    texts = [one if isinstance(one, str) else one.get("text") for one in kept]
    content = "\n".join(map(str, texts)) if None not in texts else kept
    label = f"From the tool {message.name}, call {message.tool_call_id}, and not from the user:"
    return (
        message.model_copy(update={"content": content}),
        [_text(label), *map(_as_all_clients_take_it, images)],
    )


def _shown(blocks: list[str | dict[str, Any]], *, replies: bool) -> list[BaseMessage]:
    shown = HumanMessage(content=blocks)
    return [AIMessage(_REPLY), shown] if replies else [shown]


def _text(text: str) -> dict[str, Any]:
    """Return a text block without an id: Groq and Mistral refuse fields that they do not know."""
    return {"type": "text", "text": text}


def _as_all_clients_take_it(image: dict[str, Any]) -> dict[str, Any]:
    """Return OpenAI's form of a standard image block, which older clients do not translate."""
    try:
        return convert_to_openai_image_block(image)
    except ValueError:  # it has that form already, or one that its client alone knows
        return image
