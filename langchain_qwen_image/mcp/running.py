"""Run a server to its end: what it serves over, and what is paid for when it is told to end."""

import asyncio
from collections.abc import Callable

from langchain_qwen_image.generator import QwenImageGenerator
from langchain_qwen_image.mcp.approval import Ask
from langchain_qwen_image.mcp.http import Listener, serve_http
from langchain_qwen_image.mcp.server import make_server
from langchain_qwen_image.mcp.stdio import StdioOutbox, serve_stdio
from langchain_qwen_image.pipeline.cancellation import in_background

__all__ = ["run_server"]


async def run_server(
    generator: QwenImageGenerator,
    ask: Ask,
    *,
    listener: Listener | None,
    stop: asyncio.Event,
    waits: Callable[[int], None],
) -> None:
    """Serve until the client has gone or `stop` is set, then wait for what is paid for.

    Args:
        generator: Makes the images; it has a folder and a budget.
        ask: When a person is asked.
        listener: The port to serve on; None for standard input and output.
        stop: Ends the serving.
        waits: Is told for how many images that may be billed the end waits.
    """
    if listener is None:
        outbox = StdioOutbox()
        await serve_stdio(make_server(generator, ask, outbox), outbox, stop)
    else:
        await serve_http(make_server(generator, ask), listener, stop)
    if calls := in_background():
        waits(len(calls))
    while calls := in_background():
        await asyncio.wait(calls)
    await generator.aclose()
