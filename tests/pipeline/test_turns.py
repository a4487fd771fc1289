"""All faces share one pace: the turns of their calls, over real HTTP."""

import asyncio
import copy
import gc
import pickle
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import Call
from langchain_core.rate_limiters import InMemoryRateLimiter
from loopback import LoopbackServer, answer

from langchain_qwen_image import QwenImageClient, QwenImageGenerator, QwenImageTool
from langchain_qwen_image.account.pace import Pace
from langchain_qwen_image.account.paces import Paces
from langchain_qwen_image.defaults import SANDBOX_URL
from langchain_qwen_image.errors import RateLimitError

KEY = "test-key-0123456789abcdef"


class Limited(LoopbackServer):
    """A gateway that admits a few requests at once and so many a second, and refuses the others."""

    def __init__(self, rate: float, burst: float) -> None:
        """Bind a free port and start to serve."""
        self.refused = 0
        self._rate, self._filled, self._at = rate, burst, time.monotonic()
        self._burst = burst
        self._one_by_one = threading.Lock()
        super().__init__(self._say)

    def _say(self, request: bytes) -> bytes:
        with self._one_by_one:
            elapsed, self._at = time.monotonic() - self._at, time.monotonic()
            self._filled = min(self._burst, self._filled + elapsed * self._rate)
            if self._filled < 1:
                self.refused += 1
                return answer(429, b"Slow down.")
            self._filled -= 1
            return answer()


@pytest.fixture(autouse=True)
def paces_end() -> Iterator[None]:
    """Let no pace outlive its test: the next server may have the same port."""
    yield
    gc.collect()


def test_twenty_clients_of_one_key_get_all_their_images() -> None:
    """Of twenty clients with four images each, against a gateway that is too slow, none fails."""
    with Limited(rate=40, burst=10) as gateway:
        clients = [QwenImageClient(api_key=KEY, base_url=gateway.base_url) for _ in range(20)]
        with ThreadPoolExecutor(80) as threads:
            results = list(threads.map(lambda one: one.generate("a fox"), clients * 4))
        assert len({result.call_id for result in results}) == 80
        assert gateway.refused < 80 * 2


@pytest.mark.parametrize("kind", [QwenImageGenerator, QwenImageTool])
def test_one_refusal_holds_calls_of_every_face(kind: Any, call: Call) -> None:
    """What a client is told to wait, a tool and a generator of the same key wait too."""
    with LoopbackServer(answer(429, b"", Retry_After="1"), answer()) as gateway:
        client = QwenImageClient(api_key=KEY, base_url=gateway.base_url, max_retries=0)
        other = kind(api_key=KEY, base_url=gateway.base_url)
        begun = time.monotonic()
        with pytest.raises(RateLimitError):
            call(client, "generate", "a fox")
        call(other, "invoke", {"prompt": "a fox"})
        assert time.monotonic() - begun >= 0.99
        assert len(gateway.posts) == 2


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"pace": False}, id="off"),
        pytest.param({"pace": Pace()}, id="own"),
        pytest.param(
            {"rate_limiter": InMemoryRateLimiter(requests_per_second=100)}, id="rate limiter"
        ),
        pytest.param({"api_key": "another-key-0123456789"}, id="another key"),
    ],
)
def test_who_does_not_share_the_pace_does_not_wait(settings: dict[str, Any], call: Call) -> None:
    """`pace=False`, one's own, a rate limiter and another key are not held by a refusal."""
    with LoopbackServer(answer(429, b"", Retry_After="3000"), answer()) as gateway:
        client = QwenImageClient(api_key=KEY, base_url=gateway.base_url)
        with pytest.raises(RateLimitError):
            call(client, "generate", "a fox")
        other = QwenImageGenerator(**{"api_key": KEY, "base_url": gateway.base_url} | settings)
        assert call(other, "invoke", "a fox").images


def test_a_turn_that_cannot_come_in_time_is_an_error_at_once(call: Call) -> None:
    """A call whose turn is further away than its `timeout` sends nothing, and says when."""
    with LoopbackServer(answer(429, b"", Retry_After="3000"), answer()) as gateway:
        client = QwenImageClient(api_key=KEY, base_url=gateway.base_url, timeout=20)
        for _ in range(2):
            with pytest.raises(RateLimitError) as caught:
                call(client, "generate", "a fox")
        assert caught.value.retry_after == pytest.approx(3000, abs=100)
        assert not caught.value.may_have_been_billed
        assert len(gateway.posts) == 1


async def test_calls_of_threads_and_loops_share_the_pace() -> None:
    """A refusal in a thread holds a call on an event loop."""
    with LoopbackServer(answer(429, b"", Retry_After="1"), answer()) as gateway:
        client = QwenImageClient(api_key=KEY, base_url=gateway.base_url, max_retries=0)
        begun = time.monotonic()
        with pytest.raises(RateLimitError):
            await asyncio.to_thread(client.generate, "a fox")
        await QwenImageClient(api_key=KEY, base_url=gateway.base_url).agenerate("a fox")
        assert time.monotonic() - begun >= 0.99


def test_an_own_pace_is_shared_by_copies_and_not_pickled() -> None:
    """A copy of a generator goes by the same pace; a pickle of it would be a second one."""
    pace = Pace()
    generator = QwenImageGenerator(sandbox=True, pace=pace)
    assert copy.deepcopy(generator).pace is pace
    assert generator.model_copy().pace is pace
    assert copy.deepcopy(QwenImageClient(sandbox=True, pace=pace))._pace is pace
    with pytest.raises(TypeError, match="second"):
        pickle.dumps(generator)
    without = pickle.dumps(QwenImageGenerator(sandbox=True, pace=False))
    assert pickle.loads(without).pace is False


def test_a_pace_ends_with_its_last_holder() -> None:
    """A process remembers a refusal only as long as something may call that gateway."""
    first, second = Paces(), Paces()
    pace = first.of("https://gateway.example", KEY)
    assert second.of("https://gateway.example", KEY) is pace
    assert second.of("https://gateway.example", "other") is not pace
    assert second.of("https://other.example", KEY) is not pace
    was = weakref.ref(pace)
    del pace, first, second
    gc.collect()
    assert was() is None


def test_embedded_sandboxes_do_not_share_a_pace() -> None:
    """Each embedded sandbox is a gateway of its own."""
    one, other = Paces(), Paces()
    assert one.of(SANDBOX_URL, "sandbox") is one.of(SANDBOX_URL, "sandbox")
    assert one.of(SANDBOX_URL, "sandbox") is not other.of(SANDBOX_URL, "sandbox")
