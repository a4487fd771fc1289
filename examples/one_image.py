"""Generate one image and save it in a folder.

    pip install "langchain-qwen-image[sandbox]"
    python examples/one_image.py "A red fox in the snow, woodcut"

Without `--live` the image is a placeholder from the sandbox: no key, no cost. `--live` pays for a
real one with the key in PIXAZO_API_KEY.
"""

import argparse
import sys

from langchain_qwen_image import Budget, QwenImageError, QwenImageGenerator


def main() -> None:
    """Say what it will cost, generate, and print where the image is."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("prompt", nargs="?", default="A red fox in the snow, woodcut")
    parser.add_argument("--live", action="store_true", help="pay for a real image")
    given = parser.parse_args()

    generator = QwenImageGenerator(
        sandbox=not given.live, save_to="images", budget=Budget(max_images=1)
    )
    print(f"This costs ${generator.price_usd if given.live else 0:.3f}.", flush=True)
    result = generator.invoke(given.prompt)
    image = result.image
    print(f"{image.width} × {image.height} pixels, ${result.cost_usd:.3f}")
    print("Open", image.path or f"{image.url} ({image.download_error})")


if __name__ == "__main__":
    try:
        main()
    except QwenImageError as error:
        sys.exit(str(error))
