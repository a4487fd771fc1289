"""A server's own words, as a message may show them: short, without key or signed links."""

import html
import re
from urllib.parse import quote as percent_encode

QUOTE_LIMIT = 200
"""Characters of a server's own text that a message shows."""
SIGHT = 20 * QUOTE_LIMIT
"""Characters that are looked at for a quotation: a page of megabytes must not hold us up."""
_SHORTEST_SECRET = 8
"""Characters of the key from which on it is hidden where a text ends in the middle of it."""
_TAGS = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)|<[^>]*>", re.DOTALL | re.IGNORECASE)
_LINK_QUERY = re.compile(r"(//[^\s?#\"'<>]+)[?#][^\s\"'<>]*")
_JSON_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|([\"\\/]))")


def quote(text: str | None, secret: str) -> str:
    """Return what a server said as `: "…"`, short, on one line, without key or signed links."""
    seen = _TAGS.sub(" ", hide_secret(text or "", secret)[:SIGHT])
    said = _LINK_QUERY.sub(r"\1?…", printable(seen))
    if len(said) > QUOTE_LIMIT:
        said = said[: QUOTE_LIMIT - 1] + "…"
    return f': "{said}"' if said else ""


def identifier(text: str | None, secret: str) -> str | None:
    """Return an identifier as the server gave it, fit to be printed."""
    return text and (printable(hide_secret(text[:SIGHT], secret))[:QUOTE_LIMIT] or None)


def hide_secret(text: str, secret: str) -> str:
    """Undo the escapes of JSON and HTML, and hide the key in whatever form it was sent back."""
    once = _JSON_ESCAPE.sub(_unescape, text)  # twice: JSON may hold the text of another answer
    plain = html.unescape(_JSON_ESCAPE.sub(_unescape, once))
    if not secret:
        return plain
    for form in (secret, percent_encode(secret, safe="")):
        plain = re.sub(re.escape(form), "[key]", plain, flags=re.IGNORECASE)
    for length in range(len(secret) - 1, _SHORTEST_SECRET - 1, -1):
        if plain.endswith(secret[:length]):
            return plain[:-length] + "[key]"
    return plain


def _unescape(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16)) if escape[1] else escape[2]


def printable(text: str) -> str:
    """Put a text on one line, without control characters and lone surrogates."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
