"""Whether an answer calls itself an error, whatever its HTTP status.

Serialisers write empty error objects beside an image, and fronts write codes that mean success, so
not everything that is called an error is one (gateway-facts).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from langchain_qwen_image.wire.error_texts import is_nothing
from langchain_qwen_image.wire.queue import says_ended

_FINE_CODES = re.compile(
    r"(?:0*|2\d\d|ok|success\w*|succeeded|completed?|done|finished|true|null|none)\Z", re.I
)
_ERROR_NAMES = ("error", "errors", "error_message", "errorMessage", "error_msg", "errorMsg")
_CODE_NAMES = ("code", "error_code", "errorCode", "errcode")
_STATUS_NAMES = ("statusCode", "status_code", "httpStatus", "http_status")
T = TypeVar("T")
_PARTS = ("output", "data", "result")


def states_an_error(top: Mapping[str, Any]) -> bool:
    """Say whether an answer calls itself an error, whatever its status."""
    inner = inner_status(top, is_ok=True)
    parts = [top, *(part for part in map(top.get, _PARTS) if isinstance(part, dict))]
    return (
        says_ended(top)
        or (inner is not None and inner >= 300)
        or any(_states_an_error(part) for part in parts)
    )


def _states_an_error(part: Mapping[str, Any]) -> bool:
    has_error = any(not _is_fine(part[name]) for name in _ERROR_NAMES if name in part)
    codes = [part[name] for name in _CODE_NAMES if name in part]
    if codes and _says_success(part):  # then a number is that of a success, such as 1 or 1000
        codes = [code for code in codes if isinstance(code, str) and not code.isdecimal()]
    has_code = any(map(_is_error_code, codes))
    success = part.get("success")
    is_unsuccessful = success is False or (isinstance(success, str) and success.lower() == "false")
    return has_error or has_code or is_unsuccessful


def _says_success(part: Mapping[str, Any]) -> bool:
    words = [part.get(name) for name in ("message", "msg", "status", "state")]
    said = any(isinstance(one, str) and one.strip() and is_fine_code(one) for one in words)
    return said or part.get("success") is True


def _is_fine(error: object) -> bool:
    """Say whether an `error` is none: empty, or an object that says success."""
    if is_nothing(error):
        return True
    if isinstance(error, str):
        return is_fine_code(error) or error.strip().lower() == "no error"
    if isinstance(error, dict):
        code = error.get("code")
        is_said = isinstance(code, str | int) and not isinstance(code, bool) and code != ""
        return is_said and not _is_error_code(code)
    return False


def _is_error_code(code: object) -> bool:
    if isinstance(code, bool) or not isinstance(code, str | int):
        return False
    return (isinstance(code, int) and abs(code) >= 10**9) or not is_fine_code(str(code))


def inner_status(top: Mapping[str, Any], *, is_ok: bool) -> int | None:
    """Return the status that a body names; within a 2xx also as `status` or `code`."""
    names = (*_STATUS_NAMES, "status", "code") if is_ok else _STATUS_NAMES
    inner = top.get("error")
    parts = [top, inner] if isinstance(inner, dict) else [top]
    return first(_http_status(part[name]) for part in parts for name in names if name in part)


def _http_status(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"[345]\d\d", value.strip(), re.ASCII):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 300 <= value < 600 else None


def is_fine_code(code: str) -> bool:
    """Say whether a code means success, such as `200`, `ok` or `SUCCEEDED`."""
    return bool(_FINE_CODES.match(code[:40].strip()))


def first(values: Iterable[T | None]) -> T | None:
    """Return the first that is not None, or None."""
    return next((value for value in values if value is not None), None)
