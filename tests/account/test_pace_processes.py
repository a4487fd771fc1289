"""A pace that processes share through their account, in each store."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import warm
from loopback import LoopbackServer, answer

from langchain_qwen_image import QwenImageClient, QwenImageGenerator
from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.pace_table import TablePaceStore
from langchain_qwen_image.errors import RateLimitError

KEY = "test-key-0123456789abcdef"
PAUSE = 3000
_COUNT = """
import sys
from dataclasses import replace
from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.pace_table import TablePaceStore
account = Account(sys.argv[1])
account.prepare().result()
print("ready", flush=True)
for base_url in sys.stdin.readline().split():
    store = TablePaceStore(account.store, base_url)
    store.step(lambda state, now: (replace(state, sent=state.sent + 1), None)).result()
"""
_CALL = """
import sys
from langchain_qwen_image import QwenImageClient
from langchain_qwen_image.errors import RateLimitError
location, base_url, key = sys.argv[1:]
client = QwenImageClient(api_key=key, base_url=base_url, account=location, max_retries=0)
try:
    client.generate("a fox")
except RateLimitError as error:
    print(error.retry_after)
"""


def test_a_row_that_two_processes_make_at_once_counts_both(location: str, account: Account) -> None:
    """Where both find no row, no step is lost, gateway after gateway."""
    gateways = [f"https://{number}.example" for number in range(25)]
    racers = [
        warm.Popen(
            [sys.executable, "-c", _COUNT, location],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write(" ".join(gateways) + "\n")
        racer.stdin.flush()
    for racer in racers:
        racer.communicate(timeout=600)
        assert racer.returncode == 0
    for gateway in gateways:
        seen = account.store.read(TablePaceStore(account.store, gateway).look, missing=None)
        assert seen is not None
        assert seen.state.sent == 2


@pytest.fixture(params=["blocking", "async", "bulk run"])
def make(request: pytest.FixtureRequest) -> Callable[..., object]:
    """Make a call, by one of the faces."""

    def run(prompt: str, **settings: Any) -> object:
        if request.param == "bulk run":
            [outcome] = QwenImageGenerator(**settings).generate_many([prompt], resume=False)
            return outcome
        client = QwenImageClient(**settings)
        if request.param == "async":
            return asyncio.run(client.agenerate(prompt))
        return client.generate(prompt)

    return run


def test_a_refusal_in_one_process_holds_the_next_call_of_another(
    location: str, make: Callable[..., object]
) -> None:
    """A process that was never refused sends nothing while another one was told to wait."""
    refusal = answer(429, b"", Retry_After=str(PAUSE))
    with LoopbackServer(answer(), refusal, answer()) as gateway:
        settings = {"api_key": KEY, "base_url": gateway.base_url, "account": location}
        holder = QwenImageClient(**settings)  # type: ignore[arg-type]
        holder.generate("a heron")
        done = warm.run([sys.executable, "-c", _CALL, location, gateway.base_url, KEY])
        assert (done.stdout, done.returncode) == (f"{PAUSE}.0\n", 0), done.stderr
        with pytest.raises(RateLimitError, match="nothing was sent") as caught:
            make("an owl", **settings)
        assert caught.value.retry_after == pytest.approx(PAUSE, abs=600)
        assert len(gateway.posts) == 2
