"""Faces that do not wait between attempts."""

from dataclasses import replace
from typing import Any

from langchain_qwen_image.concurrency.runtime import Asyncio, Blocking


async def at_once(_: float) -> None:
    """Wait for nothing."""


def quick(face: Any) -> Any:
    """Let a tool or a generator wait for nothing between attempts, and return it."""
    face._pipelines[:] = [
        replace(face.pipeline, blocking=Blocking(lambda _: None), asyncio=Asyncio(at_once))
    ]
    return face
