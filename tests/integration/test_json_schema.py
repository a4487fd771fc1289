"""JSON schemas are read as they are meant: by the judgement of the jsonschema package."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from langchain_qwen_image.integration.json_schema import problems

_scalars = st.none() | st.booleans() | st.integers(-3, 9) | st.sampled_from(["", "a", "abc", "1*1"])
_scalars |= st.sampled_from([0.5, 2.0])
_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=5,
)
_types = st.sampled_from(["string", "boolean", "integer", "number", "array", "object", "null"])
_count = st.integers(0, 4)
_leaf = st.fixed_dictionaries(
    {},
    optional={
        "type": _types | st.lists(_types, min_size=1, max_size=2, unique=True),
        "enum": st.lists(_scalars, min_size=1, max_size=3),
        "const": _scalars.filter(lambda value: value is not None),
        **dict.fromkeys(["minLength", "maxLength", "minItems", "maxItems"], _count),
        **dict.fromkeys(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"], _count),
        "pattern": st.sampled_from(["^a", "b", "[0-9]\\*"]),
    },
)
_schemas = st.recursive(
    _leaf | st.booleans(),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": _types,
            "items": inner,
            "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
            "required": st.lists(st.sampled_from("abc"), max_size=2, unique=True),
            "additionalProperties": inner,
            **dict.fromkeys(["anyOf", "oneOf", "allOf"], st.lists(inner, min_size=1, max_size=3)),
        },
    ),
    max_leaves=6,
)


@given(_schemas, _values)
def test_it_allows_what_the_reference_allows(schema: Any, value: Any) -> None:
    """A value has problems exactly when the reference implementation finds it invalid."""
    found = list(problems(schema, value))
    assert (not found) == Draft202012Validator(schema).is_valid(value), found


@pytest.mark.parametrize("pattern", [r"^\p{L}+$", "(?<a>x)", "["])
def test_a_pattern_of_another_language_is_no_limit(pattern: str) -> None:
    """ECMAScript's patterns that Python does not know are for the model to read."""
    assert list(problems({"pattern": pattern}, "a fox")) == []


def test_values_are_not_quoted() -> None:
    """A message says where and what was expected, and never what came."""
    schema = {"properties": {"a": {"items": {"enum": ["x", "y"]}}}, "required": ["b"]}
    found = list(problems(schema, {"a": ["x", "secret"]}))
    assert found == ["b is missing", "a.1: expected one of x, y"]
