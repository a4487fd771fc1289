"""Take secrets out of recorded cassettes: the key, cookies, and the signatures of links.

What is redacted on the way into a cassette is redacted in the same way on the request that is
looked up in it, so that replay finds what was recorded.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

REDACTED = "REDACTED"

_SECRET_HEADERS = frozenset({"ocp-apim-subscription-key", "authorization", "cookie"})
_SECRET_ANSWER_HEADERS = frozenset({"set-cookie"})
_SIGNED = re.compile(
    r"(?<=[?&;])((?:x-amz-|x-oss-)?(?:signature|credential|security-token)|ossaccesskeyid|sig)="
    r"[^&\"'\s\\<>]+",
    re.IGNORECASE,
)

Scrub = Callable[[Any], Any]


def scrub_text(text: str) -> str:
    """Return the text with the signatures of its links redacted."""
    return _SIGNED.sub(rf"\1={REDACTED}", text)


def scrub_request(request: Any) -> Any:
    """Redact a VCR request: key, cookies, and the signature in its address."""
    for name in [name for name in request.headers if name.lower() in _SECRET_HEADERS]:
        request.headers[name] = REDACTED
    request.uri = scrub_text(request.uri)
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

    The host's `before_record_request` and `before_record_response` run first; everything else of
    its configuration stays as it is.

    Example:
        >>> sorted(vcr_config({"match_on": ["method", "uri"]}))
        ['before_record_request', 'before_record_response', 'match_on']
    """
    own = dict(host or {})
    own["before_record_request"] = _after(own.get("before_record_request"), scrub_request)
    own["before_record_response"] = _after(own.get("before_record_response"), scrub_response)
    return own


def _after(first: Scrub | None, then: Scrub) -> Scrub:
    if first is None:
        return then

    def both(item: Any) -> Any:
        kept = first(item)
        return None if kept is None else then(kept)

    return both


def _scrub_body(body: bytes | str) -> bytes | str:
    if isinstance(body, str):
        return scrub_text(body)
    try:
        return scrub_text(body.decode()).encode()
    except UnicodeDecodeError:
        return body


def _as_list(values: Any) -> list[str]:
    return [values] if isinstance(values, str) else list(values)
