"""What a tool message carries beside its sentence: a result as plain JSON, and how it is found."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import fields, is_dataclass
from typing import Any, NotRequired, TypeAlias, TypeVar

from pydantic import BaseModel
from typing_extensions import TypedDict

from langchain_qwen_image.schemas import GivenParameters

_T = TypeVar("_T")
_Artifact: TypeAlias = Mapping[str, Any]
_END = object()

SCHEMA = 1
"""Version of the artifact's shape; it changes when a reader has to."""


class ImageArtifact(TypedDict):
    """One image as JSON; times are ISO 8601 in UTC, sizes in pixels and bytes.

    Where `public_url` is used, `path` is the image's key below `save_to`, not the server's path.
    """

    id: str
    url: str | None
    expires_at: str | None
    width: int | None
    height: int | None
    mime_type: str | None
    path: str | None
    public_url: NotRequired[str | None]
    sha256: str | None
    size_bytes: int | None
    download_error: str | None


class ResultArtifact(TypedDict):
    """A result as JSON scalars, lists and dicts only, so that it survives any checkpoint.

    Artifacts of version 0.1 lack what is not required.
    """

    schema: NotRequired[int]
    images: list[ImageArtifact]
    prompt: str
    parameters: GivenParameters
    model: str
    request_id: str | None
    finish_reason: str | None
    cost_usd: float
    created_at: str
    sandbox: bool
    call_id: NotRequired[str | None]
    warnings: NotRequired[list[str]]
    replayed: NotRequired[bool]
    first_cost_usd: NotRequired[float | None]


def found_in(given: object, kind: type[_T]) -> Iterator[_T | _Artifact]:
    """Yield the objects of a kind, and the artifacts of results, that are anywhere in a value.

    Looked into, in order, are mappings, lists, tuples, sets, pydantic models, among them messages,
    and dataclasses, each object once. Nothing is called and no iterator is read.
    """
    seen: dict[int, object] = {}
    ways = [iter((given,))]
    while ways:
        part: Any = next(ways[-1], _END)
        if part is _END:
            ways.pop()
        elif isinstance(part, kind) or (isinstance(part, Mapping) and _is_artifact(part)):
            yield part
        elif id(part) not in seen and (inner := _parts(part)) is not None:
            seen[id(part)] = part
            ways.append(iter(inner))


def _is_artifact(given: Mapping[Any, Any]) -> bool:
    """Say whether it is shaped as a result's artifact; another tool's is not."""
    if not given.keys() >= ResultArtifact.__required_keys__:
        return False
    images = given["images"]
    return bool(images) and isinstance(images, list | tuple) and all(map(_is_image, images))


def _is_image(given: object) -> bool:
    return isinstance(given, Mapping) and given.keys() >= ImageArtifact.__required_keys__


def _parts(given: object) -> Iterable[Any] | None:
    if isinstance(given, Mapping):
        return given.values()
    if isinstance(given, list | tuple | Set | deque):
        return given
    if isinstance(given, BaseModel):
        return [*vars(given).values(), *(given.model_extra or {}).values()]
    if is_dataclass(given) and not isinstance(given, type):
        return [getattr(given, field.name, None) for field in fields(given)]
    return None
