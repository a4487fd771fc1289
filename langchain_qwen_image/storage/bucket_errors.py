"""What an object store says when it cannot be asked, in safe words.

Nothing of an error of `obstore` is passed on but a status and a code: an address, a header or an
answer's body may have a key or a signature in it.
"""

import re
from collections.abc import Callable
from typing import TypeVar

__all__ = ["OVERWRITES", "BucketError", "asked"]

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z]{1,64})</Code>")
_NO_BUCKET = re.compile(
    "NoSuchBucket|ContainerNotFound|specified (bucket|container) does not exist"
)
_NO_KEYS = re.compile(
    r"169\.254\.169\.254|latest/(api/token|meta-data)|metadata\.google|computeMetadata"
    "|metadata/identity|must be specified"
)
_OTHER_REGION = re.compile("incorrectly configured region|PermanentRedirect")
_NO_CONDITIONS = re.compile(r"status code: 501|NotImplemented")
OVERWRITES = "it has no conditional writes, so images could be overwritten"
_CREDENTIALS = "Set the variables of its provider, such as AWS_ACCESS_KEY_ID"
_T = TypeVar("_T")


class BucketError(Exception):
    """An object store could not be asked, or refused; the message is part of a sentence."""


def asked(work: Callable[[], _T], *, looks_up: bool = False) -> _T:
    """Do what asks an object store; its errors become words without an address, header or body.

    Args:
        work: What asks it.
        looks_up: What is not found may be a name, and not only the bucket.

    Raises:
        FileNotFoundError: There is no object of that name.
        BucketError: Whatever else it was.
    """
    from obstore.exceptions import BaseError

    is_missing = False
    try:
        return work()
    except FileNotFoundError as error:
        is_missing = looks_up and not _NO_BUCKET.search(str(error))
        problem = "there is no object of that name" if is_missing else _words(error)
    except (BaseError, ValueError, OSError) as error:
        problem = _words(error)
    # Out here it has no context: that of an error is shown in reports, and may have secrets.
    raise FileNotFoundError(problem) if is_missing else BucketError(problem)


def _words(error: Exception) -> str:
    """Say what an error means and what to do."""
    from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

    told = str(error)
    status, code = _STATUS.search(told), _CODE.search(told)
    answer = " ".join(found[1] for found in (status, code) if found)
    if _NO_KEYS.search(told):
        return f"no credentials were found. {_CREDENTIALS}"
    if isinstance(error, FileNotFoundError) or _NO_BUCKET.search(told):
        return "there is no such bucket. Create it, or correct its name"
    is_denied = isinstance(error, PermissionDeniedError | UnauthenticatedError)
    if is_denied or (status is not None and status[1] in ("401", "403")):
        return f"access was denied ({answer or type(error).__name__}). Check credentials and policy"
    if _OTHER_REGION.search(told):
        return "the bucket is in another region. Set its region, such as in AWS_REGION"
    if _NO_CONDITIONS.search(told):
        return OVERWRITES
    if answer:
        return f"it answered {answer}"
    if "builder error" in told:
        return "its endpoint is no https:// address. For http:// set AWS_ALLOW_HTTP=true"
    if "error sending request" in told:
        return "it could not be reached"
    return f"it cannot be used as it is set up ({type(error).__name__})"
