"""Sync batches: all out at once, in their order, and nothing sent after an error."""

import json
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler
from loopback import LoopbackServer, answer
from waiting import PATIENCE

from langchain_qwen_image import QwenImageGenerator, QwenImageTool, errors
from langchain_qwen_image.integration import batch as _batches
from langchain_qwen_image.sandbox import SandboxServer

FACES: dict[str, Callable[..., Any]] = {
    "generator": QwenImageGenerator,
    "tool": QwenImageTool,
    "generator with_retry": lambda **settings: QwenImageGenerator(**settings).with_retry(),
    "tool with_retry": lambda **settings: QwenImageTool(**settings).with_retry(),
}

every_face = pytest.mark.parametrize("face", FACES.values(), ids=FACES)


def at(base_url: str, face: Callable[..., Any] = QwenImageGenerator) -> Any:
    """Return a face that talks to the address and does not repeat by itself."""
    return face(base_url=base_url, api_key="test-key-of-the-batch", max_retries=0)


def foxes(count: int) -> list[str]:
    """Return so many prompts."""
    return [f"fox {number}" for number in range(count)]


def prompt_of(request: bytes) -> str:
    """Return the prompt of a POST."""
    body = json.loads(request.partition(b"\r\n\r\n")[2])
    prompt: str = body["input"]["messages"][0]["content"][0]["text"]
    return prompt


class InFlight:
    """Answers, and counts how many calls are out at once."""

    def __init__(self, expected: int) -> None:
        """Let the first `expected` calls wait for one another."""
        self._lock = threading.Lock()
        self._all_there = threading.Barrier(expected)
        self._now = 0
        self.most = 0

    def __call__(self, _: bytes) -> bytes:
        """Answer when all that are expected are there."""
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        self._all_there.wait(PATIENCE)
        with self._lock:
            self._now -= 1
        return answer()


@every_face
@pytest.mark.parametrize("how", ["batch", "batch_as_completed"])
def test_all_calls_are_out_at_once(face: Callable[..., Any], how: str) -> None:
    """Without `max_concurrency` forty calls wait together, and each is sent once."""
    with LoopbackServer(InFlight(40)) as gateway:
        outcomes = list(getattr(at(gateway.base_url, face), how)(foxes(40)))
        assert len(outcomes) == 40
        assert sorted(map(prompt_of, gateway.posts)) == sorted(foxes(40))


@every_face
@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"max_concurrency": 3}, id="config"),
        pytest.param([{"max_concurrency": 3}] * 12, id="a config for each input"),
    ],
)
def test_max_concurrency_is_obeyed(face: Callable[..., Any], config: Any) -> None:
    """The caller's `max_concurrency` is how many calls are out at once."""
    in_flight = InFlight(3)
    with LoopbackServer(in_flight) as gateway:
        at(gateway.base_url, face).batch(foxes(12), config)
        assert (in_flight.most, len(gateway.posts)) == (3, 12)


def test_threads_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many inputs there are, so many calls are out and no more."""
    monkeypatch.setattr(_batches, "MOST_THREADS", 4)
    in_flight = InFlight(4)
    with LoopbackServer(in_flight) as gateway:
        at(gateway.base_url).batch(foxes(16))
        assert (in_flight.most, len(gateway.posts)) == (4, 16)


def test_results_are_in_the_order_of_the_inputs() -> None:
    """A call that is answered last keeps its place; `batch_as_completed` yields it last."""
    others = threading.Semaphore(0)

    def say(request: bytes) -> bytes:
        if prompt_of(request) == "fox 0":
            for _ in range(4):
                assert others.acquire(timeout=PATIENCE)
        return answer()

    with LoopbackServer(say) as gateway:
        generator = at(gateway.base_url)
        completed = []
        for place, result in generator.batch_as_completed(foxes(5)):
            assert result.prompt == f"fox {place}"
            completed.append(place)
            others.release()
        assert completed[-1] == 0
        others.release(4)
        assert [result.prompt for result in generator.batch(foxes(5))] == foxes(5)


@every_face
@pytest.mark.parametrize("how", ["batch", "batch_as_completed"])
def test_nothing_is_sent_after_an_error(
    server: SandboxServer, face: Callable[..., Any], how: str
) -> None:
    """Without `return_exceptions` the first error is raised, and no further input is paid for."""
    prompts = ["sandbox:500", *foxes(20)]
    with pytest.raises(errors.ServerError):
        list(getattr(at(server.base_url, face), how)(prompts, {"max_concurrency": 1}))
    assert server.gateway.post_count == 1


def test_what_is_out_at_an_error_is_waited_for() -> None:
    """Calls that have left when another fails are answered before the error is raised."""
    failed, answered = threading.Barrier(4), []

    def say(request: bytes) -> bytes:
        failed.wait(PATIENCE)
        if prompt_of(request) == "fox 2":
            return answer(500, b"{}")
        answered.append(prompt_of(request))
        return answer()

    with LoopbackServer(say) as gateway:
        with pytest.raises(errors.ServerError):
            at(gateway.base_url).batch(foxes(4))
        assert len(gateway.posts) == 4
        assert sorted(answered) == ["fox 0", "fox 1", "fox 3"]


@pytest.mark.parametrize("end", ["the caller stops", "Ctrl-C"])
def test_a_batch_that_is_left_sends_nothing_more(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """Who stops to take outcomes, or presses Ctrl-C, pays for what is out and no more."""
    is_left, is_out = threading.Event(), threading.Event()
    shutdown = _batches.ContextThreadPoolExecutor.shutdown

    def leave(self: Any, *args: Any, **kwargs: Any) -> None:
        is_left.set()
        shutdown(self, *args, **kwargs)

    def say(request: bytes) -> bytes:
        if prompt_of(request) == "fox 1":
            is_out.set()
            assert is_left.wait(PATIENCE)
        return answer()

    monkeypatch.setattr(_batches.ContextThreadPoolExecutor, "shutdown", leave)
    with LoopbackServer(say) as gateway:
        outcomes = at(gateway.base_url).batch_as_completed(foxes(20), {"max_concurrency": 1})
        if end == "Ctrl-C":

            def interrupt(_: object) -> Iterator[Any]:
                assert is_out.wait(PATIENCE)
                raise KeyboardInterrupt

            monkeypatch.setattr(_batches, "as_completed", interrupt)
            with pytest.raises(KeyboardInterrupt):
                next(outcomes)
        else:
            assert next(outcomes)[0] == 0
            assert is_out.wait(PATIENCE)
            outcomes.close()
        assert [prompt_of(post) for post in gateway.posts] == ["fox 0", "fox 1"]


@every_face
def test_errors_are_returned_in_their_places(
    server: SandboxServer, face: Callable[..., Any]
) -> None:
    """With `return_exceptions` every input is sent once and has its outcome."""
    prompts = ["a fox", "sandbox:500", "a crow", "sandbox:401"]
    runnable = at(server.base_url, face)
    outcomes = runnable.batch(prompts, return_exceptions=True)
    expected = [type(None), errors.ServerError, type(None), errors.AuthenticationError]
    kinds = [type(one) if isinstance(one, Exception) else type(None) for one in outcomes]
    assert kinds == expected
    assert server.gateway.post_count == 4
    completed = dict(runnable.batch_as_completed(prompts, return_exceptions=True))
    assert [isinstance(completed[place], Exception) for place in range(4)] == [0, 1, 0, 1]
    assert server.gateway.post_count == 8


def test_with_retry_repeats_in_batch_as_completed(server: SandboxServer) -> None:
    """What bought nothing is repeated there too; LangChain's own leaves the retry out."""
    eager = at(server.base_url).with_retry(stop_after_attempt=2, wait_exponential_jitter=False)
    assert len(list(eager.batch_as_completed(["a fox", "sandbox:429-once"]))) == 2
    assert server.gateway.post_count == 3


async def test_with_retry_repeats_in_abatch_as_completed(server: SandboxServer) -> None:
    """The same in asyncio."""
    eager = at(server.base_url).with_retry(stop_after_attempt=2, wait_exponential_jitter=False)
    found = [one async for one in eager.abatch_as_completed(["a fox", "sandbox:429-once"])]
    assert len(found) == 2
    assert server.gateway.post_count == 3


def test_a_chain_waits_for_all_at_once() -> None:
    """Behind a prompt template the generator's batch is as wide."""
    with LoopbackServer(InFlight(40)) as gateway:
        chain = ChatPromptTemplate.from_template("one {thing}") | at(gateway.base_url)
        assert len(chain.batch([{"thing": fox} for fox in foxes(40)])) == 40


@pytest.mark.parametrize("count", [0, 1])
def test_few_inputs_need_no_thread(server: SandboxServer, count: int) -> None:
    """Nothing for nothing, and one call is made where it is asked for."""
    threads: list[threading.Thread] = []

    class Where(BaseCallbackHandler):
        def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            threads.append(threading.current_thread())

        on_tool_start = on_chain_start

    results = at(server.base_url).batch(foxes(count), {"callbacks": [Where()]})
    assert [result.prompt for result in results] == foxes(count)
    assert threads == [threading.current_thread()] * count


def test_runs_have_the_configs_and_the_context_of_the_caller(server: SandboxServer) -> None:
    """Each input has its own config, and callbacks see the caller's context variables."""
    user: ContextVar[str] = ContextVar("user", default="nobody")
    users: list[str] = []

    class Who(BaseCallbackHandler):
        def on_chain_end(self, *args: Any, **kwargs: Any) -> None:
            users.append(user.get())

    user.set("somebody")
    collector = RunCollectorCallbackHandler()
    configs = [{"run_name": f"run {n}", "callbacks": [collector, Who()]} for n in range(8)]
    at(server.base_url).batch(foxes(8), configs)
    names = {(run.inputs["input"], run.name) for run in collector.traced_runs}
    assert names == {(f"fox {n}", f"run {n}") for n in range(8)}
    assert users == ["somebody"] * 8


def test_configs_must_be_as_many_as_the_inputs(server: SandboxServer) -> None:
    """A list of configs of another length is refused before anything is sent."""
    with pytest.raises(ValueError, match="same length"):
        at(server.base_url).batch(foxes(3), [{}])
    assert server.gateway.post_count == 0
