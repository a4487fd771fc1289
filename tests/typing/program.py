"""A program over the public API, as its users write it; mypy and pyright, both strict, pass it.

It is never run. `api.py` says the types one by one; here are the loops that the docs show.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any, assert_type

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool

from langchain_qwen_image import (
    Account,
    Budget,
    GeneratedImage,
    ImageGenerationResult,
    QwenImageClient,
    QwenImageGenerator,
    QwenImageTool,
    QwenImageToolkit,
)
from langchain_qwen_image.bulk import BulkOutcome, BulkRequest
from langchain_qwen_image.errors import QwenImageError, RateLimitError


def catalogue(generator: QwenImageGenerator) -> Iterator[tuple[str | None, int | None]]:
    """Buy many images, and look at what exists."""
    requests = [BulkRequest("a fox", id="fox"), BulkRequest({"prompt": "a hare"}, id="hare")]
    for outcome in generator.generate_many(requests, run="cards"):
        assert_type(outcome, BulkOutcome)
        if outcome.image is not None:
            assert_type(outcome.image, GeneratedImage)
            assert_type(outcome.result, ImageGenerationResult | Any)
            yield outcome.id, outcome.image.width
        else:
            yield outcome.reason, outcome.error.status_code if outcome.error else None
        if outcome.is_there:
            yield outcome.id, outcome.result.image.width


async def acatalogue(generator: QwenImageGenerator) -> AsyncIterator[str]:
    """Do the same for asyncio."""
    async for outcome in generator.generate_many(["a fox"], resume=False):
        if outcome.image:
            yield outcome.image.path or outcome.image.id


def chain(budget: Budget) -> list[ImageGenerationResult]:
    """Generate from a prompt template."""
    generator = QwenImageGenerator(save_to="images", budget=budget, account=Account("calls.db"))
    steps: Runnable[dict[str, Any], ImageGenerationResult]
    steps = ChatPromptTemplate.from_template("One {thing}") | generator
    return steps.batch([{"thing": "fox"}, {"thing": "hare"}])


def drawn(agent: Runnable[dict[str, Any], dict[str, Any]]) -> Iterator[bytes]:
    """Read what an agent drew; LangChain's own `create_agent` is not strict for pyright."""
    assert_type(QwenImageToolkit(save_to="images", size="512*512").get_tools(), list[BaseTool])
    state = agent.invoke({"messages": [HumanMessage("Draw a fox.")]})
    for result in ImageGenerationResult.all_from(state):
        yield result.image.read()


async def one(client: QwenImageClient) -> float:
    """Generate one image with the plain client."""
    try:
        result = await client.agenerate("a fox", size="512*512", idempotency_key="order-17")
    except RateLimitError as error:
        return error.retry_after or 0.0
    except QwenImageError as error:
        return float(error.may_have_been_billed)
    await result.image.asave("fox.png", overwrite=True)
    return result.cost_usd


def by_hand(tool: QwenImageTool) -> ImageGenerationResult | None:
    """Make a tool call, and bring its result back."""
    message = tool.invoke({"name": tool.name, "args": {"prompt": "a fox"}, "id": "1"})
    if isinstance(message, ToolMessage) and message.status == "success":
        return ImageGenerationResult.from_artifact(message.artifact)
    return None
