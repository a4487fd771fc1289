"""Take out of a report and a cassette what must not be shown: the key, and what signs a link.

`testing.scrub` knows the names that signatures usually have. Nobody has seen the gateway's links,
so here every field of a link's query counts as a secret, but the few that say when it expires.
"""

import re
from collections.abc import Iterator

from langchain_qwen_image.checks.live_evidence import Evidence, LiveCall
from langchain_qwen_image.testing.scrub import REDACTED, scrub_text
from langchain_qwen_image.wire.body_text import decode
from langchain_qwen_image.wire.image_data import image_type
from langchain_qwen_image.wire.links import is_inline
from langchain_qwen_image.wire.redaction import is_ordinary, without_secret

_OPEN = frozenset(
    "expires x-oss-date x-oss-expires x-oss-signature-version x-amz-algorithm x-amz-date "
    "x-amz-expires x-amz-signedheaders x-goog-date x-goog-expires".split(" ")
)
"""Names of fields that say when a link expires, or how it is signed: no secret."""
_QUERY = re.compile(r"\?([^\s\"'<>]+)")
_BETWEEN = re.compile(r"&amp;|\\+u0026|&")
_SHORTEST_VALUE = 12
"""Characters of a value from which on it cannot be in a text by chance."""
_WIDE = ("utf-16-le", "utf-16-be")


class Scrubber:
    """Knows the secrets of a live check, and takes them out of text.

    Args:
        key: The API key.
        evidence: What the check saw; its links are what is looked for.
    """

    def __init__(self, key: str, evidence: Evidence) -> None:
        """Collect the secrets."""
        self._key = key
        self._fields = {
            name_and_value
            for text in _texts(evidence)
            for query in _QUERY.findall(text)
            for name_and_value in _secret_fields(query)
        }

    def text(self, text: str) -> str:
        """Return a text without key and signatures."""
        for name, value in sorted(self._fields, key=lambda it: -len(it[1])):
            text = text.replace(f"{name}{value}", f"{name}{REDACTED}")
        return without_secret(scrub_text(text), self._key)

    def body(self, body: bytes) -> bytes:
        """Return a body without key and signatures, whatever its charset; an image as it is."""
        if image_type(body[:16]) is not None:
            return body
        try:
            return self.text(body.decode()).encode()
        except UnicodeDecodeError:
            body = self.text(body.decode("latin-1")).encode("latin-1", "replace")
        for charset in _WIDE:
            for name, value in self._fields:
                secret, shown = f"{name}{value}", f"{name}{REDACTED}"
                body = body.replace(secret.encode(charset), shown.encode(charset))
            body = body.replace(self._key.encode(charset), REDACTED.encode(charset))
        return body

    def leaks(self, content: str) -> bool:
        """Say whether a finished file has a secret all the same."""
        values = [value for _, value in self._fields if len(value) >= _SHORTEST_VALUE]
        if not is_ordinary(self._key):
            values.append(self._key)
        return any(value in content for value in values)


def _secret_fields(query: str) -> Iterator[tuple[str, str]]:
    for field in _BETWEEN.split(query.partition("#")[0]):
        name, is_named, value = field.rstrip("\\").partition("=")
        if not is_named:
            name, value = "?", name
        if value and name.lower() not in _OPEN:
            yield (f"{name}=" if is_named else name), value


def _texts(evidence: Evidence) -> Iterator[str]:
    for call in evidence.calls:
        yield from _texts_of(call)


def _texts_of(call: LiveCall) -> Iterator[str]:
    for exchange in call.exchanges:
        yield exchange.url
        yield from exchange.headers.values()
        if image_type(exchange.body[:16]) is None:
            yield decode(exchange.body, exchange.headers.get("content-type", ""))
    for answer in call.image_answers:
        yield answer.link
        yield from answer.headers.values()
    images = call.result.images if call.result is not None else []
    yield from (one.url for one in images if one.url and not is_inline(one.url))
