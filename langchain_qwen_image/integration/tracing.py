"""What LangSmith is told: what a call cost, and nothing that a link's signature could leak."""

from typing import TYPE_CHECKING, Any

from langchain_core.runnables import RunnableConfig

from langchain_qwen_image.wire.links import without_query

if TYPE_CHECKING:
    from langchain_qwen_image.result import ImageGenerationResult

IDENTITY = {"ls_provider": "pixazo", "ls_model_name": "qwen-image"}
"""Metadata by which LangSmith groups the costs of runs."""


def with_identity(config: RunnableConfig | None) -> RunnableConfig:
    """Return a configuration by whose metadata LangSmith groups the costs of runs."""
    given = config or {}
    return {**given, "metadata": {**IDENTITY, **(given.get("metadata") or {})}}


def report(result: "ImageGenerationResult") -> "ImageGenerationResult":
    """Put a call's cost on the current run, see that no live link is uploaded; return the result.

    A saved image's link is dumped without its signature anyway. Where an image is not saved, the
    run's output becomes the artifact without signatures.
    """
    report_cost(result.cost_usd)
    run = _current_run()
    if run is not None and any(image.path is None for image in result.images):
        artifact: Any = result.to_artifact()
        for image in artifact["images"]:
            image["url"] = image["url"] and without_query(image["url"])
        run.set(outputs={"output": artifact})
    return result


def report_cost(cost_usd: float) -> None:
    """Put the cost of a call, in US dollars, on the current run; without tracing do nothing."""
    run = _current_run()
    if run is not None and cost_usd > 0:
        run.set(usage_metadata={"total_cost": cost_usd})


def _current_run() -> Any:
    from langsmith import get_current_run_tree

    return get_current_run_tree()
