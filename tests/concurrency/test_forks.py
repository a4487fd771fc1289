"""A fork while other threads are busy: the child goes on."""

import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace

import pytest
import warm

from langchain_qwen_image.concurrency import forks

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

FIRST_CALL = """
import os, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from langchain_qwen_image import QwenImageGenerator

module, folder = sys.argv[1:]
begun, go_on = threading.Event(), threading.Event()

class Slow:
    "Holds an import up, in the middle of it."
    def find_spec(self, name, path=None, target=None):
        if name == module and not begun.is_set():
            begun.set()
            go_on.wait()

sys.meta_path.insert(0, Slow())
call = lambda: QwenImageGenerator(sandbox=True, size="512*512", save_to=folder).invoke("a fox")
thread = threading.Thread(target=call)
thread.start()
assert begun.wait(60)
threading.Timer(0.2, go_on.set).start()
child = os.fork()
if child == 0:
    threading.Timer(60, os._exit, [9]).start()
    call()
    os._exit(0)
thread.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@needs_fork
@pytest.mark.parametrize(
    "module",
    [
        "langchain_qwen_image.pipeline.assembly",
        pytest.param("httpcore", marks=pytest.mark.long),
        pytest.param("PIL.Image", marks=pytest.mark.long),
        pytest.param("langchain_core.tracers.langchain", marks=pytest.mark.long),
    ],
)
def test_a_fork_during_the_first_call(tmp_path: Path, module: str) -> None:
    """A child forked while another thread imports what a call needs makes its own call."""
    program = [sys.executable, "-c", FIRST_CALL, module, str(tmp_path)]
    assert subprocess.run(program, capture_output=True, text=True).stdout == "0\n"


HELD_PACE = """
import os, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from langchain_qwen_image.account import Pace
from langchain_qwen_image.account.pace_state import PaceState
from langchain_qwen_image.account.pace_store import MemoryPaceStore
from langchain_qwen_image.concurrency.runtime import BLOCKING, run_blocking

held, go_on = threading.Event(), threading.Event()

class Slow(MemoryPaceStore):
    "Blocks the first reader, which holds the lock of the pace."
    def peek(self):
        if not held.is_set():
            held.set()
            go_on.wait()
        return super().peek()

pace = Pace(Slow())
turn = lambda: run_blocking(pace.turn(BLOCKING, longest=60))
thread = threading.Thread(target=turn)
thread.start()
assert held.wait(60)
threading.Timer(0.2, go_on.set).start()
child = os.fork()
if child == 0:
    threading.Timer(60, os._exit, [9]).start()
    turn()
    os._exit(0)
thread.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@needs_fork
def test_a_fork_while_another_thread_takes_its_turn() -> None:
    """A child forked while another thread holds the lock of a pace takes a turn of its own."""
    run = warm.run([sys.executable, "-c", HELD_PACE])
    assert run.stdout == "0\n"


@pytest.mark.parametrize(
    ("imports", "seconds"),
    [
        pytest.param([{"a"}, {"a", "a.b"}, {"a", "a.c"}, set()], 24, id="goes on"),
        pytest.param([{"a"}] * 9, 16, id="stands still"),
    ],
)
def test_a_fork_waits_for_an_import_as_long_as_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, imports: list[set[str]], seconds: int
) -> None:
    """One that goes on is waited for to its end; one that stands still may wait for the fork."""
    passed, left = 0, list(imports)

    def sleep(_: float) -> None:
        nonlocal passed
        passed += 8

    monkeypatch.setattr(forks, "time", SimpleNamespace(monotonic=lambda: passed, sleep=sleep))
    monkeypatch.setattr(forks, "_imported_by_others", lambda: frozenset(left.pop(0)))
    waited = forks._no_imports()
    next(waited)
    waited.close()
    assert passed == seconds


def test_what_an_import_brings_is_held_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fork that waits for an import holds the locks of what was imported meanwhile."""
    seen: list[str] = []

    def hold() -> Generator[None]:
        seen.append("held")
        try:
            yield
        finally:
            seen.append("let go")

    def wait_for_an_import() -> Generator[None]:
        if not forks._holds:
            forks.hold_over_forks(lambda: [hold()])
        yield

    monkeypatch.setattr(forks, "_holds", [])
    monkeypatch.setattr(forks, "_no_imports", wait_for_an_import)
    forks._before()
    try:
        assert seen == ["held"]
    finally:
        forks._let_go()
    assert seen == ["held", "let go"]
