"""One worker of a fleet, to be killed: python -m benchmarks.fleet_worker '{"url": …}'."""

import asyncio
import json
import logging
import sys
from typing import Any

from langchain_qwen_image import Account, QwenImageGenerator
from langchain_qwen_image.fleet.database import Database
from langchain_qwen_image.fleet.pulse import Timing
from langchain_qwen_image.fleet.worker import FleetWorker

QUICK = Timing(heartbeat=1.0, stalled=4.0, look=0.5, probe=0.5, longest_probe=2.0)


def worker_of(given: dict[str, Any]) -> FleetWorker:
    """Return a worker that ends when all is settled, and takes over what the dead had soon."""
    account = Account(given["url"])

    def generator() -> QwenImageGenerator:
        return QwenImageGenerator(
            api_key="test-key-0123456789abcdef",
            base_url=given["base_url"],
            account=account,
            save_to=given["folder"],
            timeout=given["timeout"],
        )

    return FleetWorker(
        Database(account),
        generator().pipeline.sender.base_url,
        generator,
        concurrency=given["concurrency"],
        until_empty=given["until_empty"],
        timing=QUICK,
    )


def main() -> None:
    """Work until all is settled."""
    for library in ("procrastinate", "psycopg.pool"):
        logging.getLogger(library).addHandler(logging.NullHandler())
    print(asyncio.run(worker_of(json.loads(sys.argv[1])).work()).items)


if __name__ == "__main__":
    main()
