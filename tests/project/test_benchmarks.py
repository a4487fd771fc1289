"""The benchmarks run, and what they count of ours is what is promised."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.long
def test_benchmarks_run_and_ours_pays_once(tmp_path: Path) -> None:
    """A quick run has all tables, and a lost answer costs one POST through each of our faces."""
    results = tmp_path / "RESULTS.md"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks", "--quick", "--output", str(results)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    text = results.read_text(encoding="utf-8")
    assert re.findall(r"^## (.*?)(?:,|$)", text, re.MULTILINE) == [
        "Promised and measured",
        "Paid POSTs for one call whose answer is lost",
        "One call",
        "One call with an account",
        "40 calls at once",
        "CPU time of a call",
        "A blocking batch of 8",
        "Memory of a call",
        "3 images of 1.3 MB",
        "Cold import",
        "Reading an answer",
    ]
    for face in ("QwenImageTool", "QwenImageGenerator"):
        assert f"| {face} | 1 | 1 | 1 | 1 |" in text
    assert re.search(r"\| connections opened / most calls in flight \| ≤ 1 \| [\d.]+ \|", text)
