"""What becomes of each error of a tool call: read by the model, or raised for the operator."""

from typing import Any

import pytest
from conftest import Call
from langchain_core.messages import ToolMessage
from scripted_model import drawing

from langchain_qwen_image import QwenImageTool, errors

READ_BY_MODELS = {
    "BudgetExceededError",
    "CallInProgressError",
    "ConnectionFailedError",
    "ContentRejectedError",
    "DownloadError",
    "FileAlreadyExistsError",
    "IdempotencyError",
    "InvalidRequestError",
    "MalformedResponseError",
    "QwenImageError",
    "RateLimitError",
    "RequestTimeoutError",
    "ResultUnknownError",
    "SaveError",
    "ServerError",
}
RAISED = {
    "AccountError",
    "AuthenticationError",
    "ConfigurationError",
    "NotFoundError",
    "PermissionDeniedError",
    "QuotaExceededError",
}


def lost_image() -> errors.DownloadError:
    """Return the error of an image that was paid for by an earlier call and is gone."""
    error = errors.DownloadError("Pass retry_lost=True.")
    error.is_lost = True
    return error


class Failing(QwenImageTool):
    """A tool whose every call ends in one error."""

    error: Any

    def _run(self, prompt: str) -> Any:
        raise self.error


def test_every_error_is_decided_on() -> None:
    """Each class of the tree is either read by a model or raised."""
    assert set(errors.__all__) == READ_BY_MODELS | RAISED


@pytest.mark.parametrize("name", sorted(errors.__all__))
def test_each_error_is_read_or_raised(name: str, call: Call) -> None:
    """A call that is under way or lost is for the model, books that cannot be written are not."""
    error = getattr(errors, name)("What happened.")
    tool = Failing(sandbox=True, error=error)
    if name in RAISED:
        with pytest.raises(type(error)):
            call(tool, "invoke", drawing("a fox"))
    else:
        message: ToolMessage = call(tool, "invoke", drawing("a fox"))
        assert (message.status, message.tool_call_id) == ("error", "call_1")
    with pytest.raises(type(error)):
        call(tool, "invoke", {"prompt": "a fox"})


@pytest.mark.parametrize(
    ("error", "advice", "money"),
    [
        pytest.param(
            errors.CallInProgressError("Ask again later.", retry_after=9),
            "Do not try again: another call would make and pay for a second image.",
            "Nothing was sent this time, and nothing more was paid.",
            id="under-way",
        ),
        pytest.param(
            errors.ResultUnknownError("Pass retry_unknown=True.", request_id="1"),
            "Do not try again unless the user agrees",
            "may have been billed. Nothing was sent this time.",
            id="lost",
        ),
        pytest.param(
            lost_image(),
            "Do not try again unless the user agrees",
            "paid for before, and cannot be had any more. Nothing was sent this time.",
            id="gone",
        ),
    ],
)
def test_a_model_is_told_whether_to_try_again(
    error: errors.QwenImageError, advice: str, money: str
) -> None:
    """Another call of a model has another id, so it is another image: no argument saves it."""
    text = Failing(sandbox=True, error=error).invoke(drawing("a fox")).text
    assert advice in text
    assert money in text
    assert str(error) not in text
    assert len(text) < 400
