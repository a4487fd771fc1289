"""Images that are in the answer itself, as `data:` URIs (RFC 2397)."""

from base64 import b64decode
from urllib.parse import unquote_to_bytes

_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def decode_inline(uri: str) -> bytes:
    """Return the bytes of a `data:` URI, of either encoding.

    Raises:
        ValueError: it has no data, or its base64 cannot be decoded.
    """
    head, comma, body = uri.partition(",")
    if not comma:
        raise ValueError("a data: URI without data")
    data = unquote_to_bytes(body.encode("ascii", "replace"))
    if not head.rstrip().lower().endswith(";base64"):
        return data
    try:
        return b64decode(data.translate(_URL_SAFE) + b"===")
    except ValueError:
        raise ValueError("base64 that cannot be decoded") from None
