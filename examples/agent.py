"""An agent that draws: a model reads the wish, writes the prompt and calls the tool.

Without `--model` a scripted one stands in, and without `--live` the image is the sandbox's
placeholder: no key is needed. `--live` pays for a real one with the key in PIXAZO_API_KEY.

    python examples/agent.py
    python examples/agent.py --live --model openai:gpt-5.5 "a card for my mother's birthday"
"""

import argparse
import sys
from typing import Any

from _scripted import draws, open_model, says
from langchain.agents import create_agent

from langchain_qwen_image import Budget, QwenImageError, QwenImageTool


def main() -> None:
    """Say what it will cost at most, run the agent, and print what was said."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("wish", nargs="?", default="a lighthouse for my wall")
    parser.add_argument("--live", action="store_true", help="pay for a real image")
    parser.add_argument("--model", metavar="PROVIDER:NAME", help="ask a real chat model")
    given = parser.parse_args()

    tool = QwenImageTool(
        sandbox=not given.live, save_to="images", size="768*768", budget=Budget(max_images=1)
    )
    model = open_model(given.model, draws(f"An oil painting: {given.wish}"), says("It is done."))
    agent = create_agent(model, [tool])
    print(f"This costs ${tool.price_usd if given.live else 0:.3f}.", flush=True)

    asked: Any = {"messages": [("user", f"Draw {given.wish}.")]}
    for message in agent.invoke(asked)["messages"]:
        message.pretty_print()


if __name__ == "__main__":
    try:
        main()
    except QwenImageError as error:
        sys.exit(str(error))
