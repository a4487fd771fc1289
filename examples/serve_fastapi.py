"""Serve an agent that generates images with FastAPI, as server-sent events, and a page for it.

    pip install "langchain-qwen-image[sandbox]" langchain fastapi uvicorn
    python examples/serve_fastapi.py

Without `--model` the model follows a script: it draws what you write. Without `--live` images are
placeholders from the sandbox. Try "sandbox:slow-9 a fox" for a wait, "sandbox:quota" for an error.
"""

from pathlib import Path

import uvicorn
from _chat import Chat, as_json
from fastapi import Body, FastAPI
from fastapi.responses import FileResponse, StreamingResponse

from langchain_qwen_image.serving import image_app

chat = Chat(__doc__, public_url="http://localhost:{port}/images")
app = FastAPI()
app.mount("/images", image_app("images"))
app.get("/")(lambda: FileResponse(Path(__file__).with_suffix(".html")))


@app.post("/chat")  # no GET: an EventSource repeats it when a connection breaks, and pays again
async def reply(text: str = Body(), thread: str = Body()) -> StreamingResponse:
    """Answer with one event per part."""
    events = (f"data: {as_json(*part)}\n\n" async for part in chat.areply(text, thread))
    return StreamingResponse(events, media_type="text/event-stream")


if __name__ == "__main__":
    uvicorn.run(app, port=chat.port)
