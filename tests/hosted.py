"""Programs of other frameworks, each in an environment of its own that `make hosts` makes."""

import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from waiting import PATIENCE, wait_until

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
_QUIET = {
    "DO_NOT_TRACK": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_OFFLINE": "1",
    "LANGGRAPH_CLI_NO_ANALYTICS": "1",
    "LANGSMITH_TRACING": "false",
    "PYTHONUNBUFFERED": "1",
    "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
    "STREAMLIT_SERVER_HEADLESS": "true",
}
"""What keeps hosts from telling others that they run, and from opening a browser."""


def environment(host: str) -> Path:
    """Return the folder of a host's environment; the test is skipped where it is not installed."""
    folder = ROOT / f".venv-hosts-{host}"
    if not (folder / ".host").exists():
        pytest.skip(f"{host} is not installed: make hosts")
    return folder


@contextmanager
def running(
    home: Path, command: Sequence[str], folder: Path, url: str, **variables: str
) -> Iterator[Path]:
    """Run a host's program in a folder until the block ends; yields the file of what it prints.

    Args:
        home: Its environment, whose programs are found first.
        command: The program and its arguments.
        folder: Where it runs.
        url: Answered by the program when it is ready.
        variables: Added to its environment.
    """
    path = os.pathsep.join([str(home / "bin"), os.environ["PATH"]])
    printed = folder / "printed.log"
    with (
        printed.open("wb") as log,
        subprocess.Popen(
            ["env", *command],  # looks for the program in the PATH below
            cwd=folder,
            env={**os.environ, **_QUIET, "PATH": path, **variables},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            wait_until(lambda: process.poll() is not None or _answers(url))
            assert process.poll() is None, printed.read_text(encoding="utf-8", errors="replace")
            yield printed
        finally:
            _end(process)


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=PATIENCE).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a program and what it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(20)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def reachable(urls: Sequence[str], secret: str) -> list[str]:
    """Return those of these addresses whose answer has a text in it, or is a database."""
    told = []
    for url in urls:
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                body = answer.read()
        except OSError:
            continue
        if secret.encode() in body or re.match(rb"SQLite format 3", body):
            told.append(url)
    return told
