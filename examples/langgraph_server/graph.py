"""An agent for LangGraph's server, which also serves its images: for Agent Chat UI and others.

    pip install "langchain-qwen-image[sandbox]" langchain "langgraph-cli[inmem]"
    cd examples/langgraph_server
    langgraph dev

Without CHAT_MODEL=provider:name in the environment the model follows a script: it draws what you
write. PIXAZO_SANDBOX in `langgraph.json` makes placeholders, without a key. PAGES are the addresses
of the pages that may ask for images, separated by spaces.
"""

import os
import sys
from pathlib import Path

from langchain.agents import create_agent
from langchain.agents.middleware import ToolErrorMiddleware
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from langchain_qwen_image import Budget, QwenImageError, QwenImageTool
from langchain_qwen_image.serving import image_app

sys.path.append(str(Path(__file__).parents[1]))
from _scripted import open_model, passes_on

PAGES = os.environ.get("PAGES", "http://localhost:3000 http://localhost:5173").split()


class OnlyOurPages:
    """Refuse other web pages: any page can send a request to this machine, and spend money."""

    def __init__(self, app: ASGIApp) -> None:
        """Take what answers."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, unless a browser says that the request is of another page."""
        origin = Headers(scope=scope).get("origin") if scope["type"] == "http" else None
        refused = PlainTextResponse("Set PAGES to the address of your page.", 403)
        await (self.app if origin is None or origin in PAGES else refused)(scope, receive, send)


def explain(error: Exception, request: object) -> str | None:
    """Let the model read errors that only the operator can fix."""
    return str(error) if isinstance(error, QwenImageError) else None


tool = QwenImageTool(
    save_to="images",
    public_url=os.environ.get("IMAGES_URL", "http://localhost:2024/images"),
    budget=Budget(max_usd=1),
)
agent = create_agent(
    open_model(os.environ.get("CHAT_MODEL"), passes_on),
    [tool],
    middleware=[ToolErrorMiddleware(explain)],
)
app = Starlette(
    routes=[Mount("/images", image_app("images"))], middleware=[Middleware(OnlyOurPages)]
)
