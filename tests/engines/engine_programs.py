"""Engines of others that run one example each, and the process that waits for the gateway."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
from loopback import free_port
from waiting import PATIENCE, wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
PROMPTS = {f"S-{number}": f"fox {number}" for number in range(1, 5)}
RUN = "shop"
_QUIET = {
    "LANGGRAPH_CLI_NO_ANALYTICS": "1",
    "LANGSMITH_TRACING": "false",
    "PYTHONUNBUFFERED": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}


class Engine(Protocol):
    """What a test does with an engine."""

    needs: str
    """A module of it."""

    def run(self, folder: Path, keyed: bool) -> AbstractContextManager[None]:
        """Give it one item after the other; where the block ends, it has ended all of them."""

    def before_kill(self, folder: Path) -> None:
        """Wait until the engine would know of a task that is cut off now."""

    def after_kill(self, folder: Path) -> None:
        """Start again what does not come back alone."""


class Celery:
    """A worker with one process, on a queue in a file."""

    needs = "celery"

    @contextmanager
    def run(self, folder: Path, keyed: bool) -> Iterator[None]:
        """Start a worker, queue the items, and end it when the queue has become empty."""
        worker = [sys.executable, "-m", "celery", "-A", "engine_celery", "worker"]
        with started([*worker, "--concurrency", "1", "--loglevel", "INFO"], folder) as log:
            bare = [] if keyed else ["--bare"]
            program = [sys.executable, EXAMPLES / "engine_celery.py", *PROMPTS.values(), *bare]
            subprocess.run(program, cwd=folder, check=True, timeout=PATIENCE)
            yield
            ended = ("succeeded in", "raised unexpected")
            wait_until(lambda: sum(map(log.read_text().count, ended)) == len(PROMPTS))

    def before_kill(self, folder: Path) -> None:
        """A task stays in the queue until it has ended."""

    def after_kill(self, folder: Path) -> None:
        """The worker starts another process."""


class Ray:
    """A job on a Ray of its own, with one CPU."""

    needs = "ray.data"

    @contextmanager
    def run(self, folder: Path, keyed: bool) -> Iterator[None]:
        """Run the job to its end."""
        bare = [] if keyed else ["--bare"]
        program = [sys.executable, EXAMPLES / "engine_ray.py", *PROMPTS.values(), *bare]
        with started(program, folder) as log:
            yield
            wait_until(lambda: "\nS-4 " in log.read_text())

    def before_kill(self, folder: Path) -> None:
        """The job knows of its tasks."""

    def after_kill(self, folder: Path) -> None:
        """Ray starts another process."""


class LangGraph:
    """The server of `langgraph dev`, which runs one run at a time."""

    needs = "langgraph_api"

    @contextmanager
    def run(self, folder: Path, keyed: bool) -> Iterator[None]:
        """Serve the graph, start a run for each item, and wait until all have ended."""
        shutil.copytree(EXAMPLES / "engine_langgraph", folder, dirs_exist_ok=True)
        settings = json.loads((folder / "langgraph.json").read_text())
        assert settings.pop("env") == {"PIXAZO_SANDBOX": "1"}
        (folder / "langgraph.json").write_text(json.dumps(settings))
        self._port = free_port()
        with started(self._command(), folder) as log:
            wait_until(lambda: "Application started" in log.read_text())
            runs = asyncio.run(self._start(keyed))
            yield
            wait_until(lambda: asyncio.run(self._ended(runs)))
            self._again.__exit__(None, None, None)

    def before_kill(self, folder: Path) -> None:
        """The server writes its queue to a file every 10 seconds."""
        queue = folder / ".langgraph_api" / ".langgraph_ops.pckl"
        before = queue.stat().st_mtime_ns if queue.exists() else 0
        wait_until(lambda: queue.exists() and queue.stat().st_mtime_ns > before)

    def after_kill(self, folder: Path) -> None:
        """Start the server again, in its folder."""
        self._again = started(self._command(), folder, name="again.log")
        log = self._again.__enter__()
        wait_until(lambda: "Application started" in log.read_text())

    def _command(self) -> list[Any]:
        server = [sys.executable, "-m", "langgraph_cli", "dev", "--no-browser", "--no-reload"]
        return [*server, "--host", "127.0.0.1", "--port", self._port, "--n-jobs-per-worker", "1"]

    async def _start(self, keyed: bool) -> list[tuple[str, str]]:
        from langgraph_sdk import get_client

        runs = []
        async with get_client(url=f"http://127.0.0.1:{self._port}") as client:
            for item, prompt in PROMPTS.items():
                thread = (await client.threads.create())["thread_id"]
                given = {"item": item, "prompt": prompt} | ({"run": RUN} if keyed else {})
                run = await client.runs.create(thread, "images", input=given)
                runs.append((thread, run["run_id"]))
        return runs

    async def _ended(self, runs: list[tuple[str, str]]) -> bool:
        from langgraph_sdk import get_client

        async with get_client(url=f"http://127.0.0.1:{self._port}") as client:
            states = [(await client.runs.get(*run))["status"] for run in runs]
        return not {"pending", "running"} & set(states)


@contextmanager
def started(command: Sequence[Any], folder: Path, name: str = "printed.log") -> Iterator[Path]:
    """Run a program in a folder until the block ends; yields the file of what it prints."""
    log = folder / name
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            env={**os.environ, **_QUIET, "PYTHONPATH": str(EXAMPLES)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield log
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def who_waits_for(port: int) -> int:
    """Return the process that has a connection to a port of this machine."""
    if not Path("/proc/net/tcp").exists():
        pytest.skip("finds the process in /proc, which only Linux has")
    connections = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets = {
        f"socket:[{fields[9]}]"
        for fields in connections
        if fields[2] == f"0100007F:{port:04X}" and fields[3] == "01"  # established
    }
    (found,) = {
        int(link.parts[2])
        for link in Path("/proc").glob("[0-9]*/fd/*")
        if link.is_symlink() and _target(link) in sockets
    }
    return found


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # the process has ended
        return ""
