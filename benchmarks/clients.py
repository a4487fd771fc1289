"""The clients that are compared: ours, what one writes by hand, and other libraries.

Each maker takes the gateway's address and a timeout in seconds, and gives a function that asks for
one image. It raises `ImportError` where its library is not installed.
"""

import os
import warnings
from collections.abc import Callable
from typing import Any

import httpx
from langchain_core.tools import BaseTool, StructuredTool

from benchmarks.gateway import OURS
from langchain_qwen_image import QwenImageGenerator, QwenImageTool

Ask = Callable[[], Any]
Make = Callable[[str, float], Ask]

KEY = "no-key"
HEADERS = {"Ocp-Apim-Subscription-Key": KEY, "Cache-Control": "no-cache"}
_TOOL_CALL = {"name": "generate_image", "args": {"prompt": "a fox"}, "id": "1", "type": "tool_call"}


def body(prompt: str) -> dict[str, Any]:
    """Return the document's request."""
    parameters = {"negative_prompt": "", "prompt_extend": True, "watermark": True}
    return {
        "model": "qwen-image",
        "input": {"messages": [{"role": "user", "content": [{"text": prompt}]}]},
        "parameters": {**parameters, "size": "1328*1328"},
    }


def link_in(answer: Any) -> str:
    """Return the image's link in the document's answer."""
    link: str = answer["output"]["choices"][0]["message"]["content"][0]["image"]
    return link


def plain_httpx(base_url: str, timeout: float) -> Ask:
    """Post with one `httpx.Client`, and read the link."""
    client = httpx.Client(timeout=timeout)

    def ask() -> str:
        answer = client.post(base_url + OURS, json=body("a fox"), headers=HEADERS)
        answer.raise_for_status()
        return link_in(answer.json())

    return ask


def minimal_tool(base_url: str, timeout: float) -> Ask:
    """Put the same post into the smallest LangChain tool, and invoke it with a tool call."""
    tool = _minimal(base_url, timeout)
    return lambda: tool.invoke(dict(_TOOL_CALL))


def minimal_base_tool(base_url: str, timeout: float) -> Ask:
    """Write the tool as a class, with no arguments but the prompt, and no checks."""
    client = httpx.Client(timeout=timeout)

    class GenerateImage(BaseTool):
        name: str = "generate_image"
        description: str = "Generate an image."

        def _run(self, prompt: str) -> str:
            answer = client.post(base_url + OURS, json=body(prompt), headers=HEADERS)
            answer.raise_for_status()
            return link_in(answer.json())

    tool = GenerateImage()
    return lambda: tool.invoke(dict(_TOOL_CALL))


def minimal_tool_with_retry(base_url: str, timeout: float) -> Ask:
    """Retry the minimal tool as LangChain's `with_retry()` does by default."""
    tool = _minimal(base_url, timeout).with_retry()
    return lambda: tool.invoke({"prompt": "a fox"})


def _minimal(base_url: str, timeout: float) -> StructuredTool:
    client = httpx.Client(timeout=timeout)

    def generate_image(
        prompt: str,
        negative_prompt: str = "",
        prompt_extend: bool = True,
        watermark: bool = True,
        size: str = "1328*1328",
    ) -> str:
        """Generate an image."""
        answer = client.post(base_url + OURS, json=body(prompt), headers=HEADERS)
        answer.raise_for_status()
        return link_in(answer.json())

    return StructuredTool.from_function(generate_image)


def tenacity_retry(base_url: str, timeout: float) -> Ask:
    """Retry the plain post three times with tenacity."""
    import tenacity

    ask: Ask = tenacity.retry(stop=tenacity.stop_after_attempt(3))(plain_httpx(base_url, timeout))
    return ask


def our_tool(base_url: str, timeout: float) -> Ask:
    """Invoke `QwenImageTool` with a tool call."""
    tool = QwenImageTool(api_key=KEY, base_url=base_url, timeout=timeout)
    return lambda: tool.invoke(dict(_TOOL_CALL))


def our_generator(base_url: str, timeout: float) -> Ask:
    """Invoke `QwenImageGenerator`."""
    generator = QwenImageGenerator(api_key=KEY, base_url=base_url, timeout=timeout)
    return lambda: generator.invoke("a fox")


def our_generator_with_retry(base_url: str, timeout: float) -> Ask:
    """Invoke our generator with its `with_retry()`."""
    generator = QwenImageGenerator(api_key=KEY, base_url=base_url, timeout=timeout).with_retry()
    return lambda: generator.invoke("a fox")


def openai_sdk(base_url: str, timeout: float) -> Ask:
    """Ask the openai SDK for an image, with its defaults."""
    import openai

    client = openai.OpenAI(base_url=f"{base_url}/v1", api_key=KEY, timeout=timeout)
    return lambda: client.images.generate(model="dall-e-3", prompt="a fox").data[0].url


def dashscope_sdk(base_url: str, timeout: float) -> Ask:
    """Ask the SDK of the upstream service."""
    import dashscope

    dashscope.base_http_api_url = f"{base_url}/api/v1"
    message = {"role": "user", "content": [{"text": "a fox"}]}

    def ask() -> Any:
        return dashscope.MultiModalConversation.call(
            api_key=KEY, model="qwen-image", messages=[message], request_timeout=timeout
        )

    return ask


def dalle_tool(base_url: str, timeout: float) -> Ask:
    """Invoke langchain-community's DALL·E tool."""
    with warnings.catch_warnings(action="ignore"):
        from langchain_community.tools.openai_dalle_image_generation import (
            OpenAIDALLEImageGenerationTool,
        )
        from langchain_community.utilities.dalle_image_generator import DallEAPIWrapper

    wrapper = DallEAPIWrapper(api_key=KEY, base_url=f"{base_url}/v1", timeout=timeout)
    tool = OpenAIDALLEImageGenerationTool(api_wrapper=wrapper)
    return lambda: tool.invoke("a fox")


def litellm_sdk(base_url: str, timeout: float) -> Ask:
    """Ask litellm for an image, with its defaults."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else its import asks the network
    import litellm

    litellm.suppress_debug_info = True  # its errors come with advertisements
    return lambda: litellm.image_generation(
        model="openai/dall-e-3",
        prompt="a fox",
        api_base=f"{base_url}/v1",
        api_key=KEY,
        timeout=timeout,
    )


OURS_AND_OTHERS: dict[str, Make] = {
    "httpx.Client.post": plain_httpx,
    "minimal BaseTool": minimal_base_tool,
    "minimal StructuredTool": minimal_tool,
    "QwenImageTool": our_tool,
    "QwenImageGenerator": our_generator,
    "openai SDK": openai_sdk,
    "dashscope SDK": dashscope_sdk,
    "DALL·E tool (langchain-community)": dalle_tool,
    "litellm": litellm_sdk,
}

RETRYING: dict[str, Make] = {
    "QwenImageGenerator.with_retry()": our_generator_with_retry,
    "minimal StructuredTool.with_retry()": minimal_tool_with_retry,
    "tenacity, 3 attempts": tenacity_retry,
}
