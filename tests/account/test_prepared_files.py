"""A file that somebody else prepared cannot hang, lie, or show a traceback."""

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from account_steps import GATEWAY, LEASE, PRICE, entry, walk
from waiting import PATIENCE

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.spend import spend_by_day
from langchain_qwen_image.errors import AccountError, BudgetExceededError, QwenImageError

STATEMENTS = {
    "no-amount": "UPDATE calls SET cost_usd = 'much'",
    "negative-amount": "UPDATE calls SET cost_usd = '-5'",
    "endless-amount": "UPDATE calls SET cost_usd = '1E+999999'",
    "exact-amount": "UPDATE calls SET cost_usd = '1E-999999'",
    "not-a-number": "UPDATE calls SET cost_usd = 'NaN'",
    "bytes-for-money": "UPDATE calls SET cost_usd = x'ff'",
    "no-json": "UPDATE calls SET parameters = '{'",
    "json-list": "UPDATE calls SET parameters = '[1]'",
    "no-time": "UPDATE calls SET created_at = 'then'",
    "far-time": "UPDATE calls SET created_at = 9000000000000000000",
    "other-state": "UPDATE calls SET state = 'done'",
    "bytes-for-text": "UPDATE calls SET prompt = x'ff', base_url = x'ff'",
    "text-for-number": "UPDATE calls SET attempts = 'x', cost_images = 'y'",
    "no-lease": "UPDATE calls SET lease_until = 'x', lease_micros = 'y' WHERE state = 'sent'",
    "bytes-for-link": "UPDATE links SET url = x'ff'",
    "no-totals": "DELETE FROM totals",
    "negative-totals": "UPDATE totals SET spent_usd = '-100', spent_images = -100",
    "negative-reserve": "UPDATE totals SET reserved_usd = '-100', reserved_images = -100",
    "endless-totals": "UPDATE totals SET spent_usd = 'Infinity'",
    "text-for-images": "UPDATE totals SET spent_images = 'none'",
    "no-day": "INSERT INTO spent VALUES ('yesterday', '1', 1)",
    "day-of-bytes": "INSERT INTO spent VALUES (x'ff', '1', 1)",
    "negative-day": "INSERT INTO spent VALUES ('2026-11-01', '-9', -9)",
    "negative-token": "INSERT INTO reservations VALUES ('t', '2026-11-01', '-9', -9, 1, 1)",
    "huge-number": f"UPDATE calls SET seq = {2**62} WHERE state = 'sent'",
    "endless-replacing": "UPDATE calls SET replaced_by = id",
    "no-images": "DELETE FROM images; DELETE FROM links",
    "no-links": "DELETE FROM links",
    "other-id": "UPDATE account SET id = x'ff'",
    "pace": f"INSERT INTO pace VALUES ('{GATEWAY}', '[[[[')",
}


def prepare(path: Path, statement: str) -> None:
    """Change a file with an answered call, and one that is out."""
    account = Account(path)
    walk(account, "asked sent answered", "c1")
    account.asked(entry("c2", key="k")).result(PATIENCE)
    walk(account, "sent", "c2")
    account.close()
    with closing(sqlite3.connect(path)) as file:
        file.executescript(statement)


READINGS: dict[str, Callable[[Account], object]] = {
    "calls": lambda account: list(account.calls()),
    "get": lambda account: account.get("c1"),
    "find_key": lambda account: account.find_key(GATEWAY, "", "k"),
    "find_image": lambda account: account.find_image("c1-image"),
    "totals": lambda account: account.totals(),
    "repr": lambda account: (repr(account), account.remaining_usd, account.id),
    "progress": lambda account: account.progress("bulk"),
    "spend": lambda account: spend_by_day(account.location),
    "check": lambda account: account.check_budget(GATEWAY, PRICE),
    "expire": lambda account: account.expire().result(PATIENCE),
    "asked": lambda account: account.asked(entry("c9", key="k")).result(PATIENCE),
    "sent": lambda account: account.sent("c2", lease_seconds=LEASE).result(PATIENCE),
    "answered": lambda account: walk(account, "answered", "c2"),
    "saved": lambda account: walk(account, "saved", "c1"),
    "reserve": lambda account: account.reserve("t9", PRICE, 1).result(PATIENCE),
    "settle": lambda account: account.settle("t", PRICE, 1).result(PATIENCE),
}


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
def test_any_row_is_read_or_is_an_error_of_ours(tmp_path: Path, statement: str) -> None:
    """Whatever is read or written then ends, and as nothing but an error of the tree."""
    path = tmp_path / "books.db"
    prepare(path, statement)
    account = Account(path, max_usd=1)
    for use in READINGS.values():
        with suppress(QwenImageError):
            use(account)
    account.close()


@pytest.mark.parametrize(
    "name",
    [
        *("no-totals", "negative-totals", "negative-reserve", "endless-totals", "text-for-images"),
        *("negative-amount", "not-a-number", "huge-number"),
    ],
)
def test_a_limit_holds_in_a_prepared_file(tmp_path: Path, name: str) -> None:
    """No row makes room: with a limit of one image, of which one is paid for, nothing is sent."""
    path = tmp_path / "books.db"
    prepare(path, STATEMENTS[name])
    account = Account(path, max_images=1)
    for number in range(3):
        account.asked(entry(f"new-{number}")).result(PATIENCE)
        with pytest.raises((AccountError, BudgetExceededError)):
            account.sent(f"new-{number}", lease_seconds=LEASE).result(PATIENCE)
    account.close()
