"""What becomes of an error of a tool: a message that a model reads, or an exception."""

from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool

from langchain_qwen_image.errors import (
    AccountError,
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    QwenImageError,
)

_OPERATOR_ERRORS = (
    AccountError,
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
)
"""What a model cannot fix, and an agent should not go on with."""


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
        content=str(error), name=tool.name, tool_call_id=tool_call_id, status="error"
    )
