"""Pytest plugin, found by its entry point: imports nothing until its fixture is asked for."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from langchain_qwen_image.sandbox import SandboxServer


@pytest.fixture
def qwen_image_sandbox(monkeypatch: pytest.MonkeyPatch) -> "Iterator[SandboxServer]":
    """Serve a gateway on loopback that costs nothing, and send this test's calls to it.

    `QwenImageTool()` and the others find its address and a key in the environment; a `base_url`
    that is written in the code stays as it is. `.requests` is what came, `.images` what would have
    been paid for, `.script("429", "ok")` what the next POSTs meet.
    """
    from langchain_qwen_image.sandbox import SandboxServer, draw_plain

    with SandboxServer(draw=draw_plain) as server:
        monkeypatch.setenv("PIXAZO_BASE_URL", server.base_url)
        monkeypatch.setenv("PIXAZO_API_KEY", "key-of-the-qwen-image-sandbox")
        monkeypatch.setenv("PIXAZO_SANDBOX", "0")  # the embedded one would leave the server unasked
        yield server
