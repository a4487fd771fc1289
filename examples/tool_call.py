"""Call the tool as an agent does, and print what the model and the program get.

    pip install "langchain-qwen-image[sandbox]"
    python examples/tool_call.py

The tool call is written by hand, no model is used. Without `--live` the image is a placeholder from
the sandbox: no key, no cost. `--live` pays for a real one with the key in PIXAZO_API_KEY.
"""

import argparse
import sys

from langchain_core.messages import AIMessage

from langchain_qwen_image import ImageGenerationResult, QwenImageError, QwenImageTool


def main() -> None:
    """Say what it will cost, run the call, and print what the model and the program get."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--live", action="store_true", help="pay for a real image")
    given = parser.parse_args()

    tool = QwenImageTool(sandbox=not given.live, save_to="images", watermark=False)
    print("The model may set:", ", ".join(tool.args))
    print(f"This costs ${tool.price_usd if given.live else 0:.3f}.", flush=True)

    arguments = {"prompt": "A shop sign that says 'OPEN', neon", "size": "512x512"}
    call = {"name": tool.name, "args": arguments, "id": "call_1"}
    asked = AIMessage(content="", tool_calls=[call])
    message = tool.invoke(asked.tool_calls[0])

    print("The model reads:", message.content)
    if message.status == "error":
        return
    result = ImageGenerationResult.from_artifact(message.artifact)
    print("The program gets:", result.image.mime_type, "with SHA-256", result.image.sha256)
    print("Open", result.image.path or result.image.url)


if __name__ == "__main__":
    try:
        main()
    except QwenImageError as error:
        sys.exit(str(error))
