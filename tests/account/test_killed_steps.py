"""Processes that are killed at any moment of their steps: what the account says afterwards."""

import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import buyer
import pytest
import warm
from account_steps import LEASE, PRICE
from accounts import Clock
from loopback import LoopbackServer

from langchain_qwen_image.account.account import Account

_PROGRAM = f"""
import sys
sys.path.insert(0, {str(Path(buyer.__file__).parent)!r})
import buyer
buyer.main(sys.argv[1:])
"""


def _start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _PROGRAM, *arguments]
    return warm.Popen(command, stdout=subprocess.PIPE, text=True)


def _paid(gateway: LoopbackServer) -> Counter[str]:
    """Return how often the gateway was asked for each key."""
    bodies = (request.partition(b"\r\n\r\n")[2] for request in gateway.posts)
    return Counter(json.loads(body)["key"] for body in bodies)


def _end_leases(clock: Clock) -> None:
    clock.micros = time.time_ns() // 1000
    clock.move(LEASE + 1)


@pytest.mark.parametrize("moment", buyer.MOMENTS)
def test_a_killed_step_is_settled(account: Account, location: str, clock: Clock, moment: str):
    """Whatever the moment: nothing is paid twice, and nothing stays reserved for ever.

    What left has no answer in the account is spent, and not sent again; anything else goes on.
    """
    with LoopbackServer() as gateway:
        process = _start(location, gateway.base_url, moment, "order-17")
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        clock.micros = time.time_ns() // 1000
        was_lost = moment in ("after sent", "after POST", "before answered", "within answered")
        call = buyer.buy(account, gateway.base_url, "order-17")
        assert call.state == ("sent" if was_lost else "saved")
        _end_leases(clock)
        assert account.expire().result() == was_lost
        again = buyer.buy(account, gateway.base_url, "order-17")
        assert again.state == ("unknown" if was_lost else "saved")
        assert len(gateway.posts) == (moment != "after sent")
    assert (account.spent_usd, account.reserved_usd) == (PRICE, 0)
    assert [one.attempts for one in account.calls()] == [1]


@pytest.mark.parametrize(
    ("keys", "kills"),
    [
        pytest.param(12, 6, id="6 kills"),
        pytest.param(200, 100, id="100 kills", marks=pytest.mark.long),
    ],
)
@pytest.mark.slow
def test_books_are_those_of_the_gateway(
    account: Account, location: str, clock: Clock, keys: int, kills: int
):
    """Of processes that share their work and are killed by chance, none pays for a key again.

    The account has what the gateway has, and what was noted just before it would have left.
    """
    names = [f"order-{number}" for number in range(keys)]
    with LoopbackServer() as gateway:
        running = [_start(location, gateway.base_url, "", *names) for _ in range(3)]
        for _ in range(kills):
            victim = running.pop(0)
            running.append(_start(location, gateway.base_url, "", *names))
            assert victim.stdout is not None
            victim.stdout.readline()
            time.sleep(random.uniform(0, 0.05))
            with contextlib.suppress(ProcessLookupError):
                victim.kill()
            victim.communicate()
        for process in running:
            process.communicate()
            assert process.returncode == 0
        _end_leases(clock)
        account.expire().result()
        paid = _paid(gateway)
    assert set(paid.values()) == {1}
    calls = {call.key: call for call in account.calls()}
    assert set(calls) == set(names)
    assert {call.state for call in calls.values()} <= {"saved", "unknown"}
    assert all(call.state == "unknown" or paid[name] for name, call in calls.items())
    assert account.reserved_usd == 0
    assert account.spent_usd == PRICE * len(calls)
    never_left = set(names) - set(paid)
    assert account.spent_usd - PRICE * len(never_left) == PRICE * paid.total()
