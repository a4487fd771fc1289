"""Two processes on one thread of a graph: after a death, and at the same moment."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import warm
from graphs import Program, asking, tool_graph
from held import HeldServer
from scripted_model import drawing
from waiting import PATIENCE, wait_until

from langchain_qwen_image import QwenImageTool

FOX = drawing("a fox")
DIE: Any = {"name": "dies", "args": {}, "id": "call_9", "type": "tool_call"}
PROGRAM = """
import json, logging, os, signal, sys
from functools import partial
from pathlib import Path
from langchain_core.tools import tool as as_tool
from graphs import Program, asking, drawn, tool_graph
from scripted_model import drawing
from waiting import wait_until
from langchain_qwen_image import QwenImageTool

world, given, options, base_url, account = json.loads(sys.argv[1])
logging.basicConfig(level="INFO")

@as_tool
def dies() -> str:
    "Die when an image was paid for and saved, the first time."
    wait_until(lambda: list(Path("images").glob("*.json")))
    if not Path("died").exists():
        Path("died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"

tool = QwenImageTool(base_url=base_url, api_key="test-key", account=account, save_to="images")
program = Program(
    partial(tool_graph, [tool, dies]), is_async=world == "async", file=Path("checkpoints.db")
)
state = program.invoke(given and asking(*given), **options)
print(json.dumps(drawn(state)))
"""
WORLDS = [
    pytest.param(("sqlite", "sync"), id="sqlite-sync"),
    pytest.param(("postgres", "async"), id="postgres-async"),
    pytest.param(("sqlite", "async"), id="sqlite-async", marks=pytest.mark.long),
    pytest.param(("postgres", "sync"), id="postgres-sync", marks=pytest.mark.long),
]
WAITS = "is under way in another process"
pytestmark = pytest.mark.slow


class Processes:
    """Starts the program in processes that share checkpoints, account and folder."""

    def __init__(self, folder: Path, world: str, account: str, held: HeldServer) -> None:
        self.folder = folder
        self._common = (world, account, held.base_url)
        self._started = 0

    @contextmanager
    def started(self, given: Any, **options: Any) -> Iterator[tuple[Any, Path]]:
        """Start the program, and give the process and the file of its log."""
        world, account, base_url = self._common
        order = json.dumps([world, given, options, base_url, account])
        self._started += 1
        log = self.folder / f"log{self._started}"
        with (
            log.open("w") as file,
            warm.Popen(
                [sys.executable, "-c", PROGRAM, order],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
            ) as process,
        ):
            yield process, log

    def run(self, given: Any, **options: Any) -> Any:
        """Run the program to its end, and return its artifacts; None if it was killed."""
        with self.started(given, **options) as (process, log):
            said, _ = process.communicate(timeout=PATIENCE)
        if process.returncode == -signal.SIGKILL:
            return None
        assert process.returncode == 0, log.read_text()
        return json.loads(said)


@pytest.fixture(params=WORLDS)
def processes(request: pytest.FixtureRequest, tmp_path: Path, held: HeldServer) -> Processes:
    """Return what starts processes, for each store and each world."""
    store, world = request.param
    is_sqlite = store == "sqlite"
    account = str(tmp_path / "a.db") if is_sqlite else request.getfixturevalue("database_url")
    return Processes(tmp_path, world, account, held)


def told(artifacts: Any) -> list[Any]:
    """Return what artifacts say of the payment."""
    return [(one["replayed"], one["cost_usd"], one["first_cost_usd"]) for one in artifacts]


def test_killed_after_paying(processes: Processes, held: HeldServer) -> None:
    """A process that is killed in its step after paying, and another that resumes it: 1 POST."""
    assert processes.run([FOX, DIE]) is None
    assert held.gateway.post_count == 1
    assert told(processes.run(None)) == [(True, 0.0, 0.045)]
    assert held.gateway.post_count == 1
    assert len(list((processes.folder / "images").glob("*.png"))) == 1


def test_killed_before_its_checkpoint_was_written(processes: Processes, held: HeldServer) -> None:
    """With `durability="exit"` a killed run left no step to know again: a new image, 2 POSTs."""
    assert processes.run([FOX, DIE], durability="exit") is None
    assert told(processes.run([FOX], durability="exit")) == [(False, 0.045, None)]
    assert held.gateway.post_count == 2


def test_two_at_the_same_moment(processes: Processes, held: HeldServer) -> None:
    """Two processes that go on with one thread at once: 1 POST, and both have the image."""
    folder = processes.folder
    Program(
        partial(tool_graph, [QwenImageTool(sandbox=True)], interrupt_before=["tools"]),
        file=folder / "checkpoints.db",
    ).invoke(asking(FOX))
    held.hold()
    with processes.started(None) as (first, log), processes.started(None) as (second, other_log):
        wait_until(lambda: any(WAITS in one.read_text() for one in (log, other_log)))
        held.release()
        artifacts = [json.loads(one.communicate(timeout=PATIENCE)[0]) for one in (first, second)]
    (paid,), (waited,) = sorted(artifacts, key=lambda one: -one[0]["cost_usd"])
    assert told([paid, waited]) == [(False, 0.045, None), (True, 0.0, 0.045)]
    assert paid["images"][0]["id"] == waited["images"][0]["id"]
    assert held.gateway.post_count == 1
