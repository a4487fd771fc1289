"""Processes that are killed at any moment of a call by key: what account and folder say then."""

import contextlib
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import buyer
import pytest
import warm
from account_steps import PRICE
from accounts import Clock

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.errors import CallInProgressError, ResultUnknownError
from langchain_qwen_image.sandbox import SandboxServer

_PROGRAM = f"""
import sys
sys.path.insert(0, {str(Path(buyer.__file__).parent)!r})
import buyer
buyer.main(sys.argv[1:])
"""
_LOST = ("after sent", "after POST", "before answered", "within answered")


def _start(
    location: str,
    server: SandboxServer,
    folder: Path,
    *keys: str,
    moment: str = "",
) -> subprocess.Popen[str]:
    arguments = [location, server.base_url, str(folder), moment, "2", "", *keys]
    command = [sys.executable, "-c", _PROGRAM, *arguments]
    return warm.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _paid(server: SandboxServer) -> Counter[str]:
    """Return how often the gateway was asked for each key; a key's prompt is the key."""
    posts = [one for one in server.gateway.requests if one.method == "POST"]
    return Counter(key for one in posts for key in re.findall(r"order-\d+", one.content.decode()))


def _end_leases(clock: Clock) -> None:
    clock.micros = time.time_ns() // 1000
    clock.move(100)


@pytest.mark.parametrize("moment", buyer.MOMENTS)
def test_a_killed_call_is_settled(
    account: Account,
    location: str,
    clock: Clock,
    server: SandboxServer,
    tmp_path: Path,
    moment: str,
):
    """Whatever the moment: nothing is paid twice, and nothing stays reserved for ever.

    What left has no answer in the account is spent, and not sent again; anything else goes on.
    """
    process = _start(location, server, tmp_path / "images", "order-17", moment=moment)
    _, complaints = process.communicate()
    assert process.returncode == -signal.SIGKILL, complaints
    clock.micros = time.time_ns() // 1000
    generator = buyer.generator(account, server.base_url, tmp_path / "images", timeout=0.2)
    if moment in _LOST:
        with pytest.raises(CallInProgressError):
            generator.invoke("order-17", idempotency_key="order-17")
        assert account.reserved_usd == PRICE
        _end_leases(clock)
        assert account.expire().result() == 1
        with pytest.raises(ResultUnknownError):
            generator.invoke("order-17", idempotency_key="order-17")
    else:
        generator = buyer.generator(account, server.base_url, tmp_path / "images")
        result = generator.invoke("order-17", idempotency_key="order-17")
        assert result.replayed == (moment not in buyer.MOMENTS[:5])
        assert result.image.path is not None
        assert Path(result.image.path).read_bytes() == result.image.read()
        _end_leases(clock)
        assert account.expire().result() == 0
    assert server.gateway.post_count == (moment != "after sent")
    assert (account.spent_usd, account.reserved_usd) == (PRICE, 0)
    assert [one.attempts for one in account.calls()] == [1]
    generator.close()


@pytest.mark.parametrize(
    ("keys", "kills"),
    [
        pytest.param(12, 6, id="6 kills"),
        pytest.param(200, 100, id="100 kills", marks=pytest.mark.long),
    ],
)
@pytest.mark.slow
def test_books_are_those_of_the_gateway(
    account: Account,
    location: str,
    clock: Clock,
    server: SandboxServer,
    tmp_path: Path,
    keys: int,
    kills: int,
):
    """Of processes that share their work and are killed by chance, none pays for a key again.

    The account has what the gateway has, and what was noted just before it would have left.
    """
    folder = tmp_path / "images"
    names = [f"order-{number}" for number in range(keys)]
    running = [_start(location, server, folder, *names) for _ in range(3)]
    for _ in range(kills):
        victim = running.pop(0)
        running.append(_start(location, server, folder, *names))
        assert victim.stdout is not None
        victim.stdout.readline()
        time.sleep(random.uniform(0, 0.15))
        with contextlib.suppress(ProcessLookupError):
            victim.kill()
        victim.communicate()
    for process in running:
        _, complaints = process.communicate()
        assert process.returncode == 0, complaints
    _end_leases(clock)
    account.expire().result()
    states = _ask_again(buyer.generator(account, server.base_url, folder), names)
    paid = _paid(server)
    assert set(paid.values()) == {1}
    calls = {call.key: call for call in account.calls()}
    assert {call.key: call.state for call in account.calls()} == states
    assert all(call.state == "unknown" or paid[str(name)] for name, call in calls.items())
    assert account.reserved_usd == 0
    assert account.spent_usd == PRICE * len(calls)
    never_left = set(names) - set(paid)
    assert account.spent_usd - PRICE * len(never_left) == PRICE * paid.total()


def _ask_again(generator: buyer.QwenImageGenerator, names: Sequence[str]) -> dict[str, str]:
    """Return in which state each key must be, by what comes of asking for it."""
    states = {}
    for name in names:
        try:
            generator.invoke(name, idempotency_key=name)
        except ResultUnknownError:
            states[name] = "unknown"
        else:
            states[name] = "saved"
    generator.close()
    return states
