"""What becomes of an error of a tool: a message that a model reads, or an exception."""

import os

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
from langchain_qwen_image.storage.addresses import is_bucket_address
from langchain_qwen_image.storage.paths import without_paths

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
            `handle_tool_error` was set to have it otherwise. Where `public_url` is used, True is
            dealt with here, because LangChain would tell the model paths of this machine.
    """
    is_ours = isinstance(error, QwenImageError)
    is_fixable = is_ours and not isinstance(error, _OPERATOR_ERRORS)
    is_public = getattr(tool, "public_url", None) is not None
    is_told = tool.handle_tool_error is None and is_fixable
    is_told_anyway = tool.handle_tool_error is True and is_ours and is_public
    if tool_call_id is None or not (is_told or is_told_anyway):
        raise error
    text = _text_for_models(error) if is_told else str(error)
    return ToolMessage(
        content=without_paths(text, _folder(tool)) if is_public else text,
        name=tool.name,
        tool_call_id=tool_call_id,
        status="error",
    )


def _folder(tool: BaseTool) -> str | os.PathLike[str] | None:
    save_to = getattr(tool, "save_to", None)
    if is_bucket_address(save_to):
        return save_to
    if isinstance(save_to, str | os.PathLike):
        return os.path.abspath(os.path.expanduser(save_to))  # noqa: PTH100, PTH111 - as in messages
    return getattr(save_to, "folder", None)


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
