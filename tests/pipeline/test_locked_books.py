"""Books that cannot be written just when an answer comes: it is booked in the end."""

import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from account_steps import PRICE
from conftest import Call
from held import HeldServer
from waiting import PATIENCE, wait_until

from langchain_qwen_image import QwenImageGenerator
from langchain_qwen_image.account.account import Account

_SECONDS = 2


@contextmanager
def _locked(location: str) -> Iterator[None]:
    """Let nobody else write."""
    if location.startswith("postgresql"):
        import psycopg

        with psycopg.connect(location) as connection:
            connection.execute("LOCK TABLE calls, totals IN ACCESS EXCLUSIVE MODE")
            yield
            connection.rollback()
        return
    other = sqlite3.connect(location, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.execute("ROLLBACK")
    other.close()


@contextmanager
def _cut_off(location: str) -> Iterator[None]:
    """End the connections to a server, as one does that starts again; a file has none."""
    if location.startswith("postgresql"):
        import psycopg

        with psycopg.connect(location, autocommit=True) as connection:
            ended = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid()"
                " AND application_name = current_setting('application_name')"
            )
            assert ended.fetchall()
    yield


@pytest.mark.slow
@pytest.mark.parametrize("trouble", [_locked, _cut_off])
def test_an_answer_that_meets_locked_books_is_booked_in_the_end(
    location: str,
    tmp_path: Path,
    call: Call,
    trouble: Callable[[str], AbstractContextManager[None]],
):
    """The caller has its image, and the account has it too; asked again, nothing is sent."""
    if location.startswith("postgresql"):
        location += f"&application_name={uuid.uuid4().hex}"
    account = Account(location)
    with HeldServer() as gateway, ThreadPoolExecutor(1) as thread:
        generator = QwenImageGenerator(
            account=account, base_url=gateway.base_url, api_key="test-key-l", save_to=tmp_path
        )
        waiting = thread.submit(call, generator, "invoke", "a fox", idempotency_key="order-17")
        wait_until(lambda: gateway.posts)
        with trouble(location):
            gateway.release()
            time.sleep(_SECONDS if trouble is _locked else 0)
            assert trouble is not _locked or not waiting.done(), "it is booked before it is told"
        first = waiting.result(PATIENCE)
        assert first.image.path is not None
        assert [one.state for one in account.calls()] == ["saved"]
        assert (account.spent_usd, account.reserved_usd) == (PRICE, 0)
        again = call(generator, "invoke", "a fox", idempotency_key="order-17")
        assert (again.image.path, again.replayed) == (first.image.path, True)
        assert len(gateway.posts) == 1
        generator.close()
