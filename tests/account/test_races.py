"""Many processes at one account: a key is sent once, and a limit holds to the image."""

import shutil
import subprocess
from decimal import Decimal

import pytest
from account_steps import PRICE
from racers import WITHOUT_ROW_LOCKS, Racers

from langchain_qwen_image.account.account import Account

_SIZES = [
    pytest.param(3, 15, id="3 racers, 15 items"),
    pytest.param(8, 300, id="8 racers, 300 items", marks=pytest.mark.long),
]


@pytest.mark.slow
@pytest.mark.parametrize(("racers", "items"), _SIZES)
def test_a_key_is_sent_once(account: Account, location: str, racers: int, items: int):
    """Of all who ask for a key at the same moment one sends it, and its money is reserved once."""
    sent = Racers(location, racers, items).run()
    assert sent == dict.fromkeys(range(items), 1)
    assert account.reserved_usd == PRICE * items
    assert [call.attempts for call in account.calls()] == [1] * items


@pytest.mark.slow
@pytest.mark.parametrize(("racers", "items"), _SIZES)
def test_without_row_locks_keys_are_sent_twice(database_url: str, racers: int, items: int):
    """The race finds what it is for: reading without FOR UPDATE pays for keys more than once."""
    sent = Racers(database_url, racers, items, before=WITHOUT_ROW_LOCKS).run()
    assert set(sent) == set(range(items))
    assert sent.total() > items


@pytest.mark.slow
@pytest.mark.parametrize(("racers", "items"), _SIZES)
def test_a_limit_holds_to_the_image(account: Account, location: str, racers: int, items: int):
    """Processes that race for more than a limit allows get exactly what it allows."""
    limit = items // 3
    sent = Racers(location, racers, items, limit=limit).run()
    assert sent.total() == limit
    assert (account.reserved_usd, account.spent_usd) == (PRICE * limit, Decimal(0))


@pytest.mark.slow
def test_two_containers_share_a_limit(account: Account, location: str):
    """Process ids that are the same in two PID namespaces mean nothing to an account."""
    command = ["unshare", "--pid", "--fork", "--mount-proc"]
    may = shutil.which("unshare") and subprocess.run([*command, "true"], capture_output=True)
    if not may or may.returncode:
        pytest.skip("PID namespaces need unshare, and the right to use it")
    sent = Racers(location, 2, 20, limit=10, starting=command).run()
    assert sent.total() == 10
    assert set(sent.values()) == {1}
    assert account.reserved_usd == PRICE * 10
