"""What becomes of an error of a tool: a message that a model reads, or an exception."""

from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool

from langchain_qwen_image.errors import (
    AccountError,
    AuthenticationError,
    CallInProgressError,
    ConfigurationError,
    DownloadError,
    NotFoundError,
    PermissionDeniedError,
    QwenImageError,
    ResultUnknownError,
)

_OPERATOR_ERRORS = (
    AccountError,
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
)
"""What a model cannot fix, and an agent should not go on with."""

_UNDER_WAY = (
    "The image of this call is still being generated, for an equal call that was made earlier. "
    "Nothing was sent this time, and nothing more was paid. Do not try again: another call would "
    "make and pay for a second image. Tell the user that the image is not ready yet."
)
_LOST = (
    "This call was made before, and its answer was lost. The image may have been billed. Nothing "
    "was sent this time. Do not try again unless the user agrees: another call would make a new "
    "image, and may pay a second time."
)
_GONE = (
    "The image of this call was made and paid for before, and cannot be had any more. Nothing was "
    "sent this time. Do not try again unless the user agrees: another call would make a new image "
    "and pay for it."
)


def message_or_raise(error: BaseException, tool: BaseTool, tool_call_id: str | None) -> ToolMessage:
    """Return an error as a model reads it, or raise it: the one rule for all tools here.

    Raises:
        QwenImageError: Only the operator can fix it, there was no tool call, or the tool's
            `handle_tool_error` was set to have it otherwise.
    """
    by_our_rule = tool.handle_tool_error is None and tool_call_id is not None
    is_fixable = isinstance(error, QwenImageError) and not isinstance(error, _OPERATOR_ERRORS)
    if not by_our_rule or not is_fixable:
        raise error
    return ToolMessage(
        content=_text_for_models(error), name=tool.name, tool_call_id=tool_call_id, status="error"
    )


def _text_for_models(error: BaseException) -> str:
    """Return what happened, and whether to try again: a model cannot make the same call again."""
    match error:
        case CallInProgressError():
            return _UNDER_WAY
        case ResultUnknownError():
            return _LOST
        case DownloadError(is_lost=True):
            return _GONE
    return str(error)
