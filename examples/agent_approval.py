"""Ask a person before an agent pays: nothing is sent until the answer is y.

    pip install "langchain-qwen-image[sandbox]" langchain
    python examples/agent_approval.py

Without `--model` the model follows a script. Without `--live` the image is a placeholder from the
sandbox: no key, no cost. `--live` pays for a real one with the key in PIXAZO_API_KEY.
"""

import sys
from typing import Any

from _scripted import draws, make_parser, open_model, print_saved, says
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from langchain_qwen_image import QwenImageError, QwenImageTool


def decide(call: dict[str, Any]) -> dict[str, str]:
    """Let a person decide on one call; no answer is a no."""
    print(f"Draw {call['args']['prompt']!r}? [y/N] ", end="", flush=True)
    return {"type": "approve" if sys.stdin.readline().strip() == "y" else "reject"}


def main() -> None:
    """Say what an image costs, and let the person decide on each call."""
    given = make_parser(__doc__).parse_args()

    tool = QwenImageTool(sandbox=not given.live, save_to="images")
    model = open_model(given.model, draws("A paper boat on a puddle"), says("As you wish."))
    gate = HumanInTheLoopMiddleware(interrupt_on={tool.name: True})
    agent = create_agent(model, [tool], middleware=[gate], checkpointer=InMemorySaver())
    print(f"This costs ${tool.price_usd if given.live else 0:.3f}.", flush=True)
    step: Any = {"messages": [("user", "Draw a paper boat.")]}
    thread: Any = {"configurable": {"thread_id": "1"}}
    while asked := (state := agent.invoke(step, thread)).get("__interrupt__"):
        calls = asked[0].value["action_requests"]
        step = Command(resume={"decisions": [decide(call) for call in calls]})
    print(*(message.text for message in state["messages"][2:]), sep="\n")
    print_saved(state["messages"])


if __name__ == "__main__":
    try:
        main()
    except QwenImageError as error:
        sys.exit(str(error))
