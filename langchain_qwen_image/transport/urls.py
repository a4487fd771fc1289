"""Addresses, parsed as httpx does."""

from functools import lru_cache
from typing import Any

import httpx


@lru_cache(maxsize=64)
def url_of(url: str, library: Any = httpx) -> Any:
    """Parse an address, as `library.URL`; a gateway's is the same at every call.

    Raises:
        httpx.InvalidURL: It cannot be parsed; httpx itself lets an error of `idna` through.
    """
    parsed = library.URL(url)
    try:
        parsed.host  # noqa: B018 - decodes it
    except UnicodeError as error:
        reason = str(error)
    else:
        return parsed
    raise httpx.InvalidURL(reason)
