"""Blocking batches: threads enough without tuning, and LangChain's rules kept."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable
from loopback import LoopbackServer, answer

from langchain_qwen_image import QwenImageGenerator, QwenImageTool, errors

_SETTINGS: dict[str, Any] = {"api_key": "test-key-batch", "max_retries": 0}
_AT_ONCE = 40

Make = Callable[[str], Runnable[Any, Any]]


def _generator(base_url: str) -> Runnable[Any, Any]:
    return QwenImageGenerator(base_url=base_url, **_SETTINGS)


_FACES: dict[str, Make] = {
    "generator": _generator,
    "tool": lambda base_url: QwenImageTool(base_url=base_url, **_SETTINGS),
    "retry": lambda base_url: QwenImageGenerator(base_url=base_url, **_SETTINGS).with_retry(),
    "chain": lambda base_url: ChatPromptTemplate.from_template("{input}") | _generator(base_url),
}


@pytest.fixture(params=_FACES)
def face(request: pytest.FixtureRequest) -> Make:
    """Make whatever a batch can be asked of."""
    return _FACES[request.param]


def _prompts(face: Runnable[Any, Any], number: int) -> list[Any]:
    texts = [f"picture {place}" for place in range(number)]
    is_chain = "input" in face.get_input_jsonschema().get("properties", {})
    return [{"input": text} for text in texts] if is_chain else texts


class _Together:
    """Answers when so many requests are there at once, or fails; counts the most at once."""

    def __init__(self, number: int) -> None:
        self._barrier = threading.Barrier(number)

    def __call__(self, request: bytes) -> bytes:
        try:
            self._barrier.wait(20)
        except threading.BrokenBarrierError:
            return answer(400, {"error": "the others never came"})
        return answer()


def test_all_inputs_wait_side_by_side(face: Make) -> None:
    """Forty calls are at the gateway together, where LangChain's default has a handful."""
    with LoopbackServer(_Together(_AT_ONCE)) as server:
        runnable = face(server.base_url)
        found = runnable.batch(_prompts(runnable, _AT_ONCE))
        assert len(found) == len(server.posts) == _AT_ONCE


@pytest.mark.parametrize("name", ["generator", "tool", "retry"])
def test_as_completed_waits_side_by_side_too(name: str) -> None:
    """`batch_as_completed` gives each output with its input's number."""
    with LoopbackServer(_Together(_AT_ONCE)) as server:
        runnable = _FACES[name](server.base_url)
        found = dict(runnable.batch_as_completed(_prompts(runnable, _AT_ONCE)))
        assert sorted(found) == list(range(_AT_ONCE))
        assert len(server.posts) == _AT_ONCE


def test_max_concurrency_is_obeyed(face: Make) -> None:
    """Whoever says how many may be at the gateway gets as many, and no more."""
    at_once, most, lock = 0, 0, threading.Lock()

    def count(request: bytes) -> bytes:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        threading.Event().wait(0.02)
        with lock:
            at_once -= 1
        return answer()

    with LoopbackServer(count) as server:
        runnable = face(server.base_url)
        runnable.batch(_prompts(runnable, 12), {"max_concurrency": 3})
        assert len(server.posts) == 12
    assert 1 < most <= 3


def test_order_errors_and_configs_are_langchains(face: Make) -> None:
    """Outputs are in the order of the inputs, errors stand in their places when asked for."""

    def refuse_some(request: bytes) -> bytes:
        prompt = json.loads(request.partition(b"\r\n\r\n")[2])["input"]["messages"][0]["content"][0]
        return answer(400, {"error": "no"}) if prompt["text"].endswith("3") else answer()

    with LoopbackServer(refuse_some) as server:
        runnable = face(server.base_url)
        inputs = _prompts(runnable, 6)
        found = runnable.batch(inputs, return_exceptions=True)
        assert [isinstance(one, errors.InvalidRequestError) for one in found] == [
            place == 3 for place in range(6)
        ]
        assert len(server.posts) == 6
        with pytest.raises(errors.InvalidRequestError):
            runnable.batch(inputs, [{"tags": [str(place)]} for place in range(6)])
        with pytest.raises(ValueError, match="same length"):
            runnable.batch(inputs, [{}])
        assert runnable.batch([]) == []
        assert len(runnable.batch(inputs[:1])) == 1
