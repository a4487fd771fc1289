"""Generate images in Celery tasks: a task that runs again does not pay again.

    pip install "langchain-qwen-image[sandbox]" "celery[sqlalchemy]"
    cd examples
    celery -A engine_celery worker --concurrency 2
    python engine_celery.py "a red fox" "an owl" "a hare"

The last line is for a second terminal. Images are placeholders from the sandbox: no key, no cost.
With PIXAZO_SANDBOX=0 the workers pay for real ones. `--bare` leaves the keys out, to compare.
"""

import argparse
import os

from celery import Celery

from langchain_qwen_image import QwenImageGenerator
from langchain_qwen_image.errors import CallInProgressError

BROKER = os.environ.get("CELERY_BROKER_URL", "sqla+sqlite:///queue.db")
SANDBOX = os.environ.get("PIXAZO_SANDBOX") != "0"
app = Celery("engine_celery", broker=BROKER)


# Celery confirms a task before it runs, unless both are set: then a killed worker loses none.
@app.task(
    acks_late=True,
    reject_on_worker_lost=True,
    autoretry_for=(CallInProgressError,),
    max_retries=None,
    ignore_result=True,
)
def generate(item: str, prompt: str, run: str | None) -> None:
    """Generate and save one image; `item` is the same whenever the task runs again."""
    generator = QwenImageGenerator(save_to="images", sandbox=SANDBOX)
    key = item if run else None
    result = generator.invoke(prompt, idempotency_key=key, run=run)
    print(item, result.image.path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("prompts", nargs="+")
    parser.add_argument("--bare", action="store_true", help="without keys")
    given = parser.parse_args()
    for number, prompt in enumerate(given.prompts, 1):
        generate.delay(f"S-{number}", prompt, None if given.bare else "shop")
