"""The server of `langgraph dev`, which refuses whatever blocks its event loop."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback import free_port
from waiting import wait_until

pytestmark = [pytest.mark.hosts, pytest.mark.filterwarnings("default")]

GRAPHS = """
import tempfile

from langchain.agents import create_agent
from scripted_model import ScriptedModel, asks_for, looks

from langchain_qwen_image import Account, Budget, QwenImageToolkit


def agent_of(**settings):
    toolkit = QwenImageToolkit(sandbox=True, **settings)
    model = ScriptedModel(turns=[asks_for("a fox"), looks])
    return create_agent(model, tools=toolkit.get_tools())


async def temporary():
    return agent_of()


async def relative():
    account = Account("books.db", max_usd=1)
    return agent_of(save_to="images", account=account, budget=Budget(max_images=9))


async def blocking():
    tempfile.mkdtemp()
    return agent_of()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Run the server on graphs that are made by asynchronous functions."""
    pytest.importorskip("langgraph_api")
    folder = tmp_path_factory.mktemp("server")
    (folder / "graphs.py").write_text(GRAPHS)
    names = ("temporary", "relative", "blocking")
    graphs = {name: f"./graphs.py:{name}" for name in names}
    (folder / "langgraph.json").write_text(json.dumps({"dependencies": ["."], "graphs": graphs}))
    port = free_port()
    command = [sys.executable, "-m", "langgraph_cli", "dev", "--no-browser", "--no-reload"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "LANGGRAPH_CLI_NO_ANALYTICS": "1",
        "LANGSMITH_TRACING": "false",
        "TMPDIR": str(folder),
    }
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: b"Application started" in (folder / "log.txt").read_bytes())
        yield f"http://127.0.0.1:{port}", folder
    finally:
        process.terminate()
        process.wait(60)


async def run(url: str, graph: str) -> list[dict[str, Any]]:
    """Run a graph at the server, and return its messages."""
    from langgraph_sdk import get_client

    given = {"messages": [{"role": "user", "content": "A fox, and look at it."}]}
    async with get_client(url=url) as client:
        state: Any = await client.runs.wait(None, graph, input=given, raise_error=True)
    messages: list[dict[str, Any]] = state["messages"]
    return messages


@pytest.mark.parametrize("graph", ["temporary", "relative"])
async def test_a_factory_makes_the_toolkit_on_the_loop(
    graph: str, server: tuple[str, Path]
) -> None:
    """Made on the loop, without a folder or with a relative one, it generates, saves and looks."""
    url, folder = server
    messages = await run(url, graph)
    assert [one["type"] for one in messages] == ["human", "ai", "tool", "ai", "tool", "ai"]
    assert messages[2]["content"].startswith("Done: 1 image")
    assert [block["type"] for block in messages[4]["content"]] == ["text", "image"]
    if graph == "relative":
        assert len(list((folder / "images").glob("*.png"))) == 1


async def test_what_blocks_is_refused(server: tuple[str, Path]) -> None:
    """The server refuses what the toolkit once did: a folder made in the factory."""
    url, _ = server
    with pytest.raises(Exception, match="BlockingError"):
        await run(url, "blocking")
