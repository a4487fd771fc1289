"""Many processes at one account: a key is sent once, and a limit holds to the image."""

import contextvars
import shutil
import subprocess
import threading
import uuid
from decimal import Decimal
from pathlib import Path

import pytest
from account_steps import LEASE, PRICE, walk
from postgres import Postgres, execute
from racers import Racers, without_row_locks
from waiting import wait_until

from langchain_qwen_image.account import transitions
from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.leases import CallTakenError
from langchain_qwen_image.account.store import Transaction

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


def test_a_second_sender_waits_for_the_first(postgres: Postgres, database_url: str):
    """While a call is being sent, another connection that would send it stands at its row."""
    account, name = Account(database_url), uuid.uuid4().hex
    written, release = threading.Event(), threading.Event()
    walk(account, "asked", name)

    def send(tx: Transaction) -> None:
        transitions.send(tx, name, LEASE, ())
        written.set()
        release.wait()

    first = account._store.submit(send)
    written.wait()
    second = contextvars.Context().run(account.sent, name, lease_seconds=LEASE)
    standing = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        f" AND query LIKE '%{name}%' AND pid <> pg_backend_pid()"
    )
    wait_until(lambda: second.done() or execute(postgres, standing) == [(1,)])
    release.set()
    first.result()
    with pytest.raises(CallTakenError):
        second.result()
    account.close()


@pytest.mark.slow
@pytest.mark.parametrize(("racers", "items"), _SIZES)
def test_without_row_locks_a_key_is_sent_by_all(
    database_url: str, tmp_path: Path, racers: int, items: int
):
    """The race finds what it is for: where reading takes no row lock, every racer sends every key.

    To be sure of the moment, they read before one of them writes.
    """
    sent = Racers(database_url, racers, items, before=without_row_locks(tmp_path, racers)).run()
    assert sent == dict.fromkeys(range(items), racers)


@pytest.mark.slow
@pytest.mark.parametrize(("racers", "items"), _SIZES)
def test_a_limit_holds_to_the_image(account: Account, location: str, racers: int, items: int):
    """Processes that race for more than a limit allows get exactly what it allows."""
    limit = items // 3
    sent = Racers(location, racers, items, limit=limit).run()
    assert sent.total() == limit
    assert (account.reserved_usd, account.spent_usd) == (PRICE * limit, Decimal(0))


@pytest.mark.slow
@pytest.mark.long
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
