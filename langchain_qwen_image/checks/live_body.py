"""What the body of an answer is like: where its images are, and its outline without any text."""

import json
from collections.abc import Iterator
from typing import Any

from langchain_qwen_image.checks.live_exchange import Exchange
from langchain_qwen_image.wire.body_text import decode, json_values
from langchain_qwen_image.wire.error_body import top_objects
from langchain_qwen_image.wire.image_data import image_type

DOCUMENTED = "output.choices[].message.content[].image"
SECOND = "images[].url"
_DEEPEST = 8
_MOST = 30


def kind_of(exchange: Exchange) -> str:
    """Say what a body is: a JSON object in UTF-8, an image, or something else."""
    media_type = image_type(exchange.body[:16])
    if media_type is not None:
        return f"the image itself ({media_type})"
    if not exchange.body:
        return "nothing"
    try:
        value = json.loads(exchange.body.decode())
    except (ValueError, RecursionError):
        inside = "JSON in another form" if objects_in(exchange) else "no JSON"
        return f"{inside}: not a JSON object in UTF-8"
    return "a JSON object in UTF-8" if isinstance(value, dict) else "JSON, but no object"


def is_json_object(exchange: Exchange) -> bool:
    """Say whether the body is what the document promises: one JSON object in UTF-8."""
    return kind_of(exchange) == "a JSON object in UTF-8"


def objects_in(exchange: Exchange) -> list[dict[str, Any]]:
    """Return the objects that the body consists of, whatever it is wrapped in."""
    if image_type(exchange.body[:16]) is not None:
        return []
    text = decode(exchange.body, exchange.headers.get("content-type", ""))
    return top_objects(json_values(text))


def last_object(exchange: Exchange) -> dict[str, Any]:
    """Return the last of them; an empty one if there is none."""
    objects = objects_in(exchange)
    return objects[-1] if objects else {}


def images_at(top: dict[str, Any]) -> tuple[str | None, list[str]]:
    """Return in which documented place an answer names its images, and how it names them."""
    by_document = list(_strings(top, ["output", "choices", 0, "message", "content", 0, "image"]))
    if by_document:
        return DOCUMENTED, by_document
    second = list(_strings(top, ["images", 0, "url"]))
    return (SECOND, second) if second else (None, [])


def _strings(value: object, way: list[str | int]) -> Iterator[str]:
    """Yield what is at the end of a way of names; 0 is every member of a list."""
    if not way:
        if isinstance(value, str):
            yield value
        return
    name, *rest = way
    if name == 0:
        for member in value if isinstance(value, list) else []:
            yield from _strings(member, rest)
    elif isinstance(value, dict):
        yield from _strings(value.get(name), rest)


def outline(value: object, depth: int = 0) -> object:
    """Return the names and kinds in JSON: numbers and null as they are, no text."""
    if depth > _DEEPEST:
        return "…"
    if isinstance(value, dict):
        members = list(value.items())[:_MOST]
        return {str(name): outline(one, depth + 1) for name, one in members}
    if isinstance(value, list):
        return [outline(one, depth + 1) for one in value[:3]]
    return _kind_of_text(value) if isinstance(value, str) else value


def _kind_of_text(text: str) -> str:
    start = text.strip()[:8].lower()
    if start.startswith("data:"):
        return "data: URI"
    if start.startswith(("http:", "https:", "//")):
        return "link"
    return "text" if text else "empty text"
