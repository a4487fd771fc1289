"""What an answer's bytes say, whatever they are wrapped in: text, and the JSON in it.

The content decides, not its label: a charset is looked at only where the bytes leave it open, and
JSON is found also in a JSON string, before other bytes, in frames of server-sent events, one value
per line, and behind what servers put before it (JSONP, `)]}'`, a chunk's length).
"""

import json
import re
from collections.abc import Iterator
from email.message import Message

_PADDING = " \t\r\n\0\ufeff"
_STRINGS_IN_STRINGS = 3
_MOST_VALUES = 1000
"""Values of JSON one after another, and frames, that are read; an answer has a few."""
_CHARSETS = frozenset(
    "ascii utf-16 utf-16-le utf-16-be utf-32 utf-32-le utf-32-be iso-8859-1 latin-1 windows-1252 "
    "cp1252 gbk gb2312 gb18030 big5 shift_jis euc-jp euc-kr".split(" ")
)
"""Charsets that are taken at their word. Not all of Python's: some of them need quadratic time."""
_SPACE = re.compile(r"[\s\0]*")
_BEFORE_JSON = re.compile(
    r"""(?: \)\]\}',?                              # against inclusion as a script
          | (?:while\s*\(1\)|for\s*\(;;\)) \s* ;
          | (?:/\*\*/\s*)? [\w$.]{1,100} \s* \(    # JSONP
          | ```(?:json)?\s
          | [0-9a-fA-F]{1,8}\r\n                   # the length of a chunk, when chunked twice
          | [\x1e]                                 # RFC 7464
        ) \s*""",
    re.VERBOSE,
)
_EVENT_FIELD = re.compile(r"(?:data|event|id|retry)?:")
_LINE_END = re.compile(r"\r\n|\n|\r")
_OBJECT_ON_A_LINE = re.compile(r"[\r\n][ \t]*(?=\{)")
_LONGEST_LOG = 4096
_DECODER = json.JSONDecoder(strict=False)


def decode(body: bytes, content_type: str) -> str:
    """Return the text of a body, whatever its encoding; what cannot be read becomes U+FFFD."""
    encoding = json.detect_encoding(body)
    if encoding != "utf-8":
        return body.decode(encoding, "replace")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return body.decode(_declared(content_type) or "utf-8", "replace")


def _declared(content_type: str) -> str | None:
    message = Message()
    message["content-type"] = " ".join(content_type[:200].split())
    charset = str(message.get_param("charset", "")).lower()
    return charset if charset in _CHARSETS else None


def json_values(text: str) -> list[object]:
    """Return the JSON in a text, mostly one value, in order; nothing where there is none."""
    return list(_values(text, _STRINGS_IN_STRINGS))


def is_markup(text: str) -> bool:
    """Say whether a text is a page of HTML or XML."""
    return text[:200].lstrip(_PADDING).startswith("<")


def _values(text: str, strings: int) -> Iterator[object]:
    text = text.strip(_PADDING)
    for value in _one_after_another(text) or _framed(text) or _after_a_log(text):
        inner = list(_values(value, strings - 1)) if isinstance(value, str) and strings else []
        yield from inner or [value]


def _one_after_another(text: str) -> list[object]:
    """Return the values that stand at the start; what follows the last one is no JSON."""
    before = _BEFORE_JSON.match(text)
    place = before.end() if before else 0
    values: list[object] = []
    while place < len(text) and len(values) < _MOST_VALUES and text[place] in '{["':
        found = _decoded(text, place)
        if found is None:
            break
        value, place = found
        values.append(value)
        place = _SPACE.match(text, place).end()  # type: ignore[union-attr] # matches everywhere
    return values


def _framed(text: str) -> list[object]:
    """Return the values of server-sent events, a frame each (the HTML standard, 9.2.6)."""
    if not _EVENT_FIELD.match(text):
        return []
    values: list[object] = []
    data: list[str] = []
    for line in _lines(text):
        if line.startswith("data:"):
            data.append(line[5:].strip(_PADDING))
        elif not line and data:
            values += _one_after_another("\n".join(data))
            data = []
        if len(values) >= _MOST_VALUES:
            break
    return values


def _lines(text: str) -> Iterator[str]:
    start = 0
    for end in _LINE_END.finditer(text):
        yield text[start : end.start()]
        start = end.end()
    yield text[start:]
    yield ""


def _after_a_log(text: str) -> list[object]:
    """Return an object that has a line of its own and ends the text: a server logged above."""
    line = _OBJECT_ON_A_LINE.search(text, 0, _LONGEST_LOG)
    found = _decoded(text, line.end()) if line and text.endswith("}") else None
    return [found[0]] if found and found[1] == len(text) else []


def _decoded(text: str, place: int) -> tuple[object, int] | None:
    try:
        return _DECODER.raw_decode(text, place)
    except (json.JSONDecodeError, RecursionError):
        return None
    except ValueError:  # an integer of more than 4,300 digits, which Python does not read
        return _decoded_with_any_number(text, place)


def _decoded_with_any_number(text: str, place: int) -> tuple[object, int] | None:
    try:
        return json.JSONDecoder(strict=False, parse_int=_short_integer).raw_decode(text, place)
    except (ValueError, RecursionError):
        return None


def _short_integer(digits: str) -> int | None:
    return int(digits) if len(digits) < 100 else None
