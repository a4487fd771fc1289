"""Chat with an agent that generates images, in Gradio.

    pip install "langchain-qwen-image[sandbox]" langchain gradio
    python examples/chat_gradio.py

Without `--model` the model follows a script: it draws what you write. Without `--live` images are
placeholders from the sandbox. Try "sandbox:slow-9 a fox" for a wait, "sandbox:quota" for an error.
"""

from collections.abc import Iterator
from typing import Any

import gradio as gr
from _chat import Chat, as_text

chat = Chat(__doc__)


def reply(text: str, history: list[Any], request: gr.Request) -> Iterator[list[Any]]:
    """Answer; each list is all that is shown so far."""
    shown: list[Any] = []
    for kind, value in chat.reply(text, str(request.session_hash)):
        if kind == "progress":
            working = {"title": value, "status": "pending"}
            yield [*shown, gr.ChatMessage("", metadata=working)]
            continue
        if kind == "image":  # Gradio copies this file, and serves no other of the folder
            shown.append(gr.Image(value.image.path, show_label=False))
        shown.append(as_text(kind, value))
        yield shown


if __name__ == "__main__":
    page = gr.ChatInterface(reply, title="Qwen-Image")
    page.launch(server_port=chat.port)
