"""Answer as the gateway does, without a key, a network or a cost.

`SandboxTransport` answers httpx clients in this process; `serve` and `SandboxServer` answer any
program over loopback. Prompts that begin with `sandbox:NAME` play the scenario of that name
(`SCENARIOS`).
"""

from langchain_qwen_image.sandbox.answer import Answer
from langchain_qwen_image.sandbox.gateway import Gateway
from langchain_qwen_image.sandbox.plain import draw_plain
from langchain_qwen_image.sandbox.records import GivenImage, ReceivedRequest
from langchain_qwen_image.sandbox.scenario import Scenario
from langchain_qwen_image.sandbox.scenarios import SCENARIOS
from langchain_qwen_image.sandbox.server import SandboxServer, serve
from langchain_qwen_image.sandbox.storage import Draw
from langchain_qwen_image.sandbox.success import Shape
from langchain_qwen_image.sandbox.transport import SANDBOX_BASE_URL, SandboxTransport

__all__ = [
    "SANDBOX_BASE_URL",
    "SCENARIOS",
    "Answer",
    "Draw",
    "Gateway",
    "GivenImage",
    "ReceivedRequest",
    "SandboxServer",
    "SandboxTransport",
    "Scenario",
    "Shape",
    "draw_plain",
    "serve",
]
