"""Middleware for LangChain's agents: lets every model that can see look at the images of a tool."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.integration.vision import place_images

try:
    from langchain.agents.middleware import AgentMiddleware
except ImportError as error:
    raise ConfigurationError(
        "QwenImageVisionMiddleware is for LangChain's agents, and langchain cannot be imported "
        f"({error}): pip install --upgrade langchain"
    ) from None

if TYPE_CHECKING:
    from langchain.agents.middleware import ModelRequest, ModelResponse
    from langchain_core.messages import AnyMessage

__all__ = ["QwenImageVisionMiddleware"]


class QwenImageVisionMiddleware(AgentMiddleware):
    """Show a model the images of tool messages in a human message, where its API takes no others.

    Does for every request of an agent what `langchain_qwen_image.view.place_images` does, in the
    request and nowhere else: the agent's state and its checkpoints stay as they are.

    Args:
        move_images: Whether to move images. By default the model of each request decides.
        reply_first: Whether the assistant says a word between tool results and images. By default
            for Mistral's models alone.

    Examples:
        >>> from langchain_qwen_image.middleware import QwenImageVisionMiddleware
        >>> middleware = [QwenImageVisionMiddleware()]  # for create_agent
    """

    def __init__(self, *, move_images: bool | None = None, reply_first: bool | None = None) -> None:
        """Take what is not to be decided by the model."""
        super().__init__()
        self.move_images = move_images
        self.reply_first = reply_first

    def wrap_model_call(
        self,
        request: "ModelRequest[Any]",
        handler: "Callable[[ModelRequest[Any]], ModelResponse[Any]]",
    ) -> "ModelResponse[Any]":
        """Make the request with the images where the model's API takes them."""
        return handler(self._fitted(request))

    async def awrap_model_call(
        self,
        request: "ModelRequest[Any]",
        handler: "Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]",
    ) -> "ModelResponse[Any]":
        """Async twin of `wrap_model_call`."""
        return await handler(self._fitted(request))

    def _fitted(self, request: "ModelRequest[Any]") -> "ModelRequest[Any]":
        placed = place_images(
            request.messages,
            request.model,
            move_images=self.move_images,
            reply_first=self.reply_first,
        )
        return request.override(messages=cast("list[AnyMessage]", placed))
