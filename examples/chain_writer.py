"""Let a model write the prompt: a chain from an idea to a description to an image.

    pip install "langchain-qwen-image[sandbox]" langchain
    python examples/chain_writer.py

Without `--model` the model follows a script. Without `--live` the image is a placeholder from the
sandbox: no key, no cost. `--live` pays for a real one with the key in PIXAZO_API_KEY. For a
real model, install its provider too:

    pip install langchain-openai
    python examples/chain_writer.py --live --model openai:gpt-5.5 "a poster about rain"
"""

import sys

from _scripted import make_parser, open_model, says
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
    """Say what it will cost, run the chain, and print the prompt and where the image is."""
    parser = make_parser(__doc__)
    parser.add_argument("idea", nargs="?", default="a poster about rain")
    given = parser.parse_args()

    generator = QwenImageGenerator(sandbox=not given.live, save_to="images", prompt_extend=False)
    chain = TEMPLATE | open_model(given.model, says(WRITTEN)) | generator
    print(f"This costs ${generator.price_usd if given.live else 0:.3f}.", flush=True)
    result = chain.invoke({"idea": given.idea})
    print(result.prompt)
    print("Open", result.image.path or f"{result.image.url} ({result.image.download_error})")


if __name__ == "__main__":
    try:
        main()
    except QwenImageError as error:
        sys.exit(str(error))
