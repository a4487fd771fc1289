"""Chat with an agent that generates images, in Chainlit; images have an address.

    pip install "langchain-qwen-image[sandbox]" langchain chainlit
    python examples/chat_chainlit.py

Without `--model` the model follows a script: it draws what you write. Without `--live` images are
placeholders from the sandbox. Try "sandbox:slow-9 a fox" for a wait, "sandbox:quota" for an error.
"""

import chainlit as cl
import uvicorn
from _chat import Chat, as_text
from chainlit.utils import mount_chainlit
from fastapi import FastAPI

from langchain_qwen_image.serving import image_app

chat = Chat(__doc__, public_url="http://localhost:{port}/images")


@cl.on_message
async def reply(message: cl.Message) -> None:
    """Answer, part by part."""
    progress = await cl.Message("Asking the model …").send()
    async for kind, value in chat.areply(message.content, cl.context.session.id):
        if kind == "progress":
            progress.content = value
            await progress.update()
        else:  # an image is shown by the Markdown in the model's answer
            await cl.Message(as_text(kind, value)).send()
    await progress.remove()


if __name__ == "__main__":
    app = FastAPI()
    app.mount("/images", image_app("images"))
    mount_chainlit(app, target=__file__, path="/chat")
    uvicorn.run(app, port=chat.port)
