"""What becomes of an error of a tool: a message that a model reads, or an exception."""

import os
import sys

from langchain_core.tools import BaseTool, ToolException

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
from langchain_qwen_image.integration.tool_run import latest_run
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


class _Rule:
    """Which errors become messages, and what a model reads: LangChain takes it as the setting.

    LangChain asks whether `handle_tool_error` is true while it handles an error, and calls it for
    the text: so this is true or not by the error and by who called. Where `public_url` is used, no
    message has a path of this machine.
    """

    def __init__(self, name: str, *, tells_all: bool) -> None:
        self._name = name
        self._tells_all = tells_all

    def __bool__(self) -> bool:
        error, run = sys.exception(), latest_run()
        is_fixable = isinstance(error, QwenImageError) and not isinstance(error, _OPERATOR_ERRORS)
        is_asked_by_model = run is not None and run.tool_call_id is not None
        return self._tells_all or (is_fixable and is_asked_by_model)

    def __call__(self, error: ToolException) -> str:
        text = str(error) if self._tells_all else _text_for_models(error)
        run = latest_run()
        is_public = run is not None and getattr(run.tool, "public_url", None) is not None
        return without_paths(text, _folder(run.tool)) if run and is_public else text

    def __repr__(self) -> str:
        return self._name

    def __reduce__(self) -> str:
        return self._name  # one object in every copy


OUR_RULE = _Rule("OUR_RULE", tells_all=False)
"""What `handle_tool_error` is unless it is set, and as None: a model gets what it can fix or should
know, the operator the rest, and a program, which has made no tool call, all."""
EVERY_ERROR = _Rule("EVERY_ERROR", tells_all=True)
"""What it is as True."""
RULES = {None: OUR_RULE, True: EVERY_ERROR}


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
