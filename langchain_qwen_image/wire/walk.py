"""The last resort for an answer that is paid for: look for an image in whatever JSON came.

What it finds is a candidate. A name must be an image's, so that a link to a page of help, to an
input or to a logo is not taken for what was bought; and the bytes must be an image's in the end.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice

from langchain_qwen_image.wire.body_text import json_values
from langchain_qwen_image.wire.image_data import inline_image
from langchain_qwen_image.wire.links import IMAGE_SUFFIX, absolute_link, path_of

DEEPEST = 32
_COST_OF_A_STRING = 8
"""Levels that JSON within a string counts for: each one is read over again."""
MOST_NODES = 20_000
MOST_IMAGES = 100

_IMAGE_NAMES = frozenset({"image", "imageurl", "mediaurl", "outputurl", "resulturl"})
"""Names of an image's link, without capitals, underscores and the plural's s."""
_PLAIN_NAMES = frozenset({"url", "uri", "output"})
"""Names of an image's link if its path ends like one, or something beside it says `image/…`."""
_FORBIDDEN = frozenset(
    "input request prompt poll polling status response cancel webhook callback doc docs "
    "documentation help logo avatar preview thumbnail thumb icon favicon banner badge mask "
    "placeholder source original reference init control error profile terms next prev self".split(
        " "
    )
)
"""Words that no name on the way may have: such links are no image that was bought."""
_PAGE_SUFFIX = re.compile(
    r"\.(?:html?|php|aspx?|json|xml|txt|md|pdf|css|js|svg|gif|ico|zip|mp[34]|mov|webm)\Z", re.I
)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a value stands: its name, the name of what it is in, and what is said beside it."""

    name: str = ""
    parent: str = ""
    is_said_image: bool = False
    depth: int = 0


@dataclass(slots=True)
class _Found:
    """Links by their names: those of an image's name come before those of a plain one."""

    named: list[str] = field(default_factory=list)
    plain: list[str] = field(default_factory=list)


def find_images(values: Iterable[object], base_url: str) -> tuple[str, ...]:
    """Return what may be images in an answer's JSON: absolute links and `data:` URIs, distinct.

    Bounded in depth, nodes and finds, and linear in the size of the answer.
    """
    found = _Found()
    left = [(value, _Place()) for value in values][::-1]
    for _ in range(MOST_NODES):
        if not left or len(found.named) >= MOST_IMAGES:
            break
        value, place = left.pop()
        if isinstance(value, str):
            left += _look(value, place, found, base_url)
        elif place.depth < DEEPEST:
            left += [*islice(_children(value, place), MOST_NODES)][::-1]
    return tuple(dict.fromkeys(found.named or found.plain[:MOST_IMAGES]))


def _children(value: object, place: _Place) -> Iterable[tuple[object, _Place]]:
    if isinstance(value, list):
        inside = _deeper(place, 1)
        return ((child, inside) for child in value)
    if isinstance(value, dict):
        return _members(value, place)
    return ()


def _deeper(place: _Place, levels: int) -> _Place:
    return replace(place, depth=place.depth + levels)


def _members(value: Mapping[str, object], place: _Place) -> Iterable[tuple[object, _Place]]:
    is_said = any(isinstance(one, str) and one[:6].lower() == "image/" for one in value.values())
    for key, child in value.items():
        name = _name(key[:64])
        if name == "":  # a number: an array of PHP's, whose values are as those of a list
            yield child, _Place(place.name, place.parent, is_said, place.depth + 1)
        elif name is not None:
            yield child, _Place(name, place.name, is_said, place.depth + 1)


@lru_cache(maxsize=1024)
def _name(key: str) -> str | None:
    """Return a name in its plain form, such as `imageurl` for `image_urls`; None if forbidden."""
    words = [word.lower() for word in _WORD.findall(key)]
    if any(word in _FORBIDDEN or word.removesuffix("s") in _FORBIDDEN for word in words):
        return None
    return "".join(words).removesuffix("s")


def _look(text: str, place: _Place, found: _Found, base_url: str) -> list[tuple[object, _Place]]:
    """Note an image; return the JSON in a string, to be looked at too."""
    if text[:64].lstrip()[:1] in {"{", "["} and place.depth < DEEPEST:
        inside = _deeper(place, _COST_OF_A_STRING)
        return [(value, inside) for value in json_values(text)][::-1]
    inline = inline_image(text)
    if inline is not None:
        found.named.append(inline)
    elif place.name in _IMAGE_NAMES or place.name in _PLAIN_NAMES:
        _note_link(absolute_link(text, base_url), place, found)
    return []


def _note_link(link: str | None, place: _Place, found: _Found) -> None:
    if link is None or _PAGE_SUFFIX.search(path_of(link)):
        return
    if place.name in _IMAGE_NAMES or (place.parent in _IMAGE_NAMES and place.name != "output"):
        found.named.append(link)
    elif place.is_said_image or IMAGE_SUFFIX.search(path_of(link)):
        found.plain.append(link)
