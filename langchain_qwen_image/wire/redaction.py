"""A server's own words, as a message may show them: short, without key or signed links."""

import html
import re
from base64 import b64encode
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import quote as percent_encode

QUOTE_LIMIT = 200
"""Characters of a server's own text that a message shows."""
SIGHT = 20 * QUOTE_LIMIT
"""Characters that are looked at for a quotation: a page of megabytes must not hold us up."""
_SHORTEST_SECRET = 8
"""Characters of the key from which on it is hidden where a text ends in the middle of it."""
_TAGS = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)|<[^>]*>", re.DOTALL | re.IGNORECASE)
_LINK = re.compile(r"//[^\s\"'<>]+")
_WINDOW = 8 * SIGHT
_CUT_ESCAPE = re.compile(r"(?:\\+(?:u[0-9a-fA-F]{0,4})?|&[#\w]{0,10}|%[0-9a-fA-F]?)\Z")
_JSON_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|([\"\\/]))")

_ORDINARY = frozenset(
    "about above absent accept accepted access account activate active activity actual "
    "address admin again algorithm alibaba allow allowed already amount anonymous answer "
    "apikey application argument article authenticate authenticated authentication "
    "authorization authorize authorized available azure backend balance because been before "
    "billing blank blocked body call caller cannot card change changeme check client cloud "
    "code configuration configured connection contact content correct could create credential "
    "credit customer data default demo denied denies describe developer disabled document "
    "does domain done dummy either empty enable enabled endpoint ensure error example exceed "
    "exceeded exist exists expected expire expired failed failure false field file find first "
    "follow forbidden form format found from gateway generate generation given have header "
    "help here hidden host identifier image include included incorrect input instead "
    "insufficient internal into invalid issue item just language later length limit link list "
    "login long look maintenance make malformed management match maximum message method "
    "minimum minute missing mode model more most must name need never none null number object "
    "only operation other over page parameter parse pass password path payment permission "
    "permitted phrase pixazo placeholder plan please policy portal prompt provide provided "
    "proxy public quota qwen rate read reason received refused register rejected renew "
    "replace request require required resource response restricted result retry sample "
    "sandbox second secret secure send sent server service session should sign signature size "
    "some something sorry started status string subscribe subscription success such support "
    "supported system tenant test testing text than that their them there this time timeout "
    "token true unable unauthenticated unauthorised unauthorized unavailable undefined "
    "unexpected unknown update upgrade upstream usage user username valid validate value "
    "verify version wait wallet want welcome were what when where which while with within "
    "without wrong your".split(" ")
)
"""Words of gateways' own sentences, and of keys that stand in for one."""


def quote(text: str | None, secret: str) -> str:
    """Return what a server said as `: "…"`, short, on one line, without key or signed links."""
    seen = _TAGS.sub(" ", hide_secret(text or "", secret)[:SIGHT])
    said = _LINK.sub(_without_query, printable(seen))
    if len(said) > QUOTE_LIMIT:
        said = said[: QUOTE_LIMIT - 1] + "…"
    return f': "{said}"' if said else ""


def _without_query(link: re.Match[str]) -> str:
    query = re.search(r"[?#]", link[0][3:])
    return f"{link[0][: 3 + query.start()]}?…" if query else link[0]


def identifier(text: str | None, secret: str) -> str | None:
    """Return an identifier as the server gave it, fit to be printed."""
    return text and (printable(hide_secret(text, secret)[:SIGHT])[:QUOTE_LIMIT] or None)


def hide_secret(text: str, secret: str) -> str:
    """Undo the escapes of JSON and HTML, and hide the key in whatever form it was sent back.

    Only the beginning of a long text is looked at and returned: escapes shorten it by at most a
    factor that still leaves `SIGHT` characters.
    """
    seen = text[:_WINDOW]
    if len(text) > _WINDOW:
        seen = _CUT_ESCAPE.sub("", seen)
    once = _JSON_ESCAPE.sub(_unescape, seen)  # twice: JSON may hold the text of another answer
    plain = html.unescape(_JSON_ESCAPE.sub(_unescape, once))
    plain = without_secret(plain, secret)
    for length in range(len(secret) - 1, _SHORTEST_SECRET - 1, -1):
        if plain.endswith(secret[:length]):
            return plain[:-length] + "[key]"
    return plain


_LONGEST_ORDINARY = 40
_LONGEST_NUMBER = 5


def without_secret(text: str, secret: str) -> str:
    """Return a text with the key hidden, and otherwise unchanged."""
    if not secret:
        return text
    return _pattern(secret).sub("[key]", text)


@lru_cache(maxsize=16)
def _pattern(secret: str) -> re.Pattern[str]:
    """Return where a text has the key.

    A key that is made of words of ordinary sentences, as `invalid` or `YOUR_KEY` is while somebody
    sets things up, is hidden only in quotation marks: elsewhere it is the sentence's own word. No
    key that a gateway gives out is such a word.
    """
    escaped = percent_encode(secret, safe="")
    forms = "|".join(re.escape(form) for form in (secret, escaped))
    if is_ordinary(secret):
        return re.compile(rf"(?<=[\"'`=“‘])(?:{forms})(?=[\"'`&”’])")
    if len(secret) < _SHORTEST_SECRET:
        return re.compile(rf"(?<!\w)(?:{forms})(?!\w)", re.IGNORECASE)
    spaced = _SPACED.join(map(re.escape, secret))
    return re.compile("|".join((spaced, *_encoded(secret))), re.IGNORECASE)


_SPACED = r"(?:[\s\u200b-\u200d\u2060\ufeff]|<[^<>]{0,80}>)*"
"""What may be between two characters of the key, where a server breaks its lines or words."""


def _encoded(secret: str) -> Iterator[str]:
    """Return the forms of a key that a server may echo beside the key itself, as patterns."""
    key = secret.encode("utf-8", "surrogatepass")
    once = percent_encode(key, safe="")
    yield from map(re.escape, (once, percent_encode(once, safe=""), key.hex()))
    yield from ("".join(rf"{re.escape(mark)}{byte:02x}" for byte in key) for mark in ("%", r"\x"))
    for before in range(3):  # in base64 of a longer text, such as `user:key`, it has three forms
        text = b64encode(bytes(before) + key).decode()
        whole = text[(0, 2, 3)[before] : (before + len(key)) * 8 // 6]
        letters = ({"+": r"[+-]", "/": "[/_]"}.get(one, one) for one in whole)
        yield "".join(letters) + r"[\w+/-]{0,2}={0,2}"


def is_ordinary(secret: str) -> bool:
    """Say whether a key can be a word, a number or a sign of a gateway's own sentence."""
    if len(secret) > _LONGEST_ORDINARY:
        return False
    if secret.isdecimal() or not any(c.isalnum() for c in secret):
        return len(secret) <= _LONGEST_NUMBER
    return all(map(_is_ordinary_word, re.split(r"[-_ .]", secret.lower())))


def _is_ordinary_word(word: str) -> bool:
    is_short = word.isalpha() and len(word) <= 3
    return is_short or word in _ORDINARY or word.removesuffix("s") in _ORDINARY


def _unescape(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16)) if escape[1] else escape[2]


def printable(text: str) -> str:
    """Put a text on one line, without control characters and lone surrogates."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
