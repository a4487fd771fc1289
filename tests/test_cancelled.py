"""Cancelled calls: passed on at once, never sent late, and a paid one is finished."""

import asyncio
import random
import time
from pathlib import Path

import pytest

from langchain_qwen_image import Budget, QwenImageClient, QwenImageGenerator
from langchain_qwen_image.ledger import Ledger
from langchain_qwen_image.sandbox import SandboxServer, draw_plain

_KEY = "test-key-0123456789abcdef"


async def _until(condition: object, seconds: float = 10.0) -> None:
    assert callable(condition)
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that")


async def test_five_thousand_cancelled_calls() -> None:
    """After 5,000 calls cancelled at random moments on one generator, the next ten work."""
    with SandboxServer(draw=draw_plain, latency_seconds=0.02) as server:
        generator = QwenImageGenerator(base_url=server.base_url, api_key=_KEY)
        moments = random.Random(7)
        cancelled = 0

        async def worker() -> None:
            nonlocal cancelled
            for _ in range(128):
                try:
                    await asyncio.wait_for(generator.ainvoke("a fox"), moments.uniform(0, 0.03))
                except TimeoutError:
                    cancelled += 1

        while cancelled < 5_000:
            await asyncio.gather(*(worker() for _ in range(40)))
        results = await asyncio.gather(*(generator.ainvoke("a heron") for _ in range(10)))
        assert [result.prompt for result in results] == ["a heron"] * 10


async def test_paid_call_is_finished(tmp_path: Path) -> None:
    """A call cancelled after its POST left ends at once, and its picture is kept and booked."""
    with SandboxServer(draw=draw_plain, latency_seconds=0.3) as server:
        budget = Budget(max_images=5)
        generator = QwenImageGenerator(
            base_url=server.base_url, api_key=_KEY, save_to=tmp_path, budget=budget
        )
        task = asyncio.create_task(generator.ainvoke("a fox"))
        await _until(lambda: server.gateway.post_count == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert list(tmp_path.glob("*.png")) == [], "it must not wait for the answer"
        ledger = Ledger(tmp_path / ".qwen-image.db")
        await _until(lambda: [call.state for call in ledger.calls()] == ["kept"])
        assert len(list(tmp_path.glob("*.png"))) == 1
        assert (budget.images, budget.reserved_usd) == (1, 0)
        generator.close()


async def test_unsent_call_never_leaves(tmp_path: Path) -> None:
    """A call cancelled before its POST left buys nothing, and its money is given back."""
    with SandboxServer(draw=draw_plain) as server:
        budget = Budget(max_images=5)
        generator = QwenImageGenerator(
            base_url=server.base_url, api_key=_KEY, save_to=tmp_path, budget=budget
        )
        task = asyncio.create_task(generator.ainvoke("a fox"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await _until(lambda: budget.reserved_usd == 0)
        await asyncio.sleep(0.1)
        assert server.gateway.post_count == 0
        assert budget.images == 0
        generator.close()


async def test_cancelled_between_attempts() -> None:
    """A call cancelled while it waits to repeat is not repeated."""
    with SandboxServer(draw=draw_plain) as server:
        waiting = asyncio.Event()

        async def wait_long(_: float) -> None:
            waiting.set()
            await asyncio.sleep(60)

        client = QwenImageClient(base_url=server.base_url, api_key=_KEY, asleep=wait_long)
        task = asyncio.create_task(client.agenerate("sandbox:429"))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.05)
        assert server.gateway.post_count == 1
        await client.aclose()


def test_ctrl_c_passes(
    server: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while a POST is out passes through, and is booked as perhaps billed."""
    budget = Budget(max_images=5)
    generator = QwenImageGenerator(
        base_url=server.base_url, api_key=_KEY, save_to=tmp_path, budget=budget
    )

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("langchain_qwen_image.client.post", interrupted)
    with pytest.raises(KeyboardInterrupt):
        generator.invoke("a fox")
    [call] = Ledger(tmp_path / ".qwen-image.db").calls()
    assert (call.state, call.error, budget.images) == ("unknown", "KeyboardInterrupt", 1)
    generator.close()


def test_loop_that_ends_first() -> None:
    """A cancelled paid call does not keep `asyncio.run` from ending, and leaves no warning."""
    with SandboxServer(draw=draw_plain, latency_seconds=5) as server:
        client = QwenImageClient(base_url=server.base_url, api_key=_KEY)

        async def cancel_it() -> None:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.agenerate("a fox"), 0.2)

        started = time.monotonic()
        asyncio.run(cancel_it())
        assert server.gateway.post_count == 1
        assert time.monotonic() - started < 5
