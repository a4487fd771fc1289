"""A chain in which a model writes the prompt: from an idea to a description to an image.

Without `--model` a scripted one stands in, and without `--live` the image is the sandbox's
placeholder: no key is needed. `--live` pays for a real one with the key in PIXAZO_API_KEY.

    python examples/chain_writer.py
    python examples/chain_writer.py --live --model openai:gpt-5.5 "a poster about rain"
"""

import argparse
import sys

from _scripted import open_model, says
from langchain_core.prompts import ChatPromptTemplate

from langchain_qwen_image import QwenImageError, QwenImageGenerator

TEMPLATE = ChatPromptTemplate.from_messages(
    [
        ("system", "You write prompts for an image model: one paragraph, what is to be seen."),
        ("human", "{idea}"),
    ]
)
WRITTEN = "Rain on a tin roof at night, one warm window, a screen print in two colours"


def main() -> None:
    """Say what it will cost, run the chain, and print what was written and drawn."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("idea", nargs="?", default="a poster about rain")
    parser.add_argument("--live", action="store_true", help="pay for a real image")
    parser.add_argument("--model", metavar="PROVIDER:NAME", help="ask a real chat model")
    given = parser.parse_args()

    generator = QwenImageGenerator(sandbox=not given.live, save_to="images", prompt_extend=False)
    chain = TEMPLATE | open_model(given.model, says(WRITTEN)) | generator
    print(f"This costs ${generator.price_usd if given.live else 0:.3f}.", flush=True)
    result = chain.invoke({"idea": given.idea})
    print(result.prompt)
    print(result.image.path or f"Not saved ({result.image.download_error}): {result.image.url}")


if __name__ == "__main__":
    try:
        main()
    except QwenImageError as error:
        sys.exit(str(error))
