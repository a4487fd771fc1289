"""Take secrets out of recorded cassettes: the key, cookies, and the signatures of links.

What is redacted on the way into a cassette is redacted in the same way on the request that is
looked up in it, so that replay finds what was recorded.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

REDACTED = "REDACTED"

_SECRET_HEADERS = frozenset({"ocp-apim-subscription-key", "authorization", "cookie"})
_SECRET_ANSWER_HEADERS = frozenset({"set-cookie"})
_SIGNED = re.compile(
    r"(?:(?<=[?&;])|(?<=\\u0026))"  # some JSON writers escape the &
    r"((?:x-(?:amz|oss|goog)-)?(?:signature|credential|security-token)|q-signature|sig"
    r"|ossaccesskeyid)="
    r"[^&\"'\s\\<>]+",
    re.IGNORECASE,
)


def scrub_text(text: str) -> str:
    """Return the text with the signatures of its links redacted."""
    return _SIGNED.sub(rf"\1={REDACTED}", text)


def scrub_request(request: Any) -> Any:
    """Redact a VCR request: key, cookies, and the signatures of links in its address and body.

    A request to a chat model holds the links of a conversation, for one.
    """
    for name in [name for name in request.headers if name.lower() in _SECRET_HEADERS]:
        request.headers[name] = REDACTED
    request.uri = scrub_text(request.uri)
    if isinstance(request.body, bytes):
        request.body = _scrub_body(request.body)
    return request


def scrub_response(response: dict[str, Any]) -> dict[str, Any]:
    """Redact a VCR response: cookies, and the signatures of links in headers and text."""
    headers = {
        name: [scrub_text(value) for value in _as_list(values)]
        for name, values in response["headers"].items()
        if name.lower() not in _SECRET_ANSWER_HEADERS
    }
    body = response["body"].get("string") or b""
    scrubbed = _scrub_body(body)
    if len(scrubbed) != len(body):
        headers = {name: v for name, v in headers.items() if name.lower() != "content-length"}
    return {**response, "headers": headers, "body": {**response["body"], "string": scrubbed}}


def vcr_config(host: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a VCR configuration that redacts, on top of the host's own.

    The host's `before_record_request` and `before_record_response` run first; the rest of its
    configuration stays as it is. Compressed answers are recorded in plain, since nothing could be
    redacted in them, unless the host says otherwise.

    Examples:
        >>> sorted(vcr_config({"match_on": ["method", "uri"]}))[:2]
        ['before_record_request', 'before_record_response']
    """
    own = {"decode_compressed_response": True, **(host or {})}
    earlier = own.pop("before_record", None)  # vcrpy's older name of the next
    requests = own.get("before_record_request", earlier)
    own["before_record_request"] = [*_as_list(requests), scrub_request]
    own["before_record_response"] = [*_as_list(own.get("before_record_response")), scrub_response]
    return own


def _scrub_body(body: bytes | str) -> bytes | str:
    if isinstance(body, str):
        return scrub_text(body)
    try:
        return scrub_text(body.decode()).encode()
    except UnicodeDecodeError:
        return body


def _as_list(given: Any) -> list[Any]:
    """Return what may be one, many or none, as vcrpy takes functions and header values."""
    if given is None:
        return []
    return [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
