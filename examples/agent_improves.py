"""An agent that looks at what it drew, and draws once more: two images, one look.

Without `--model` a scripted one stands in (a real one must be able to see), and without `--live`
the images are the sandbox's. `--live` pays for real ones with the key in PIXAZO_API_KEY.

    python examples/agent_improves.py
"""

import argparse
import sys
from typing import Any

from _scripted import draws, looks, open_model, says
from langchain.agents import create_agent

from langchain_qwen_image import Budget, QwenImageError, QwenImageToolkit

WISH = "Draw a shop sign that says 'OPEN'. Look at it, improve it once, then stop."


def main() -> None:
    """Say what it will cost at most, run the agent, and print what it read and did."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--live", action="store_true", help="pay for real images")
    parser.add_argument("--model", metavar="PROVIDER:NAME", help="ask a real chat model that sees")
    given = parser.parse_args()

    toolkit = QwenImageToolkit(
        sandbox=not given.live, save_to="images", size="512*512", budget=Budget(max_images=2)
    )
    first, better = draws("A shop sign: 'OPEN'"), draws("A neon shop sign: 'OPEN', night, rain")
    model = open_model(given.model, first, looks, better, says("The second one glows."))
    agent = create_agent(model, toolkit.get_tools())
    print(f"This costs ${2 * toolkit.price_usd if given.live else 0:.3f}.", flush=True)

    asked: Any = {"messages": [("user", WISH)]}
    for message in agent.invoke(asked)["messages"]:
        calls = [call["args"] for call in getattr(message, "tool_calls", [])]
        blocks = ", ".join(block["type"] for block in message.content_blocks)
        print(f"{message.type} [{blocks}]: {message.text or calls}")


if __name__ == "__main__":
    try:
        main()
    except QwenImageError as error:
        sys.exit(str(error))
