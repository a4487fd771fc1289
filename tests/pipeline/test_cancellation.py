"""Cancelled calls: gone at once for their caller, never sent twice, never lost once sent."""

import asyncio
import logging
import random
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
from held import HeldServer
from loopback import LINK, LoopbackServer, answer
from waiting import PATIENCE, await_until

from langchain_qwen_image import QwenImageClient, QwenImageGenerator
from langchain_qwen_image.errors import QwenImageError, RequestTimeoutError
from langchain_qwen_image.pipeline import cancellation as call_state_module
from langchain_qwen_image.pipeline.cancellation import CallState
from langchain_qwen_image.sandbox import SandboxServer, draw_plain
from langchain_qwen_image.transport.deadline import AsyncDeadlineBackend

KEY = "test-key-0123456789abcdef"


def at(base_url: str, **settings: Any) -> QwenImageClient:
    """Return a client."""
    return QwenImageClient(api_key=KEY, base_url=base_url, **settings)


class Gate:
    """Holds answers back until it is opened."""

    def __init__(self, said: bytes | None = None) -> None:
        """Answer with a success, or with what is said."""
        self.said = answer() if said is None else said
        self.asked = threading.Event()
        self.open = threading.Event()

    def __call__(self, _: bytes) -> bytes:
        """Note the request, and answer when the gate opens."""
        self.asked.set()
        assert self.open.wait(PATIENCE)
        return self.said


async def cancelled(task: asyncio.Task[Any]) -> bool:
    """Cancel a task, and say whether the cancellation reached its caller."""
    task.cancel()
    outcome = (await asyncio.gather(task, return_exceptions=True))[0]
    return isinstance(outcome, asyncio.CancelledError)


async def background() -> list[Any]:
    """Wait for the calls that go on in the background, and return what they came to."""
    return await asyncio.gather(*call_state_module._background, return_exceptions=True)


async def test_a_call_that_has_left_finishes_in_the_background(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The caller gets its cancellation before any answer; the answer is read all the same."""
    caplog.set_level(logging.INFO, logger="langchain_qwen_image")
    gate = Gate()
    with LoopbackServer(gate) as gateway:
        async with at(gateway.base_url) as client:
            task = asyncio.create_task(client.agenerate("a fox"))
            await asyncio.to_thread(gate.asked.wait)
            assert await cancelled(task)
            assert not gate.open.is_set()
            gate.open.set()
            (result,) = await background()
        assert result.image.url == LINK
        assert len(gateway.posts) == 1
    assert "a cancelled call was answered after all" in caplog.text
    assert call_state_module._background == set()


async def test_a_deadline_of_the_callers_is_a_cancellation() -> None:
    """`asyncio.timeout` around a call ends it for the caller, and not the paid answer."""
    gate = Gate()
    with LoopbackServer(gate) as gateway:
        async with at(gateway.base_url) as client:

            async def run_into_a_deadline() -> None:
                async with asyncio.timeout(None) as limit:
                    asked = asyncio.create_task(asyncio.to_thread(gate.asked.wait))
                    asked.add_done_callback(lambda _: limit.reschedule(0))
                    await client.agenerate("a fox")

            with pytest.raises(TimeoutError):
                await run_into_a_deadline()
            gate.open.set()
            assert [result.image.url for result in await background()] == [LINK]


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(answer(429, b"", Retry_After="0"), id="429"),
        pytest.param(answer(503, b"", Retry_After="0"), id="503"),
        pytest.param(answer(500, b""), id="500"),
        pytest.param(b"", id="dropped"),
    ],
)
async def test_nobody_repeats_a_cancelled_call(
    said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A call that nobody waits for is not tried again, also where a repeat would be allowed."""
    caplog.set_level(logging.INFO, logger="langchain_qwen_image")
    gate = Gate(said)
    waits: list[float] = []

    async def asleep(seconds: float) -> None:
        waits.append(seconds)

    with LoopbackServer(gate) as gateway:
        async with at(gateway.base_url, asleep=asleep) as client:
            task = asyncio.create_task(client.agenerate("a fox"))
            await asyncio.to_thread(gate.asked.wait)
            assert await cancelled(task)
            gate.open.set()
            (error,) = await background()
        assert isinstance(error, QwenImageError)
        assert len(gateway.posts) == 1
    assert waits == []
    assert "a cancelled call ended: " in caplog.text


async def test_a_call_that_has_not_left_never_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that is cancelled while it connects does not send its request."""
    connecting, go_on = asyncio.Event(), asyncio.Event()
    connect = AsyncDeadlineBackend.connect_tcp

    async def slowly(*args: Any, **kwargs: Any) -> Any:
        connecting.set()
        await go_on.wait()
        return await connect(*args, **kwargs)

    with LoopbackServer() as gateway:
        monkeypatch.setattr(AsyncDeadlineBackend, "connect_tcp", slowly)
        async with at(gateway.base_url) as client:
            task = asyncio.create_task(client.agenerate("a fox"))
            await connecting.wait()
            assert await cancelled(task)
            go_on.set()
            (error,) = await background()
            assert "before its request was sent" in str(error)
            assert not error.may_have_been_billed
            assert not error.is_retryable
            assert gateway.requests == []
            assert (await client.agenerate("a fox")).image.url == LINK


async def test_a_call_that_has_not_begun_never_does() -> None:
    """A task that is cancelled before its first step sends nothing."""
    with LoopbackServer() as gateway:
        async with at(gateway.base_url) as client:
            assert await cancelled(asyncio.create_task(client.agenerate("a fox")))
            await background()
            await client.agenerate("an owl")
        assert ["owl" in post.decode() for post in gateway.posts] == [True]


async def test_a_cancelled_wait_is_the_end() -> None:
    """A call that is cancelled between two attempts makes no other."""
    waiting = asyncio.Event()

    async def asleep(_: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    with LoopbackServer(answer(429, b"")) as gateway:
        async with at(gateway.base_url, asleep=asleep) as client:
            task = asyncio.create_task(client.agenerate("a fox"))
            await waiting.wait()
            assert await cancelled(task)
            await asyncio.sleep(0)
        assert len(gateway.posts) == 1
        assert call_state_module._background == set()


async def test_a_cancelled_call_keeps_its_image(tmp_path: Any) -> None:
    """What a cancelled call has bought is fetched, checked and saved."""
    with HeldServer() as gateway:
        generator = QwenImageGenerator(
            api_key=KEY, base_url=gateway.base_url, save_to=tmp_path, size="512*512"
        )
        task = asyncio.create_task(generator.ainvoke("a fox"))
        await await_until(lambda: gateway.gateway.post_count)
        assert await cancelled(task)
        gateway.release()
        await background()
        assert len(list(tmp_path.glob("*.png"))) == 1
        await generator.aclose()


def test_a_loop_that_ends_cuts_off_what_is_out(caplog: pytest.LogCaptureFixture) -> None:
    """With its loop a cancelled call ends too; that is said, and no socket is left open."""
    caplog.set_level(logging.INFO, logger="langchain_qwen_image")
    gate = Gate()
    with LoopbackServer(gate) as gateway:
        client = at(gateway.base_url)

        async def run() -> None:
            task = asyncio.create_task(client.agenerate("a fox"))
            await asyncio.to_thread(gate.asked.wait)
            assert await cancelled(task)

        asyncio.run(run())
        gate.open.set()
        assert len(gateway.posts) == 1
    assert "cut off before its answer came" in caplog.text
    assert call_state_module._background == set()


async def _wave(
    client: QwenImageClient, calls: int, workers: int, pause: Callable[[], float]
) -> tuple[int, int]:
    """Make calls that are cancelled after a pause; return how many were, and how many not."""
    counts = [0, 0]
    left = iter(range(calls))

    async def work() -> None:
        for number in left:
            try:
                await asyncio.wait_for(client.agenerate(f"fox {number}"), pause())
                counts[1] += 1
            except TimeoutError:
                counts[0] += 1

    await asyncio.gather(*(work() for _ in range(workers)))
    return counts[0], counts[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "count", [pytest.param(500, id="500"), pytest.param(5000, id="5000", marks=pytest.mark.long)]
)
async def test_many_cancelled_calls_break_nothing(count: int) -> None:
    """After very many cancelled calls on one client the next work, and none was sent twice."""
    chance = random.Random(7)
    cancelled_calls = answered_calls = 0
    with SandboxServer(draw=draw_plain, latency_seconds=0.02) as gateway:
        async with at(gateway.base_url) as client:
            while cancelled_calls < count:
                given_up, came = await _wave(client, 250, 40, lambda: chance.uniform(0, 0.025))
                cancelled_calls += given_up
                answered_calls += came
            await background()
            posts = gateway.gateway.post_count
            assert answered_calls <= posts <= answered_calls + cancelled_calls
            results = await asyncio.gather(*(client.agenerate("a fox") for _ in range(100)))
            assert len(results) == 100, "no connection is counted as taken for ever"
            assert gateway.gateway.post_count == posts + 100


def test_ctrl_c_passes_through() -> None:
    """Ctrl-C in a blocking call reaches the caller at once, and the client goes on working."""
    main = threading.main_thread().ident
    assert main is not None
    assert threading.current_thread() is threading.main_thread()
    noticed = threading.Event()

    def interrupt(_: bytes) -> bytes:
        # A signal that comes just before the blocking wait begins is noticed only after it.
        while not noticed.wait(0.05):
            signal.pthread_kill(main, signal.SIGINT)
        return b""

    def press(number: int, frame: Any) -> None:
        if not noticed.is_set():
            noticed.set()
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, press)
    try:
        with LoopbackServer(interrupt, answer()) as gateway, at(gateway.base_url) as client:
            with pytest.raises(KeyboardInterrupt):
                client.generate("a fox")
            assert client.generate("a fox").image.url == LINK
            assert len(gateway.posts) == 2
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_wait_is_the_end(error: type[BaseException]) -> None:
    """Ctrl-C between two attempts passes, and no other attempt is made."""

    def sleep(_: float) -> None:
        raise error

    with LoopbackServer(answer(429, b"")) as gateway:
        with at(gateway.base_url, sleep=sleep) as client, pytest.raises(error):
            client.generate("a fox")
        assert len(gateway.posts) == 1


def test_a_call_state_says_whether_a_call_is_out() -> None:
    """A call is paying from the start of a POST until that provably bought nothing."""
    call_state = CallState("call_1")
    assert (call_state.tool_call_id, call_state.paying, call_state.abandoned) == (
        "call_1",
        False,
        False,
    )
    call_state.abandon()
    call_state.resume()
    call = call_state.start_post(1, 2)
    assert call_state.paying
    assert not call.abandoned
    call_state.abandon()
    assert call.abandoned
    call_state.not_billed()
    assert not call_state.paying
    assert call_state.start_post(1, 2).abandoned


def test_whether_an_ended_call_may_be_billed() -> None:
    """Our own errors know; with any other it may be, when a byte of a POST may have left."""
    call_state = CallState()
    assert not call_state.may_be_billed(KeyboardInterrupt())
    call = call_state.start_post(1, 2)
    assert not call_state.may_be_billed(KeyboardInterrupt())
    call.leave()
    assert call_state.may_be_billed(KeyboardInterrupt())
    assert call_state.may_be_billed(RequestTimeoutError("x"))
    call_state.start_post(1, 2).is_unseen = True
    assert call_state.may_be_billed(KeyboardInterrupt())
    assert not call_state.may_be_billed(QwenImageError("x"))
