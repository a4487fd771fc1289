"""The server: its tools and resources, and who answers them."""

from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    CancelledNotificationParams,
    InputRequiredResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    ResourceTemplate,
)

from langchain_qwen_image._version import __version__
from langchain_qwen_image.generator import QwenImageGenerator
from langchain_qwen_image.mcp.approval import Ask
from langchain_qwen_image.mcp.contents import resource_uri
from langchain_qwen_image.mcp.generating import Generating
from langchain_qwen_image.mcp.http import outbox_of
from langchain_qwen_image.mcp.looking import Looking
from langchain_qwen_image.mcp.stdio import StdioOutbox
from langchain_qwen_image.mcp.tickets import Outbox
from langchain_qwen_image.mcp.tools import tools
from langchain_qwen_image.storage.opening import open_store

__all__ = ["make_server"]

_INSTRUCTIONS = (
    "Generates images with Qwen-Image and saves them. Each new image is paid for: generate one "
    "only when the user wants one. A call that was cut off can be repeated with the same "
    "arguments: it gets the image that was paid for."
)
_Ctx = ServerRequestContext[Any, Any]
_Page = PaginatedRequestParams | None


def make_server(
    generator: QwenImageGenerator, ask: Ask, outbox: StdioOutbox | None = None
) -> Server[Any]:
    """Return a server that any transport of the SDK can run.

    Args:
        generator: Makes the images; it has a folder in `save_to`, and a budget.
        ask: When a person is asked before an image is paid for.
        outbox: Of standard output, where that is the transport.

    Raises:
        ConfigurationError: A setting of the generator cannot work.
    """
    answers = _Answers(generator, ask, outbox)
    server: Server[Any] = Server(
        "qwen-image",
        version=__version__,
        title="Qwen-Image",
        instructions=_INSTRUCTIONS,
        on_list_tools=answers.list_tools,
        on_call_tool=answers.call_tool,
        on_list_resources=answers.list_resources,
        on_list_resource_templates=answers.list_templates,
        on_read_resource=answers.read_resource,
    )
    server.add_notification_handler(
        "notifications/cancelled", CancelledNotificationParams, answers.cancelled
    )
    return server


class _Answers:
    """What the server answers to each kind of request."""

    def __init__(self, generator: QwenImageGenerator, ask: Ask, outbox: StdioOutbox | None) -> None:
        assert generator.save_to is not None  # noqa: S101 - the server gives it a folder
        self._generating = Generating(generator, ask)
        self._looking = Looking(open_store(generator.save_to), generator.public_url)
        self._tools = tools(generator.pipeline.sender.price_usd)
        self._outbox = outbox

    async def list_tools(self, ctx: _Ctx, params: _Page) -> ListToolsResult:
        return ListToolsResult(tools=self._tools)

    async def call_tool(
        self, ctx: _Ctx, params: CallToolRequestParams
    ) -> CallToolResult | InputRequiredResult:
        arguments = dict(params.arguments or {})
        match params.name:
            case "generate_image":
                return await self._generating(ctx, params, self._outbox_of(ctx))
            case "view_image":
                return await self._looking.view(arguments)
            case "recent_images":
                return await self._looking.recent(arguments)
        raise MCPError(INVALID_PARAMS, f"There is no tool {params.name[:80]!r}.")

    async def list_resources(self, ctx: _Ctx, params: _Page) -> ListResourcesResult:
        return ListResourcesResult(resources=await self._looking.resources())

    async def list_templates(self, ctx: _Ctx, params: _Page) -> ListResourceTemplatesResult:
        original = ResourceTemplate(
            uri_template=resource_uri("{id}"),
            name="image",
            description="A saved image, as it was generated, by its short id.",
        )
        return ListResourceTemplatesResult(resource_templates=[original])

    async def read_resource(
        self, ctx: _Ctx, params: ReadResourceRequestParams
    ) -> ReadResourceResult:
        return await self._looking.read(str(params.uri))

    async def cancelled(self, ctx: _Ctx, params: CancelledNotificationParams) -> None:
        if self._outbox is not None:
            self._outbox.end(params.request_id, is_answered=False)

    def _outbox_of(self, ctx: _Ctx) -> Outbox | None:
        """Return what answers a request; None where nobody tells when it is written."""
        if self._outbox is not None and ctx.request_id is not None:
            return self._outbox.of(ctx.request_id)
        return outbox_of(ctx.request)
