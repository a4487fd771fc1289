"""Generate images with Ray Data: rows that are computed again are not paid for again.

    pip install "langchain-qwen-image[sandbox]" "ray[data]"
    python examples/engine_ray.py "a red fox" "an owl" "a hare"

Images are placeholders from the sandbox: no key, no cost. With PIXAZO_SANDBOX=0 they are real and
paid for. `--bare` leaves the keys out, to compare.
"""

import argparse
import os
from pathlib import Path
from typing import Any

import ray

from langchain_qwen_image import QwenImageError, QwenImageGenerator

FOLDER = Path("images").absolute()
SANDBOX = os.environ.get("PIXAZO_SANDBOX") != "0"


def generate(row: dict[str, Any], run: str | None) -> dict[str, Any]:
    """Generate and save the image of a row; an error here would end the whole job."""
    generator = QwenImageGenerator(save_to=FOLDER, sandbox=SANDBOX)
    key = row["item"] if run else None
    try:
        result = generator.invoke(row["prompt"], idempotency_key=key, run=run)
    except QwenImageError as error:
        return {**row, "path": "", "error": str(error)}
    return {**row, "path": result.image.path or "", "error": ""}


def main() -> None:
    """Generate an image for each prompt, on one CPU of this machine."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("prompts", nargs="+")
    parser.add_argument("--bare", action="store_true", help="without keys")
    given = parser.parse_args()
    rows = [{"item": f"S-{n}", "prompt": prompt} for n, prompt in enumerate(given.prompts, 1)]
    ray.init(num_cpus=1, include_dashboard=False)
    images = ray.data.from_items(rows, override_num_blocks=1)
    for row in images.map(generate, fn_args=[None if given.bare else "shop"]).take_all():
        print(row["item"], row["path"] or row["error"])


if __name__ == "__main__":
    main()
