"""One account in each store, and the clock that its leases go by."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from postgres import Postgres, make_schema

from langchain_qwen_image.account import postgres_transaction, sqlite
from langchain_qwen_image.account.account import Account


class Clock:
    """A store's clock, which stands still until it is moved."""

    def __init__(self) -> None:
        """Begin some day."""
        self.micros = 1_795_000_000_000_000

    def move(self, seconds: float) -> None:
        """Go on, or back."""
        self.micros += round(seconds * 1_000_000)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let the test set the clock of the store."""
    clock = Clock()
    monkeypatch.setattr(sqlite, "now_micros", lambda: clock.micros)
    monkeypatch.setattr(postgres_transaction, "now_micros", lambda connection: clock.micros)
    return clock


@pytest.fixture(params=["sqlite", "postgres"])
def new_location(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Say where an account may be, in each store; nothing is there yet."""
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        return lambda: server.url(make_schema(server))
    numbers = count()
    return lambda: str(tmp_path / f"books-{next(numbers)}" / "account.db")


@pytest.fixture
def location(new_location: Callable[[], str]) -> str:
    """Where the test's account is."""
    return new_location()


@pytest.fixture
def accounts(location: str) -> Iterator[Callable[..., Account]]:
    """Open the account, under any limits, as often as a test likes."""
    opened: list[Account] = []

    def open_account(**limits: object) -> Account:
        opened.append(Account(location, **limits))  # type: ignore[arg-type]
        return opened[-1]

    yield open_account
    for account in opened:
        account.close()


@pytest.fixture
def account(accounts: Callable[..., Account]) -> Account:
    """An account without limits."""
    return accounts()
