"""Signals to commands that pay, as real processes: what is paid for is waited for, and said."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import warm
from books import books
from held import HeldServer
from waiting import PATIENCE, wait_until

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.cli.interrupts import run_interruptible
from langchain_qwen_image.sandbox import SandboxServer


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def heeded() -> Iterator[None]:
    """Let commands start as on a terminal, also where the tests run under `nohup` or behind `&`."""
    heeded: dict[int, Any] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGHUP: signal.SIG_DFL,
    }
    previous = {number: signal.signal(number, handler) for number, handler in heeded.items()}
    yield
    for number, handler in previous.items():
        signal.signal(number, handler)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldServer]:
    """Point the command at a gateway that holds its answers back, with a key."""
    with HeldServer() as server:
        monkeypatch.setenv("PIXAZO_BASE_URL", server.base_url)
        monkeypatch.setenv("PIXAZO_API_KEY", "test-key-0123456789abcdef")
        yield server


class Command:
    """A command in a process of its own."""

    def __init__(self, *arguments: str, **named: Any) -> None:
        with Path("stdout").open("wb") as out, Path("stderr").open("wb") as err:
            self.process = (subprocess if named else warm).Popen(
                [sys.executable, "-m", "langchain_qwen_image", *arguments],
                stdout=out,
                stderr=err,
                env={**os.environ, "COLUMNS": "100"},
                **named,
            )

    @property
    def said(self) -> str:
        """What it printed."""
        return Path("stdout").read_text()

    @property
    def complained(self) -> str:
        """What it wrote to stderr."""
        return Path("stderr").read_text()

    def send(self, number: int, until: Callable[[], bool]) -> None:
        """Send a signal, and wait for what shows that it was noticed."""
        self.process.send_signal(number)
        wait_until(lambda: until() or self.process.poll() is not None)

    def wait(self) -> int:
        """Return its exit status."""
        return self.process.wait(PATIENCE)


def batch(concurrency: int, *options: str) -> Command:
    """Start a batch of nine prompts."""
    Path("p.txt").write_text("".join(f"image {number}\n" for number in range(9)))
    return Command(
        *("batch", "p.txt", "--out", "out", "--yes", "--concurrency", str(concurrency)), *options
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_to_a_batch_waits_for_what_was_sent(
    held: HeldServer, here: Path, number: int
) -> None:
    """It sends no more, saves what was sent, and says how to go on; 128 and the signal's number."""
    run = batch(3)
    wait_until(lambda: held.gateway.post_count == 3)
    run.send(number, lambda: "Stopping" in run.complained)
    assert "waiting for 3 requests that may be billed" in run.complained
    held.release()
    assert run.wait() == 128 + number
    assert run.said.splitlines() == ["3 of 9 images are in out.", "Paid $0.135 for 3 new images."]
    assert "Interrupted. Run the same command again for the rest." in run.complained
    assert "recover" not in run.complained
    assert {call.state for call in Account(books(here / "out")).calls()} == {"saved"}
    assert held.gateway.post_count == 3


def test_the_second_signal_to_a_batch_says_what_may_be_paid(held: HeldServer, here: Path) -> None:
    """Nothing is waited for, and what was sent is said to be perhaps paid, with what to do."""
    run = batch(4)
    wait_until(lambda: held.gateway.post_count == 4)
    run.send(signal.SIGINT, lambda: "Stopping" in run.complained)
    run.send(signal.SIGINT, lambda: False)
    assert run.wait() == 130
    assert run.said.splitlines() == [
        "0 of 9 images are in out.",
        "4 requests with no known answer may have been billed: $0.18 at most.",
    ]
    assert "4 requests may have been billed, $0.18 at most." in run.complained
    assert "qwen-image recover out" in run.complained
    states = [call.state for call in Account(books(here / "out")).calls()]
    assert len(states) == 4
    assert {*states} <= {"sent", "unknown"}
    assert held.gateway.post_count == 4


def test_a_batch_that_was_left_counts_what_was_bought_before(held: HeldServer, here: Path) -> None:
    """Images that are saved are counted and paid, also beside requests without an answer."""
    Path("p.txt").write_text("image 0\n")
    held.release()
    assert Command("batch", "p.txt", "--out", "out", "--yes").wait() == 0
    held.hold()
    run = batch(2)
    wait_until(lambda: held.gateway.post_count == 3)
    run.send(signal.SIGTERM, lambda: "Stopping" in run.complained)
    run.send(signal.SIGTERM, lambda: False)
    assert run.wait() == 143
    assert run.said.splitlines() == [
        "1 of 9 images are in out (1 from earlier runs).",
        "2 requests with no known answer may have been billed: $0.09 at most.",
    ]


def test_a_signal_that_was_ignored_stays_ignored(held: HeldServer, here: Path) -> None:
    """A process that was started to ignore SIGHUP, as under `nohup`, goes on to its end."""
    run = Command(
        *("generate", "a fox"),
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    wait_until(lambda: held.gateway.post_count == 1)
    run.process.send_signal(signal.SIGHUP)
    held.release()
    assert run.wait() == 0
    assert "Waiting" not in run.complained


@pytest.mark.parametrize(
    ("number", "options"),
    [
        pytest.param(signal.SIGINT, [], id="SIGINT"),
        pytest.param(signal.SIGTERM, ["-o", "fox.png"], id="SIGTERM, a file"),
        pytest.param(signal.SIGHUP, ["-o", "new/"], id="SIGHUP, a folder"),
    ],
)
def test_the_first_signal_to_generate_waits_for_the_image(
    held: HeldServer, here: Path, number: int, options: list[str]
) -> None:
    """The image that was asked for is saved and shown; 128 and the signal's number."""
    run = Command("generate", "a fox", *options)
    wait_until(lambda: held.gateway.post_count == 1)
    run.send(number, lambda: "press Ctrl-C again" in run.complained)
    held.release()
    assert run.wait() == 128 + number
    path, kind, cost = run.said.splitlines()
    assert Path(path).read_bytes().startswith(b"\x89PNG")
    assert (kind.split(",")[0], cost) == ("1328×1328 PNG", "$0.045")
    assert held.gateway.post_count == 1


@pytest.mark.parametrize(
    ("options", "where"),
    [
        pytest.param([], ".\n", id="a new file"),
        pytest.param(["-o", "fox.png"], ".\n", id="a file"),
        pytest.param(["--account", "all.db"], ". --account all.db\n", id="an account"),
    ],
)
def test_the_second_signal_to_generate_says_what_may_be_paid(
    held: HeldServer, here: Path, options: list[str], where: str
) -> None:
    """It leaves at once, and says how much may be paid and what to do."""
    run = Command("generate", "a fox", *options)
    wait_until(lambda: held.gateway.post_count == 1)
    run.send(signal.SIGINT, lambda: "press Ctrl-C again" in run.complained)
    run.send(signal.SIGINT, lambda: False)
    assert run.wait() == 130
    assert run.said == ""
    assert "Interrupted. The image may have been billed, $0.045 at most." in run.complained
    assert f"qwen-image recover {where}" in run.complained
    [call] = Account(here / "all.db" if "--account" in options else books(here)).calls()
    assert call.state in ("sent", "unknown")
    assert held.gateway.post_count == 1


def test_a_signal_in_the_download_says_that_the_image_is_paid_for(
    server: SandboxServer, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left after the answer came, it says what was paid and that the image can be recovered."""
    monkeypatch.setenv("PIXAZO_BASE_URL", server.base_url)
    monkeypatch.setenv("PIXAZO_API_KEY", "test-key-0123456789abcdef")
    original, released, asked = server.gateway.answer, threading.Event(), threading.Event()

    def answer(method: str, *rest: Any) -> Any:
        if method == "GET":
            asked.set()
            released.wait(PATIENCE)
        return original(method, *rest)

    server.gateway.answer = answer  # type: ignore[method-assign]
    run = Command("generate", "a fox")
    assert asked.wait(PATIENCE)
    run.send(signal.SIGINT, lambda: "press Ctrl-C again" in run.complained)
    run.process.send_signal(signal.SIGINT)
    wait_until(lambda: run.process.poll() is not None or "Interrupted" in run.complained)
    released.set()
    assert run.wait() == 130
    assert server.gateway.post_count == 1
    assert "Interrupted. The image is paid for, $0.045." in run.complained
    assert "qwen-image recover ." in run.complained


def test_signals_before_the_work_begins_are_not_lost() -> None:
    """A signal that comes while the loop is being made counts as the first."""
    finished: list[str] = []

    async def work() -> str:
        wait = asyncio.Event()
        finished.append("started")
        await wait.wait()
        return "never"

    def finish(task: asyncio.Task[str]) -> None:
        finished.append("finish")
        task.cancel()

    async def with_signal() -> str:
        signal.raise_signal(signal.SIGTERM)
        return await work()

    ended = run_interruptible(with_signal(), finish)
    assert (ended.value, ended.status) == (None, 143)
    assert finished == ["started", "finish"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_the_third_signal_is_an_interrupt() -> None:
    """What does not end after the second is left by `KeyboardInterrupt`."""

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            signal.raise_signal(signal.SIGINT)

    async def work() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        await stubborn()

    with pytest.raises(KeyboardInterrupt):
        run_interruptible(work(), lambda _: None)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_work_without_a_signal_returns_or_raises() -> None:
    """Without a signal the value comes with status 0, and an error as it is."""

    async def work(error: Exception | None) -> str:
        if error is not None:
            raise error
        return "done"

    assert run_interruptible(work(None), lambda _: None) == ("done", 0)
    with pytest.raises(ValueError, match="bad"):
        run_interruptible(work(ValueError("bad")), lambda _: None)
