"""Write a live call as a cassette that vcrpy replays, scrubbed.

YAML of a small, exact kind: strings are written as JSON, which is YAML, and bytes as `!!binary`.
Nothing that only tests need is imported.
"""

import base64
import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from langchain_qwen_image.checks.live_evidence import LiveCall
from langchain_qwen_image.checks.live_exchange import Headers, without_values
from langchain_qwen_image.checks.live_secrets import Scrubber

_SAVED_HEADERS = frozenset({"content-type", "retry-after", "www-authenticate", "location"})
_IMAGE_HEADERS = without_values(
    {"accept": "*/*", "accept-encoding": "identity", "host": "", "user-agent": ""}
)
_NOT_IN_YAML = re.compile("[\x7f-\xa0\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
"""What YAML 1.1 takes for a line end, or does not take at all, and JSON leaves as it is."""


def cassette(call: LiveCall, scrubber: Scrubber) -> str:
    """Return the exchanges of a call, its image included, as a cassette."""
    top = {"interactions": list(_interactions(call, scrubber)), "version": 1}
    comment = "# Recorded from the gateway by `qwen-image check --live`, and scrubbed."
    return "\n".join([comment, *_lines(top, 0), ""])


def _interactions(call: LiveCall, scrubber: Scrubber) -> Iterator[dict[str, Any]]:
    for exchange in call.exchanges:
        if exchange.status is not None:
            yield {
                "request": _request(
                    exchange.method,
                    exchange.url,
                    exchange.sent_headers,
                    exchange.request.decode(),
                    scrubber,
                ),
                "response": _response(exchange.status, exchange.headers, exchange.body, scrubber),
            }
    content = next(iter(call.contents.values()), b"")
    for answer in call.image_answers:
        content = call.contents.get(answer.link, content)  # a redirect leads to another link
        body = content if answer.status == HTTPStatus.OK else b""
        yield {
            "request": _request("GET", answer.link, _IMAGE_HEADERS, "", scrubber),
            "response": _response(answer.status, answer.headers, body, scrubber),
        }


def _request(
    method: str, url: str, headers: Headers, body: str, scrubber: Scrubber
) -> dict[str, Any]:
    return {
        "body": body,
        "headers": {name: [value] for name, value in headers.items()},
        "method": method,
        "uri": scrubber.text(url),
    }


def _response(status: int, headers: Headers, body: bytes, scrubber: Scrubber) -> dict[str, Any]:
    saved = {name: [scrubber.text(headers[name])] for name in _SAVED_HEADERS if name in headers}
    return {
        "body": {"string": _text_or_bytes(scrubber.body(body))},
        "headers": dict(sorted(saved.items())),
        "status": {"code": status, "message": _reason(status)},
    }


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _text_or_bytes(body: bytes) -> str | bytes:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body


def _lines(value: Any, depth: int) -> Iterator[str]:
    """Yield the lines of a dict or a list that is not empty."""
    space = "  " * depth
    if isinstance(value, dict):
        for name, one in value.items():
            yield from _named(f"{space}{name}:", one, depth + 1)
        return
    for one in value:
        if isinstance(one, dict):
            first, *others = _lines(one, depth + 1)
            yield f"{space}- {first.lstrip()}"
            yield from others
        else:
            yield f"{space}- {_scalar(one)}"


def _named(start: str, value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, dict | list) and value:
        yield start
        yield from _lines(value, depth)
    else:
        yield f"{start} {_scalar(value)}"


def _scalar(value: Any) -> str:
    if isinstance(value, bytes):
        return f'!!binary "{base64.b64encode(value).decode()}"'
    text = json.dumps(value, ensure_ascii=False)
    return _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
