"""Print the progress of an agent's image, one line per stage.

    pip install "langchain-qwen-image[sandbox]" langchain
    python examples/progress.py

Without `--model` the model follows a script. Without `--live` the image is a placeholder from the
sandbox: no key, no cost. `--live` pays for a real one with the key in PIXAZO_API_KEY.
"""

import sys
from typing import Any

from _scripted import draws, make_parser, open_model, says
from langchain.agents import create_agent

from langchain_qwen_image import Budget, QwenImageError, QwenImageTool

SAID = {
    "waiting": "waiting for its turn",
    "sent": "sent; an image takes 20 to 30 seconds",
    "retrying": "not billed; retrying in {wait_seconds} s",
    "received": "generated; downloading",
    "saved": "saved\nOpen {path}",
}


def main() -> None:
    """Say what it will cost, and print each stage as it is reached."""
    given = make_parser(__doc__).parse_args()

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
