"""Let an agent generate an image: a model reads the request, writes the prompt, calls the tool.

    pip install "langchain-qwen-image[sandbox]" langchain
    python examples/agent.py

Without `--model` the model follows a script. Without `--live` the image is a placeholder from the
sandbox: no key, no cost. `--live` pays for a real one with the key in PIXAZO_API_KEY. For a
real model, install its provider too:

    pip install langchain-openai
    python examples/agent.py --live --model openai:gpt-5.5 "a card for my mother's birthday"
"""

import sys
from typing import Any

from _scripted import draws, make_parser, open_model, print_saved, says
from langchain.agents import create_agent

from langchain_qwen_image import Budget, QwenImageError, QwenImageTool


def main() -> None:
    """Say what it will cost at most, run the agent, and print what was said."""
    parser = make_parser(__doc__)
    parser.add_argument("wish", nargs="?", default="a lighthouse for my wall")
    given = parser.parse_args()

    tool = QwenImageTool(
        sandbox=not given.live, save_to="images", size="768*768", budget=Budget(max_images=1)
    )
    model = open_model(given.model, draws(f"An oil painting: {given.wish}"), says("It is done."))
    agent = create_agent(model, [tool])
    print(f"This costs ${tool.price_usd if given.live else 0:.3f}.", flush=True)

    asked: Any = {"messages": [("user", f"Draw {given.wish}.")]}
    messages = agent.invoke(asked)["messages"]
    for message in messages:
        message.pretty_print()
    print_saved(messages)


if __name__ == "__main__":
    try:
        main()
    except QwenImageError as error:
        sys.exit(str(error))
