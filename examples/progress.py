"""The progress of an agent's image, told line by line while it is made.

Without `--model` a scripted one stands in, and without `--live` the image is the sandbox's
placeholder, ready at once. `--live` pays for a real one with the key in PIXAZO_API_KEY.

    python examples/progress.py
"""

import argparse
import sys
from typing import Any

from _scripted import draws, open_model, says
from langchain.agents import create_agent

from langchain_qwen_image import Budget, QwenImageError, QwenImageTool

SAID = {
    "waiting": "waiting for its turn",
    "sent": "sent; an image takes 20 to 30 seconds",
    "retrying": "refused, and not paid for; trying again in {wait_seconds} s",
    "received": "drawn; now it is fetched",
    "saved": "saved as {path}",
}


def main() -> None:
    """Say what it will cost, and print each stage as it is reached."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--live", action="store_true", help="pay for a real image")
    parser.add_argument("--model", metavar="PROVIDER:NAME", help="ask a real chat model")
    given = parser.parse_args()

    tool = QwenImageTool(sandbox=not given.live, save_to="images", budget=Budget(max_images=1))
    model = open_model(given.model, draws("A kettle, steaming, watercolour"), says("Done."))
    agent = create_agent(model, [tool])
    print(f"This costs ${tool.price_usd if given.live else 0:.3f}.", flush=True)

    asked: Any = {"messages": [("user", "Draw a kettle.")]}
    for event in agent.stream(asked, stream_mode="custom"):
        print(f"{event['seconds']:5.1f} s  {SAID[event['stage']].format(**event)}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except QwenImageError as error:
        sys.exit(str(error))
