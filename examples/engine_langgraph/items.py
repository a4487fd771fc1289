"""A graph for LangGraph's server: a run that the server starts again does not pay again.

    pip install "langchain-qwen-image[sandbox]" "langgraph-cli[inmem]"
    cd examples/engine_langgraph
    langgraph dev

PIXAZO_SANDBOX in `langgraph.json` makes placeholders, without a key. A run without "run" in its
input has no key.
"""

from typing import TypedDict

from langgraph.graph import START, StateGraph

from langchain_qwen_image import QwenImageGenerator


class Item(TypedDict, total=False):
    """What a run is given, and the path that it adds."""

    item: str
    prompt: str
    run: str
    path: str | None


async def generate(state: Item) -> Item:
    """Generate and save one image; the server repeats this node if it is killed in it."""
    generator = QwenImageGenerator(save_to="images")
    run = state.get("run")
    key = state["item"] if run else None
    result = await generator.ainvoke(state["prompt"], idempotency_key=key, run=run)
    return {"path": result.image.path}


graph = StateGraph(Item).add_node(generate).add_edge(START, "generate").compile()
