"""Cassettes of this suite: which there are, how a request must match, and what is saved of one."""

from pathlib import Path
from typing import Any

from langchain_qwen_image.testing import vcr_config
from langchain_qwen_image.testing.scrub import REDACTED

FOLDER = Path(__file__).parents[1] / "cassettes"
SANDBOX_URL = "http://127.0.0.1:8765"
"""Where the sandbox server stood when the sandbox cassettes were recorded."""

_MATCH_ON = ["method", "scheme", "host", "port", "path", "query", "body", "header_names"]
_KEPT_VALUES = frozenset({"content-type", "cache-control", "accept", "accept-encoding"})
_KEPT_ANSWER_HEADERS = frozenset({"content-type", "retry-after", "www-authenticate", "location"})


def our_vcr_config() -> dict[str, Any]:
    """Return how this suite records and replays.

    No `record_mode`: it would beat `--record-mode=none`, and a missing cassette would go to the
    network.
    """
    return vcr_config(
        {
            "match_on": _MATCH_ON,
            "decode_compressed_response": True,
            "before_record_request": _keep_little_of_request,
            "before_record_response": _keep_little_of_response,
        }
    )


def match_header_names(one: Any, other: Any) -> None:
    """Compare the names of two requests' headers; the values are redacted."""
    names = [sorted(name.lower() for name in request.headers) for request in (one, other)]
    assert names[0] == names[1], f"header names differ: {names[0]} != {names[1]}"


def _keep_little_of_request(request: Any) -> Any:
    for name in list(request.headers):
        if name.lower() not in _KEPT_VALUES:
            request.headers[name] = REDACTED
    return request


def _keep_little_of_response(response: dict[str, Any]) -> dict[str, Any]:
    headers = {
        name: values
        for name, values in response["headers"].items()
        if name.lower() in _KEPT_ANSWER_HEADERS
    }
    return {**response, "headers": headers}
