"""Write and read addresses that carry what they stand for, signed in their query string.

So any process can answer them, also one that is started later. The signature is no secret: it
keeps changed and re-encoded addresses out, and the reader checks what it says all the same.
"""

import base64
import binascii
import hmac
import json
import zlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

_SIGNING_KEY = b"langchain-qwen-image sandbox"
_LARGEST_CONTENT_BYTES = 16 * 1024
"""More than any request of a sandbox makes: a longer text is cut before it comes here."""


def write_signed(path: str, fields: Mapping[str, str]) -> str:
    """Return the path with the fields and their signature as its query string."""
    pairs = list(fields.items())
    signed = [*pairs, ("Signature", _sign(path, pairs))]
    return f"{path}?{urlencode(signed, quote_via=quote, safe='')}"


def read_signed(target: str) -> dict[str, str] | None:
    """Return the fields of an address, or None when its signature is not right."""
    path, _, query_string = target.partition("?")
    *pairs, last = parse_qsl(query_string) or [("", "")]
    expected = _sign(path, pairs).encode()
    if last[0] != "Signature" or not hmac.compare_digest(last[1].encode(), expected):
        return None
    return dict(pairs)


def pack(content: Mapping[str, object]) -> str:
    """Return JSON as a short text for a field."""
    return base64.b64encode(
        zlib.compress(json.dumps(content, ensure_ascii=False).encode(), 9)
    ).decode()


def unpack(packed: str) -> dict[str, Any] | None:
    """Return what was packed, or None when it is no JSON object or too large to be ours."""
    try:
        inflater = zlib.decompressobj()
        text = inflater.decompress(base64.b64decode(packed), _LARGEST_CONTENT_BYTES)
        content = json.loads(text) if inflater.eof else None
    except (binascii.Error, zlib.error, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _sign(path: str, fields: list[tuple[str, str]]) -> str:
    text = "\n".join([path, *(f"{name}={value}" for name, value in fields)])
    signature = hmac.digest(_SIGNING_KEY, text.encode(), "sha256")
    return base64.b64encode(signature).decode()
