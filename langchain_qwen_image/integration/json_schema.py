"""What a JSON schema says of arguments: its defaults, and the limits that schemas of tools use.

Of JSON Schema 2020-12 these keywords are known: type, enum, const, the limits of texts, numbers and
lists, pattern, items, properties, required, additionalProperties, anyOf, oneOf, allOf, $ref. What
else a schema says is for the model to read.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_TYPES: dict[str, Any] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "array": list,
    "object": Mapping,
    "null": type(None),
}
_NUMBER = _TYPES["number"]


def _equal(value: object, other: object) -> bool:
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def _matches(value: str, pattern: str) -> bool:
    try:
        return bool(re.search(pattern, value))
    except re.error:  # JSON Schema's are those of ECMAScript, which Python may not know
        return True


_LIMITS: dict[str, tuple[Any, Callable[[Any, Any], bool], str]] = {
    "enum": (object, lambda value, limit: any(_equal(value, one) for one in limit), "one of {}"),
    "const": (object, lambda value, limit: _equal(value, limit), "{}"),
    "minLength": (str, lambda value, limit: len(value) >= limit, "at least {} characters"),
    "maxLength": (str, lambda value, limit: len(value) <= limit, "at most {} characters"),
    "pattern": (str, _matches, "a text like {}"),
    "minimum": (_NUMBER, lambda value, limit: value >= limit, "at least {}"),
    "maximum": (_NUMBER, lambda value, limit: value <= limit, "at most {}"),
    "exclusiveMinimum": (_NUMBER, lambda value, limit: value > limit, "more than {}"),
    "exclusiveMaximum": (_NUMBER, lambda value, limit: value < limit, "less than {}"),
    "minItems": (list, lambda value, limit: len(value) >= limit, "at least {} items"),
    "maxItems": (list, lambda value, limit: len(value) <= limit, "at most {} items"),
}
_CHOICES: dict[str, range] = {"anyOf": range(1, 1000), "oneOf": range(1, 2)}
"""How many of the choices a value may be."""


def defaults(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults of a schema's properties."""
    parts = schema.get("properties", {}).items()
    return {n: part["default"] for n, part in parts if isinstance(part, dict) and "default" in part}


def problems(schema: Any, value: Any, name: str = "") -> Iterator[str]:
    """Say in words what of a value the schema does not allow; the value is not quoted.

    Args:
        schema: A JSON schema without references.
        value: What it is to describe.
        name: What the value is called; empty for the arguments as a whole.
    """
    if schema is False:
        yield f"{name} is not an argument"
    if not isinstance(schema, Mapping):
        return
    told = name or "the arguments"
    types = schema.get("type", list(_TYPES))
    types = [types] if isinstance(types, str) else types
    if not any(_is_a(kind, value) for kind in types):
        yield f"{told}: expected {' or '.join(types)}"
        return
    for keyword, (kind, holds, words) in _LIMITS.items():
        limit = schema.get(keyword)
        if limit is not None and _is_a(kind, value) and not holds(value, limit):
            some = ", ".join(map(str, limit)) if isinstance(limit, list) else limit
            yield f"{told}: expected {words.format(some)}"
    for keyword, allowed in _CHOICES.items():
        choices = schema.get(keyword)
        if choices and sum(not [*problems(one, value)] for one in choices) not in allowed:
            yield f"{told}: expected what {keyword} in the schema describes"
    for one in schema.get("allOf", []):
        yield from problems(one, value, name)
    yield from _problems_of_parts(schema, value, f"{name}." if name else "")


def _problems_of_parts(schema: Mapping[str, Any], value: Any, place: str) -> Iterator[str]:
    if isinstance(value, list):
        for number, part in enumerate(value):
            yield from problems(schema.get("items"), part, f"{place}{number}")
    if isinstance(value, Mapping):
        for name in schema.get("required", []):
            if name not in value:
                yield f"{place}{name} is missing"
        others = schema.get("additionalProperties")
        for name, part in value.items():
            yield from problems(schema.get("properties", {}).get(name, others), part, place + name)


def _is_a(kind: Any, value: object) -> bool:
    """Say whether a value is of a type; a boolean is no number, though Python says so."""
    wanted = _TYPES.get(kind, object) if isinstance(kind, str) else kind
    if isinstance(value, bool):
        return wanted in (bool, object)
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, wanted)
