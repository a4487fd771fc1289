"""An agent behind AG-UI, the protocol of CopilotKit: what its page is told."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver
from scripted_model import ScriptedModel, asks_for

from langchain_qwen_image import QwenImageTool
from langchain_qwen_image.sandbox import SandboxServer

pytestmark = [pytest.mark.hosts, pytest.mark.filterwarnings("default")]


@pytest.mark.parametrize("prompt", ["a red fox", "sandbox:moderation a hare"])
async def test_progress_and_result_are_events(
    prompt: str, server: SandboxServer, tmp_path: Path
) -> None:
    """Progress comes as events, an image's address or an error as the tool's result; one POST."""
    ag_ui = pytest.importorskip("ag_ui_langgraph")
    tool = QwenImageTool(
        api_key="k",
        base_url=server.base_url,
        save_to=tmp_path / "images",
        public_url="https://cdn.example/images",
    )
    model = ScriptedModel(turns=[asks_for(prompt)])
    agent = create_agent(model, tools=[tool], checkpointer=InMemorySaver())
    app = FastAPI()
    ag_ui.add_langgraph_fastapi_endpoint(app, ag_ui.LangGraphAgent(name="a", graph=agent), "/agent")
    asked = {
        "threadId": "1",
        "runId": "1",
        "state": {},
        "messages": [{"id": "1", "role": "user", "content": prompt}],
        "tools": [],
        "context": [],
        "forwardedProps": {},
    }
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="https://app.example") as page:
        lines = (await page.post("/agent", json=asked)).text.splitlines()
    events: list[dict[str, Any]] = [json.loads(line[5:]) for line in lines if line[:5] == "data:"]

    told = [event["value"] for event in events if event["type"] == "CUSTOM"]
    stages = [value["stage"] for value in told if value.get("type") == "qwen_image"]
    (read,) = [event["content"] for event in events if event["type"] == "TOOL_CALL_RESULT"]
    if prompt == "a red fox":
        assert stages == ["waiting", "sent", "received", "saved"]
        assert f"![description]({told[-1]['public_url']})" in read
        assert read.count("https://cdn.example/images/") == 1
    else:
        assert stages == ["waiting", "sent"]
        assert "refused the prompt or the image" in read
    assert server.gateway.post_count == 1
    assert events[-1]["type"] == "RUN_FINISHED"
