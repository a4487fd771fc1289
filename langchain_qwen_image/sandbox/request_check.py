"""Check a request against the API document, strictly, in plain code of the sandbox's own.

The package's request models are not used: a double that shares them cannot catch their bugs.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

from langchain_qwen_image.sandbox.answer import Answer, error_answer

SIZES = ("1328*1328", "1024*1024", "768*768", "512*512")
KEY_HEADER = "ocp-apim-subscription-key"
_KEY_REFUSED = error_answer(
    401,
    "Invalid or missing authentication",
    {
        "WWW-Authenticate": 'AzureApiManagementKey realm="https://sandbox.invalid/qwen-image/v1",'
        'name="Ocp-Apim-Subscription-Key",type="header"'
    },
)


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """Hold what a request that passed the checks asks for, defaults filled in."""

    prompt: str
    negative_prompt: str = ""
    prompt_extend: bool = True
    watermark: bool = True
    size: str = "1328*1328"

    @property
    def width_and_height(self) -> tuple[int, int]:
        """Return the asked size, in pixels."""
        width, height = self.size.split("*")
        return int(width), int(height)

    def seed(self, number: int = 0) -> str:
        """Return 32 hex digits that depend on everything asked for and on the image's number."""
        text = json.dumps([asdict(self), number], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


class RequestRefusedError(Exception):
    """Carry the reason why a request does not follow the document."""


def check_headers(headers: Mapping[str, str]) -> Answer | None:
    """Return the refusal that the headers (names in lower case) deserve, or None."""
    if refusal := check_key(headers):
        return refusal
    content_type = headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != "application/json":
        return _bad_request(f"Content-Type must be application/json, got {content_type!r}")
    cache_control = headers.get("cache-control", "")
    if cache_control.strip().lower() != "no-cache":
        return _bad_request(f"Cache-Control must be no-cache, got {cache_control!r}")
    return None


def check_key(headers: Mapping[str, str]) -> Answer | None:
    """Return the refusal of a missing key or of `invalid`, or None."""
    return _KEY_REFUSED if headers.get(KEY_HEADER, "").strip() in {"", "invalid"} else None


def check_body(body: bytes) -> ImageRequest | Answer:
    """Return what the body asks for, or the refusal that it deserves."""
    try:
        return _read_request(_parse(body))
    except RequestRefusedError as error:
        return _bad_request(str(error))


def _bad_request(reason: str) -> Answer:
    return error_answer(400, f"Invalid request parameters: {reason}")


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        _refuse("the body is not JSON in UTF-8")


def _read_request(document: object) -> ImageRequest:
    body = _fields(document, "body", required=("model", "input"), optional=("parameters",))
    if body["model"] != "qwen-image":
        _refuse(f'model must be "qwen-image", got {_quoted(body["model"])}')
    parameters = _fields(
        body.get("parameters", {}),
        "parameters",
        optional=("negative_prompt", "prompt_extend", "watermark", "size"),
    )
    return ImageRequest(_read_prompt(body["input"]), **_read_parameters(parameters))


def _read_prompt(value: object) -> str:
    messages = _fields(value, "input", required=("messages",))["messages"]
    message = _fields(
        _only(messages, "input.messages"), "input.messages[0]", required=("role", "content")
    )
    if message["role"] != "user":
        _refuse(f'input.messages[0].role must be "user", got {_quoted(message["role"])}')
    where = "input.messages[0].content"
    part = _fields(_only(message["content"], where), f"{where}[0]", required=("text",))
    text = _text(part["text"], f"{where}[0].text")
    if not text.strip():
        _refuse(f"{where}[0].text must not be blank")
    return text


def _read_parameters(parameters: dict[str, Any]) -> dict[str, Any]:
    for name in ("prompt_extend", "watermark"):
        if not isinstance(parameters.get(name, True), bool):
            _refuse(f"parameters.{name} must be a boolean, got {_quoted(parameters[name])}")
    _text(parameters.get("negative_prompt", ""), "parameters.negative_prompt")
    if parameters.get("size", SIZES[0]) not in SIZES:
        _refuse(
            f"parameters.size must be one of {', '.join(SIZES)}, got {_quoted(parameters['size'])}"
        )
    return parameters


def _fields(
    value: object, where: str, required: tuple[str, ...] = (), optional: tuple[str, ...] = ()
) -> dict[str, Any]:
    if not isinstance(value, dict):
        _refuse(f"{where} must be an object, got {_quoted(value)}")
    for name in required:
        if name not in value:
            _refuse(f"{_path(where, name)} is missing")
    for name in value:
        if name not in required + optional:
            _refuse(f"{_path(where, name)} is not a field of this API")
    return value


def _only(value: object, where: str) -> object:
    if not isinstance(value, list) or len(value) != 1:
        _refuse(f"{where} must be an array of exactly one object, got {_quoted(value)}")
    return value[0]


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        _refuse(f"{where} must be a string, got {_quoted(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        _refuse(f"{where} holds half of a surrogate pair, which is no character")
    return value


def _path(where: str, name: str) -> str:
    path = name if where == "body" else f"{where}.{name}"
    return path.encode(errors="backslashreplace").decode()


def _quoted(value: object) -> str:
    return json.dumps(value)[:80]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _refuse(reason: str) -> NoReturn:
    raise RequestRefusedError(reason)
