"""Put the generator behind a prompt template: a chain from a word to an image.

    pip install "langchain-qwen-image[sandbox]"
    python examples/chain.py "lighthouse"

Without `--live` the image is a placeholder from the sandbox: no key, no cost. `--live` pays for a
real one with the key in PIXAZO_API_KEY. In `chain_writer.py` a model writes the prompt.
"""

import argparse
import sys

from langchain_core.prompts import ChatPromptTemplate

from langchain_qwen_image import QwenImageError, QwenImageGenerator

TEMPLATE = ChatPromptTemplate.from_template(
    "A flash card for children: one {thing} on a plain ground, flat colours, thick outlines, "
    "and below it the word '{thing}' in large rounded letters."
)


def main() -> None:
    """Say what it will cost, run the chain, and print where the image is."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("thing", nargs="?", default="lighthouse")
    parser.add_argument("--live", action="store_true", help="pay for a real image")
    given = parser.parse_args()

    generator = QwenImageGenerator(
        sandbox=not given.live, save_to="images", size="768*768", prompt_extend=False
    )
    chain = TEMPLATE | generator
    print(f"This costs ${generator.price_usd if given.live else 0:.3f}.", flush=True)
    result = chain.invoke({"thing": given.thing})
    print(result.prompt)
    print("Open", result.image.path or f"{result.image.url} ({result.image.download_error})")


if __name__ == "__main__":
    try:
        main()
    except QwenImageError as error:
        sys.exit(str(error))
