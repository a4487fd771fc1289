"""The example for LangGraph's own server, asked by `RemoteGraph` and seen in Agent Chat UI."""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from browsers import SEEN, chromium, keep, needs_chromium, page_at, see
from held import HeldServer
from hosted import EXAMPLES, environment, reachable, running
from langgraph.pregel.remote import RemoteGraph
from loopback import free_port
from waiting import PATIENCE

from langchain_qwen_image import ImageGenerationResult
from langchain_qwen_image.sandbox import SandboxServer, draw_plain

pytestmark = [pytest.mark.hosts, pytest.mark.filterwarnings("default")]

KEY = "test-key-of-the-server"


@contextmanager
def langgraph_dev(folder: Path, gateway: str, page: str = "") -> Iterator[str]:
    """Serve the example, paying a gateway on loopback; yields the server's address."""
    pytest.importorskip("langgraph_api")
    home = folder / "examples" / "langgraph_server"
    shutil.copytree(EXAMPLES, home.parent, ignore=shutil.ignore_patterns("images*"))
    settings = json.loads((home / "langgraph.json").read_text())
    assert settings.pop("env") == {"PIXAZO_SANDBOX": "1"}
    (home / "langgraph.json").write_text(json.dumps(settings))
    port = free_port()
    url = f"http://localhost:{port}"
    command = ["langgraph", "dev", "--no-browser", "--no-reload", "--port", str(port)]
    given = {"PIXAZO_API_KEY": KEY, "PIXAZO_BASE_URL": gateway, "IMAGES_URL": f"{url}/images"}
    given |= {"PAGES": page} if page else {}
    with running(Path(sys.prefix), command, home, f"{url}/ok", **given):
        yield url


def test_a_remote_graph(tmp_path: Path) -> None:
    """Through `RemoteGraph` come progress, result, address and errors; an image is one POST."""
    with (
        SandboxServer(draw=draw_plain) as gateway,
        langgraph_dev(tmp_path, gateway.base_url) as url,
    ):
        graph = RemoteGraph("agent", url=url)
        items: list[Any] = list(
            graph.stream(_asking("a red fox"), stream_mode=["custom", "updates"])
        )
        stages = [data["stage"] for mode, data, _ in items if mode == "custom"]
        assert stages == ["waiting", "sent", "received", "saved"]
        (result,) = ImageGenerationResult.all_from(items)
        assert (result.prompt, result.cost_usd) == ("a red fox", 0.045)
        address = result.image.public_url
        assert address is not None
        assert address.startswith(f"{url}/images/")
        assert str(tmp_path) not in str(items)
        answer = httpx.get(address, timeout=PATIENCE)
        assert (answer.status_code, len(answer.content)) == (200, result.image.size_bytes)
        sidecar = f"{address.rpartition('.')[0]}.json"
        assert httpx.get(sidecar, timeout=PATIENCE).status_code == 404
        assert reachable([sidecar], "a red fox") == []

        refused: Any = graph.invoke(_asking("sandbox:quota a hare"))
        assert [one["type"] for one in refused["messages"]] == ["human", "ai", "tool", "ai"]
        assert refused["messages"][2]["status"] == "error"
        assert "Out of credits" in refused["messages"][2]["content"]
        assert gateway.gateway.post_count == 2

        # A browser sends this from any page, without asking the server first.
        of_another_page = {"Origin": "https://other.example", "Content-Type": "text/plain"}
        run = json.dumps({"assistant_id": "agent", "input": _asking("a red fox")})
        refused_page = httpx.post(
            f"{url}/runs/wait", content=run, headers=of_another_page, timeout=PATIENCE
        )
        assert refused_page.status_code == 403
        assert gateway.gateway.post_count == 2


@needs_chromium
def test_agent_chat_ui(tmp_path: Path) -> None:
    """Agent Chat UI shows the wait, the image by its public address, and an error."""
    home = environment("agent-chat-ui")
    port = free_port()
    page_url = f"http://localhost:{port}"
    command = ["npx", "vite", "--host", "localhost", "--port", str(port)]
    with (
        HeldServer(draw=None) as gateway,
        langgraph_dev(tmp_path, gateway.base_url, page_url) as url,
        running(home, command, home / "ui" / "apps" / "web", page_url),
        chromium() as browser,
        page_at(browser, f"{page_url}/?apiUrl={url}&assistantId=agent") as page,
    ):
        _send(page, "a red fox")
        see(page, "generate_image")
        see(page, "Cancel")
        assert not page.evaluate(SEEN)
        keep(page, "agent-chat-ui-wait")
        gateway.release()
        page.wait_for_function(SEEN)
        keep(page, "agent-chat-ui-image")
        _send(page, "sandbox:quota a hare")
        see(page, "Out of credits, quota or balance")
        see(page, "There is no image.")
        keep(page, "agent-chat-ui-error")
        assert gateway.gateway.post_count == 2


def _asking(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def _send(page: Any, text: str) -> None:
    page.locator("textarea").first.press_sequentially(text)
    page.get_by_role("button", name="Send").click()
