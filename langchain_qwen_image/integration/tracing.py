"""What LangSmith is told: what a call cost, and nothing that a link's signature could leak."""

import logging
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import RunnableConfig

from langchain_qwen_image.concurrency.threads import in_thread
from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.wire.links import without_query

if TYPE_CHECKING:
    from langchain_qwen_image.result import ImageGenerationResult

IDENTITY = {"ls_provider": "pixazo", "ls_model_name": "qwen-image"}
"""Metadata by which LangSmith groups the costs of runs."""

THUMBNAIL_SIDE = 384
"""Pixels, the longest side of a copy that is attached to a run: less than any image has."""

logger = logging.getLogger("langchain_qwen_image")


def with_identity(config: RunnableConfig | None) -> RunnableConfig:
    """Return a configuration by whose metadata LangSmith groups the costs of runs."""
    given = config or {}
    return {**given, "metadata": {**IDENTITY, **(given.get("metadata") or {})}}


def checked_thumbnails(wanted: bool) -> bool:
    """Return whether small copies are attached to runs.

    Raises:
        ConfigurationError: They are wanted, and Pillow, which makes them, is not installed.
    """
    if wanted:
        try:
            import PIL  # noqa: F401
        except ImportError:
            pass
        else:
            return True
        raise ConfigurationError(
            "trace_thumbnails needs Pillow, which is not installed: "
            "pip install 'langchain-qwen-image[view]'"
        )
    return False


def report(result: "ImageGenerationResult", *, thumbnails: bool = False) -> "ImageGenerationResult":
    """Put a call's cost on the current run, see that no live link is uploaded; return the result.

    A saved image's link is dumped without its signature anyway. Where an image is not saved, the
    run's output becomes the artifact without signatures.

    Args:
        result: What the call bought.
        thumbnails: Attach a small copy of each image that need not be fetched.
    """
    run = _tell(result, thumbnails)
    if run is not None:
        _attach(run, result)
    return result


async def areport(
    result: "ImageGenerationResult", *, thumbnails: bool = False
) -> "ImageGenerationResult":
    """Async twin of `report`; copies are made beside the event loop."""
    run = _tell(result, thumbnails)
    if run is not None:
        await in_thread(_attach, run, result)
    return result


def _tell(result: "ImageGenerationResult", thumbnails: bool) -> Any:
    """Tell the current run all but the copies; return it if they are to be attached, else None."""
    report_cost(result.cost_usd)
    run = _current_run()
    if run is not None and any(image.path is None for image in result.images):
        artifact: Any = result.to_artifact()
        for image in artifact["images"]:
            image["url"] = image["url"] and without_query(image["url"])
        run.set(outputs={"output": artifact})
    return run if thumbnails else None


def report_cost(cost_usd: float) -> None:
    """Put the cost of a call, in US dollars, on the current run; without tracing do nothing."""
    run = _current_run()
    if run is not None and cost_usd > 0:
        run.set(usage_metadata={"total_cost": cost_usd})


def _attach(run: Any, result: "ImageGenerationResult") -> None:
    """Attach small copies; LangSmith takes no dot in a name. What fails is not worth a call."""
    from langchain_qwen_image.rendering.thumbnail import thumbnail

    for image in result.images:
        try:
            content = image.cached_bytes()
            if content is not None:
                small, mime_type = thumbnail(content, max_side=THUMBNAIL_SIDE)
                run.attachments[f"image-{image.id}"] = (mime_type, small)
        except Exception as error:  # the image is paid for, and its run is only for looking at
            logger.warning("image %s is not attached to its run: %s", image.id, error)


def _current_run() -> Any:
    from langsmith import get_current_run_tree

    return get_current_run_tree()
