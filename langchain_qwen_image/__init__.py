"""Qwen-Image text-to-image for LangChain: a tool, a runnable, and a plain client.

Names are resolved at first use, so that importing the package costs next to nothing.
"""

from typing import TYPE_CHECKING

from langchain_qwen_image._lazy import attach

if TYPE_CHECKING:
    from langchain_qwen_image._version import __version__
    from langchain_qwen_image.account.account import Account
    from langchain_qwen_image.account.budget import Budget
    from langchain_qwen_image.client import QwenImageClient
    from langchain_qwen_image.errors import QwenImageError
    from langchain_qwen_image.gateway_schemas import TextToImageRequest, TextToImageResponse
    from langchain_qwen_image.generator import QwenImageGenerator
    from langchain_qwen_image.result import GeneratedImage, ImageGenerationResult
    from langchain_qwen_image.schemas import QwenImageInput
    from langchain_qwen_image.tool import QwenImageTool
    from langchain_qwen_image.toolkit import QwenImageToolkit

_HOMES = {
    "Account": "account.account",
    "Budget": "account.budget",
    "GeneratedImage": "result",
    "ImageGenerationResult": "result",
    "QwenImageClient": "client",
    "QwenImageError": "errors",
    "QwenImageGenerator": "generator",
    "QwenImageInput": "schemas",
    "QwenImageTool": "tool",
    "QwenImageToolkit": "toolkit",
    "TextToImageRequest": "gateway_schemas",
    "TextToImageResponse": "gateway_schemas",
    "__version__": "_version",
}

__all__ = [
    "Account",
    "Budget",
    "GeneratedImage",
    "ImageGenerationResult",
    "QwenImageClient",
    "QwenImageError",
    "QwenImageGenerator",
    "QwenImageInput",
    "QwenImageTool",
    "QwenImageToolkit",
    "TextToImageRequest",
    "TextToImageResponse",
    "__version__",
]


__getattr__, __dir__ = attach(__name__, _HOMES)
