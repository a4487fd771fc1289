"""What fetching many large images costs in memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.long
def test_images_do_not_pile_up_in_memory() -> None:
    """Sixteen images of 4 MiB asked for at once take far less memory than they are large."""
    environment = {
        name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")
    }
    done = subprocess.run(
        [sys.executable, "benchmarks/download_memory.py", "--images", "16", "--megabytes", "4"],
        cwd=ROOT,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    assert float(done.stdout.split()[0]) < 32
