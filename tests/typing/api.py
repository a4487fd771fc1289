"""What the public API promises a type checker; only mypy reads this file."""

from pathlib import Path
from typing import assert_type

from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableSerializable

from langchain_qwen_image import (
    Budget,
    GeneratedImage,
    ImageGenerationResult,
    QwenImageClient,
    QwenImageError,
    QwenImageGenerator,
    QwenImageInput,
    QwenImageTool,
)
from langchain_qwen_image.artifact import ResultArtifact

generator = QwenImageGenerator(sandbox=True, size="512*512", save_to="images")
assert_type(generator.invoke("a fox"), ImageGenerationResult)
assert_type(generator.invoke({"prompt": "a fox"}), ImageGenerationResult)
assert_type(generator.invoke(QwenImageInput(prompt="a fox")), ImageGenerationResult)
assert_type(generator.batch(["a", "b"]), list[ImageGenerationResult])

result = generator.invoke("a fox")
assert_type(result.image, GeneratedImage)
assert_type(result.images, list[GeneratedImage])
assert_type(result.cost_usd, float)
assert_type(result.image.read(), bytes)
assert_type(result.image.save("fox.png"), Path)
assert_type(result.image.path, str | None)
assert_type(result.to_artifact(), ResultArtifact)
assert_type(ImageGenerationResult.from_artifact({}), ImageGenerationResult)
assert_type(generator.fetch(result), ImageGenerationResult)

client = QwenImageClient(api_key="key", timeout=60, max_retries=0)
assert_type(client.generate("a fox", size="768*768", watermark=False), ImageGenerationResult)
client.generate("a fox", seed=1)  # type: ignore[call-arg]

tool = QwenImageTool(budget=Budget(max_usd=1), watermark=False)
assert_type(tool.name, str)


async def twins() -> None:
    """Give what the blocking ones give."""
    assert_type(await generator.ainvoke("a fox"), ImageGenerationResult)
    assert_type(await client.agenerate("a fox"), ImageGenerationResult)
    assert_type(await result.image.aread(), bytes)
    assert_type(await result.image.asave("fox.png"), Path)


def chain() -> RunnableSerializable[dict[str, str], ImageGenerationResult]:
    """Compose with LCEL."""
    return ChatPromptTemplate.from_template("{thing}") | generator


def facts(error: QwenImageError) -> None:
    """Read what an error says."""
    assert_type(error.is_retryable, bool)
    assert_type(error.may_have_been_billed, bool)
    assert_type(error.status_code, int | None)
    assert_type(error.retry_after, float | None)
