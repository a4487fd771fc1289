"""Record cassettes: from the sandbox (free), or with `--live` from the paid gateway.

The recording itself is done by the tests that replay: this only asks, and starts them.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parents[1]
PRICE_USD = 0.045
LIVE_IMAGES = 1
_SOURCE = {
    "sandbox": "the sandbox server, over HTTP on loopback, by `make record`",
    "live": "the paid gateway, by `make record-live`",
}


def main() -> int:
    """Record, and return pytest's exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--live", action="store_true", help="record from the paid gateway")
    live = parser.parse_args().live
    if live and not _agreed():
        return 1
    kind = "live" if live else "sandbox"
    for old in (TOP / "cassettes" / kind).glob("*.yaml"):
        old.unlink()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "--no-cov"]
    command += ["--record-mode=once", "-m", f"record_{kind}", "tests/test_cassettes.py"]
    environment = {**os.environ, "QWEN_IMAGE_RECORD": kind}
    status = subprocess.run(command, cwd=TOP, env=environment, check=False).returncode
    for file in (TOP / "cassettes" / kind).glob("*.yaml"):
        file.write_text(f"# Recorded from {_SOURCE[kind]}.\n" + file.read_text("utf-8"), "utf-8")
    return status


def _agreed() -> bool:
    if not os.environ.get("PIXAZO_API_KEY", "").strip():
        print("Set PIXAZO_API_KEY to the API key first.", file=sys.stderr)
        return False
    cost = LIVE_IMAGES * PRICE_USD
    print(f"This sends {LIVE_IMAGES} POST to the paid gateway, which costs ${cost:.3f}.")
    if not sys.stdin.isatty():
        print("Run it on a terminal: it asks before it pays.", file=sys.stderr)
        return False
    return input("Type yes to pay: ").strip() == "yes"


if __name__ == "__main__":
    sys.exit(main())
