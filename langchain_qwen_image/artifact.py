"""What a tool message carries beside its sentence: a result as plain JSON."""

from typing import NotRequired, TypedDict

from langchain_qwen_image.schemas import GivenParameters

SCHEMA = 1
"""Version of the artifact's shape; it changes when a reader has to."""


class ImageArtifact(TypedDict):
    """One image as JSON; times are ISO 8601 in UTC, sizes in pixels and bytes."""

    id: str
    url: str | None
    expires_at: str | None
    width: int | None
    height: int | None
    mime_type: str | None
    path: str | None
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
