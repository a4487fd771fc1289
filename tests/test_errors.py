"""The error tree: what each class is, and what it says."""

import asyncio
import copy
import pickle

import pytest
from langchain_core import exceptions as core
from langchain_core.tools import ToolException

from langchain_qwen_image import errors
from langchain_qwen_image.errors import QwenImageError

CLASSES = [getattr(errors, name) for name in errors.__all__]
BASES = {
    "AccountError": (errors.QwenImageError,),
    "AuthenticationError": (errors.QwenImageError, core.ModelAuthenticationError),
    "BudgetExceededError": (errors.QwenImageError,),
    "CallInProgressError": (errors.QwenImageError,),
    "ConfigurationError": (errors.QwenImageError,),
    "ConnectionFailedError": (errors.QwenImageError, core.ModelConnectionError),
    "ContentRejectedError": (errors.InvalidRequestError,),
    "DownloadError": (errors.QwenImageError,),
    "FileAlreadyExistsError": (errors.SaveError, FileExistsError),
    "IdempotencyError": (errors.InvalidRequestError,),
    "InvalidRequestError": (errors.QwenImageError, core.ModelInvalidRequestError),
    "MalformedResponseError": (errors.QwenImageError,),
    "NotFoundError": (errors.QwenImageError, core.ModelNotFoundError),
    "PermissionDeniedError": (errors.QwenImageError, core.ModelPermissionDeniedError),
    "QuotaExceededError": (errors.PermissionDeniedError,),
    "QwenImageError": (ToolException, core.ModelError, RuntimeError),
    "RateLimitError": (errors.QwenImageError, core.ModelRateLimitError),
    "RequestTimeoutError": (errors.QwenImageError, core.ModelTimeoutError),
    "ResultUnknownError": (errors.RequestTimeoutError,),
    "SaveError": (errors.QwenImageError, OSError),
    "ServerError": (errors.QwenImageError, core.ModelAPIError),
}
RETRYABLE = {errors.CallInProgressError, errors.ConnectionFailedError, errors.RateLimitError}
BILLED = {
    errors.MalformedResponseError,
    errors.RequestTimeoutError,
    errors.ResultUnknownError,
    errors.ServerError,
}

every_class = pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)


@every_class
def test_the_tree_is_the_designs(kind: type[QwenImageError]) -> None:
    """Each class has the bases that the design names, and is in `__all__`."""
    assert kind.__bases__ == BASES[kind.__name__]
    assert kind.__name__ in (errors.__doc__ or "")


def test_all_is_sorted_and_whole() -> None:
    """`__all__` lists every error of the module, sorted."""
    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and value.__module__ == errors.__name__
    }
    assert errors.__all__ == sorted(defined)
    assert set(BASES) == defined


@every_class
def test_every_error_is_read_and_judged(kind: type[QwenImageError]) -> None:
    """An agent can read it, middleware can judge it, and LangGraph does not repeat it."""
    error = kind("what happened")
    assert isinstance(error, ToolException)
    assert isinstance(error, core.ModelError)
    assert isinstance(error, RuntimeError)
    assert (str(error), error.message, error.args) == ("what happened",) * 2 + (("what happened",),)


@every_class
def test_the_flags_of_a_class(kind: type[QwenImageError]) -> None:
    """Only what bought nothing is retryable, and only what may have is billed."""
    error = kind("x")
    assert error.is_retryable is (kind in RETRYABLE)
    assert error.may_have_been_billed is (kind in BILLED)
    assert (error.status_code, error.code, error.request_id, error.retry_after) == (None,) * 4


@every_class
@pytest.mark.parametrize("flag", [True, False])
def test_the_flags_of_one_error(kind: type[QwenImageError], flag: bool) -> None:
    """What is said of one error changes that error, and not its class."""
    error = kind("x", is_retryable=flag, may_have_been_billed=flag)
    assert (error.is_retryable, error.may_have_been_billed) == (flag, flag)
    assert kind("x").is_retryable is (kind in RETRYABLE)


@every_class
@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))]
)
def test_an_error_survives_a_copy(kind: type[QwenImageError], copied) -> None:
    """A pickled or copied error, as between processes, keeps its class and its facts."""
    error = kind(
        "x",
        is_retryable=True,
        may_have_been_billed=True,
        status_code=429,
        code="c",
        request_id="r",
        retry_after=1.5,
    )
    again = copied(error)
    assert type(again) is kind
    assert vars(again) == vars(error)
    assert again.args == error.args


def test_an_address_that_was_not_asked_survives_a_copy() -> None:
    """The polling address of another host goes with the error, and is in no text of it."""
    error = errors.MalformedResponseError("x")
    assert error.polling_url is None
    error.polling_url = "https://elsewhere.example/s?id=1"
    again = pickle.loads(pickle.dumps(error))
    assert again.polling_url == error.polling_url
    assert "elsewhere" not in str(error) + repr(error)


def test_a_traceback_may_be_dropped() -> None:
    """An error can be raised again without the frames that it came through."""
    with pytest.raises(QwenImageError) as caught:
        raise errors.ServerError("x").with_traceback(None)
    assert len(caught.traceback) == 1


def test_langgraphs_default_does_not_repeat_it() -> None:
    """LangGraph's default retry rule leaves every error of the tree alone."""
    from langgraph.types import default_retry_on

    assert not [kind for kind in CLASSES if default_retry_on(kind("x"))]


def test_cancellation_is_no_error_of_ours() -> None:
    """No class of the tree catches a cancellation or Ctrl-C."""
    assert not issubclass(asyncio.CancelledError, QwenImageError)
    assert not issubclass(KeyboardInterrupt, QwenImageError)
