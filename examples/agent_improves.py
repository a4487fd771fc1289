"""Let an agent view its image and improve it once: two images, one look.

    pip install "langchain-qwen-image[sandbox,view]" langchain
    python examples/agent_improves.py

Without `--model` the model follows a script. Without `--live` the image is a placeholder from the
sandbox: no key, no cost. `--live` pays for a real one with the key in PIXAZO_API_KEY. A
model given by `--model` must support image input.
"""

import sys
from typing import Any

from _scripted import draws, looks, make_parser, open_model, print_saved, says
from langchain.agents import create_agent

from langchain_qwen_image import Budget, QwenImageError, QwenImageToolkit

WISH = "Draw a shop sign that says 'OPEN'. Look at it, improve it once, then stop."


def main() -> None:
    """Say what it will cost at most, run the agent, and print what it read and did."""
    given = make_parser(__doc__).parse_args()

    toolkit = QwenImageToolkit(
        sandbox=not given.live, save_to="images", size="512*512", budget=Budget(max_images=2)
    )
    first, better = draws("A shop sign: 'OPEN'"), draws("A neon shop sign: 'OPEN', night, rain")
    model = open_model(given.model, first, looks, better, says("The second one glows."))
    agent = create_agent(model, toolkit.get_tools())
    print(f"This costs ${2 * toolkit.price_usd if given.live else 0:.3f}.", flush=True)

    asked: Any = {"messages": [("user", WISH)]}
    messages = agent.invoke(asked)["messages"]
    for message in messages:
        calls = [call["args"] for call in getattr(message, "tool_calls", [])]
        blocks = ", ".join(block["type"] for block in message.content_blocks)
        print(f"{message.type} [{blocks}]: {message.text or calls}")
    print_saved(messages)


if __name__ == "__main__":
    try:
        main()
    except QwenImageError as error:
        sys.exit(str(error))
