"""The public API as a type checker sees it; read by `mypy --strict`, never run."""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, assert_type

import httpx
import httpx2
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.messages.content import ImageContentBlock
from langchain_core.prompts import PromptTemplate
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool, ToolException
from pydantic import SecretStr
from starlette.types import ASGIApp

from langchain_qwen_image import (
    Budget,
    GeneratedImage,
    ImageGenerationResult,
    QwenImageClient,
    QwenImageError,
    QwenImageGenerator,
    QwenImageInput,
    QwenImageTool,
    QwenImageToolkit,
    TextToImageRequest,
    TextToImageResponse,
    __version__,
)
from langchain_qwen_image.artifact import ResultArtifact
from langchain_qwen_image.errors import RateLimitError
from langchain_qwen_image.middleware import QwenImageVisionMiddleware
from langchain_qwen_image.serving import image_app
from langchain_qwen_image.view import place_images

version: str = __version__


def settings(client: httpx.Client, async_client: httpx.AsyncClient, budget: Budget) -> None:
    """Both faces take all settings by name."""
    QwenImageTool()
    QwenImageTool(sandbox=True, size="512*512", watermark=False, save_to="images")
    QwenImageTool(save_to="images", public_url="https://app.example/images")
    QwenImageGenerator(save_to="images", public_url=lambda key: f"https://cdn.example/{key}")
    app: ASGIApp = image_app("images", cache_control="no-cache")
    assert_type(app, ASGIApp)
    QwenImageGenerator(
        api_key=SecretStr("k"),
        base_url="https://gateway.example",
        timeout=60,
        max_retries=0,
        negative_prompt="fog",
        prompt_extend=False,
        save_to=Path("images"),
        max_image_bytes=1_000_000,
        account=Path("calls.db"),
        budget=budget,
        price_usd=0.045,
        http_client=client,
        http_async_client=async_client,
    )
    QwenImageClient(api_key="k", http_client=client, http_async_client=async_client)
    QwenImageTool(http_client=httpx2.Client(), http_async_client=httpx2.AsyncClient())
    QwenImageClient(http_client=httpx2.Client(), http_async_client=httpx2.AsyncClient())
    QwenImageClient(http_client=async_client)  # type: ignore[arg-type]


def client(client: QwenImageClient, arguments: QwenImageInput) -> None:
    """The client gives results, and is a context manager."""
    assert_type(client.generate("a fox"), ImageGenerationResult)
    assert_type(client.generate("a fox", size="512x512", watermark=False), ImageGenerationResult)
    assert_type(client.generate(arguments), ImageGenerationResult)
    with client as same:
        assert_type(same, QwenImageClient)
    client.generate("a fox", seed=1)  # type: ignore[call-arg]
    client.generate(7)  # type: ignore[arg-type]


async def async_client(client: QwenImageClient) -> None:
    """The same for asyncio."""
    assert_type(await client.agenerate("a fox", negative_prompt="fog"), ImageGenerationResult)
    async with client as same:
        assert_type(same, QwenImageClient)


def generator(generator: QwenImageGenerator) -> None:
    """The generator is a runnable from any input to a result."""
    assert_type(generator.invoke("a fox"), ImageGenerationResult)
    assert_type(generator.invoke([HumanMessage("a fox")], size="512*512"), ImageGenerationResult)
    assert_type(generator.batch(["a fox", "a hare"]), list[ImageGenerationResult])
    assert_type(generator.stream("a fox"), Iterator[ImageGenerationResult])
    assert_type(generator.astream("a fox"), AsyncIterator[ImageGenerationResult])
    chain: Runnable[dict[str, Any], ImageGenerationResult] = (
        PromptTemplate.from_template("{animal}") | generator
    )
    assert_type(chain.invoke({"animal": "a fox"}), ImageGenerationResult)
    assert_type(generator.as_tool(QwenImageInput, description="Draws."), QwenImageTool)


async def async_generator(generator: QwenImageGenerator) -> None:
    """The same for asyncio."""
    assert_type(await generator.ainvoke({"prompt": "a fox"}), ImageGenerationResult)
    assert_type(await generator.abatch(["a fox"]), list[ImageGenerationResult])


def tool(tool: QwenImageTool) -> None:
    """The tool is a tool."""
    as_tool: BaseTool = tool
    assert_type(as_tool.name, str)
    assert_type(tool.as_tool(name="draw"), QwenImageTool)
    assert_type(tool._run(prompt="a fox").content, str)
    assert_type(QwenImageToolkit(sandbox=True).get_tools(), list[BaseTool])


def result(result: ImageGenerationResult) -> None:
    """A result knows its images, its price and its artifact."""
    assert_type(result.images, list[GeneratedImage])
    assert_type(result.image, GeneratedImage)
    assert_type(result.arguments, QwenImageInput)
    assert_type(result.cost_usd, float)
    assert_type(result.created_at, datetime)
    assert_type(result.request_id, str | None)
    assert_type(result.summary(), str)
    assert_type(result.to_artifact(), ResultArtifact)
    assert_type(result.to_artifact()["images"][0]["url"], str | None)
    assert_type(ImageGenerationResult.from_artifact(result.to_artifact()), ImageGenerationResult)
    assert_type(ImageGenerationResult.all_from([result]), list[ImageGenerationResult])
    assert_type(result.to_content_block(), ImageContentBlock)
    assert_type(result.to_message(), AIMessage | HumanMessage)


def image(image: GeneratedImage) -> None:
    """An image can be read and saved."""
    assert_type(image.read(), bytes)
    assert_type(image.save("fox.png", overwrite=True), Path)
    assert_type(image.save(Path("fox.png")), Path)
    assert_type(image.url, str | None)
    assert_type(image.expires_at, datetime | None)
    assert_type(image.width, int | None)


async def async_image(image: GeneratedImage) -> None:
    """The same for asyncio."""
    assert_type(await image.aread(), bytes)
    assert_type(await image.asave("fox.png", overwrite=True), Path)


def agents(model: BaseChatModel, messages: list[BaseMessage]) -> None:
    """The middleware is one of LangChain's; a graph of one's own places images itself."""
    create_agent(model, middleware=[QwenImageVisionMiddleware(move_images=True)])
    assert_type(place_images(messages, model, reply_first=False), list[BaseMessage])


def errors(error: QwenImageError) -> None:
    """Facts of an error are attributes."""
    assert_type(error.is_retryable, bool)
    assert_type(error.may_have_been_billed, bool)
    assert_type(error.status_code, int | None)
    assert_type(error.code, str | None)
    assert_type(error.request_id, str | None)
    assert_type(error.retry_after, float | None)
    read: ToolException = RateLimitError("x", status_code=429, retry_after=1.5)
    raise read


def schemas(arguments: QwenImageInput, response: TextToImageResponse) -> None:
    """The gateway's JSON is typed, field for field."""
    request = TextToImageRequest.from_input(arguments)
    assert_type(request.model, Literal["qwen-image"])
    assert_type(request.input.messages[0].content[0].text, str)
    assert_type(request.parameters.size, Literal["1328*1328", "1024*1024", "768*768", "512*512"])
    assert_type(response.image_urls(), list[str])
    assert_type(arguments.watermark, bool)
