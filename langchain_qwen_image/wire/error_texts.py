"""Texts and codes of a refusal, wherever in its JSON they stand, most telling places first.

What echoes the request (`input`, `prompt`, `parameters` …) is left out: words of a prompt are no
verdict.
"""

import json
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

LONGEST = 4000
"""Characters of one text that are looked at."""
_MOST_NODES = 2000
_DEEPEST = 10
_MOST_TEXTS = 50

_CODE_NAMES = frozenset({"code", "errorcode", "errcode", "errortype", "errorname"})
_CODE_NAMES_IN_ERRORS = frozenset({"type", "status", "reason", "kind"})
_SENTENCE_NAMES = frozenset(
    "message msg errormessage errormsg errmsg detail details errordescription faultstring "
    "failurereason failreason failedreason failurecode statusmessage statustext".split(" ")
)
_TEXT_NAMES = _SENTENCE_NAMES | frozenset(
    "error errors err title reason cause fault exception hint info warning description".split(" ")
)
_ERROR_NAMES = frozenset({"error", "errors", "err", "fault", "exception", "cause", "detail"})
_ECHOES = frozenset(
    "input inputs prompt negativeprompt request parameters params payload loc path headers "
    "traceback stack original requestid activityid traceid messages url instance".split(" ")
)
_FIELDS_IN_ERRORS = frozenset({"prompt", "negativeprompt", "parameters"})
"""Fields that validators name their findings by: `{"errors": {"prompt": ["is too long"]}}`."""
_NOTHING = frozenset({"", "null", "none", "nil", "undefined", "false", "0", "n/a", "{}", "[]"})


@dataclass(frozen=True, slots=True)
class ErrorText:
    """A text or a code, and where it stood."""

    text: str
    is_code: bool
    is_well_named: bool


def is_nothing(value: object) -> bool:
    """Say whether a value says nothing: serialisers write `null`, `""`, or an object of them."""
    left = [value]
    for _ in range(_MOST_NODES):
        if not left:
            return True
        one = left.pop()
        if isinstance(one, dict | list):
            left += islice(one.values() if isinstance(one, dict) else one, _MOST_NODES)
        elif one and not (isinstance(one, str) and one[:20].strip().lower() in _NOTHING):
            return False
    return False


def error_texts(values: Iterable[object]) -> list[ErrorText]:
    """Return texts and codes under the names of one, from the outside in, bounded in number."""
    return _search(values, is_error=False)


def texts_without_names(values: Iterable[object]) -> list[ErrorText]:
    """Return every text of two words or more, for answers in which no name is an error's."""
    return [text for text in _search(values, is_error=True) if not text.is_code]


def _search(values: Iterable[object], *, is_error: bool) -> list[ErrorText]:
    left = deque(_Place(value, "", is_error, 0) for value in values)
    found: list[ErrorText] = []
    for _ in range(_MOST_NODES):
        if not left or len(found) >= _MOST_TEXTS:
            break
        place = left.popleft()
        text = _text_of(place.value)
        found += _named(text, place)
        if place.depth < _DEEPEST:
            left += _inside(place, text)
    return found


@dataclass(frozen=True, slots=True)
class _Place:
    value: object
    name: str
    is_error: bool
    depth: int


def _inside(place: _Place, text: str) -> Iterator[_Place]:
    value, depth = place.value, place.depth + 1
    if isinstance(value, dict):
        for key, child in islice(value.items(), _MOST_NODES):
            name = re.sub(r"[\W_]+", "", key[:64]).lower()
            is_echo = name in _ECHOES and not (place.is_error and name in _FIELDS_IN_ERRORS)
            if not is_echo:
                yield _Place(child, name, place.is_error or name in _ERROR_NAMES, depth)
    elif isinstance(value, list):
        for child in value[:_MOST_NODES]:
            yield _Place(child, place.name, place.is_error, depth)
    for inner in _json_within(text):
        yield _Place(inner, "error", True, depth + 2)


def _text_of(value: object) -> str:
    if isinstance(value, str):
        return value[:LONGEST].strip()
    is_number = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**9
    return str(value) if is_number else ""


def _named(text: str, place: _Place) -> Iterator[ErrorText]:
    if text.lower() in _NOTHING:
        return
    is_word = " " not in text
    if place.name in _CODE_NAMES or (
        is_word and place.is_error and place.name in _CODE_NAMES_IN_ERRORS
    ):
        yield ErrorText(text, True, place.name in _CODE_NAMES)
    elif not text.isdecimal() and (place.name in _TEXT_NAMES or (place.is_error and not is_word)):
        yield ErrorText(text, False, place.name in _SENTENCE_NAMES)


def _json_within(text: str) -> list[object]:
    """Return the object in a text: relays put the answer that they got into a message."""
    start = text.find("{")
    if start < 0:
        return []
    try:
        return [json.JSONDecoder(strict=False).raw_decode(text, start)[0]]
    except (ValueError, RecursionError):
        return []
