"""Files of versions 1 and 2 become accounts, and nothing that was paid for is forgotten."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from account_steps import GATEWAY, LEASE, LINK, PRICE, call_of, entry, walk
from old_accounts import make_old
from waiting import PATIENCE

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.deliveries import Deliveries
from langchain_qwen_image.account.limits import Totals
from langchain_qwen_image.account.spend import SpendDay, spend_by_day
from langchain_qwen_image.defaults import SANDBOX_URL
from langchain_qwen_image.errors import BudgetExceededError, ConfigurationError, IdempotencyError

BOUGHT = {"state": "answered", "link": LINK}
SAVED = {"state": "saved", "link": "https://images.example/p.png", "path": "a.png"}
FREE = {"base_url": SANDBOX_URL, "cost_usd": "0"}

versions = pytest.mark.parametrize("version", [1, 2])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the old file is."""
    return tmp_path / "books.db"


@versions
def test_calls_images_and_links_are_as_they_were(path: Path, version: int) -> None:
    """Each fact of an old call is there after the upgrade, in the order of before."""
    make_old(
        path,
        version,
        [
            BOUGHT | {"request_id": "r", "attempts": 2, "cost_usd": "0.0450"},
            SAVED | {"batch": "bulk", "batch_item": "d-1"},
            {"state": "refused", "error": "ServerError", "message": "no", "replaced_by": "c2"},
        ],
    )
    account = Account(path)
    first, second, third = account.calls()
    assert (first.id, first.state, first.request_id, first.attempts) == ("c1", "answered", "r", 2)
    assert (first.cost_usd, first.cost_images, first.images[0].url) == (Decimal("0.0450"), 1, LINK)
    assert first.created_at == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=1_790_000_000)
    assert (first.run, first.key, first.operation) == ("", None, "generate")
    assert (second.run, second.key, second.images[0].path) == ("bulk", "d-1", "a.png")
    assert (third.error, third.message, third.replaced_by) == ("ServerError", "no", "c2")
    account.close()


@versions
def test_an_upgraded_account_goes_on(path: Path, version: int) -> None:
    """New calls are entered, queued and answered in it as in a new one."""
    make_old(path, version, [BOUGHT])
    account = Account(path)
    walk(account, "asked sent queued answered saved", "c9")
    account.raw_answer("c1", body=b"{}", content_type=None).result(PATIENCE)
    assert call_of(account).has_raw_answer
    assert call_of(account, "c9").state == "saved"
    account.close()
    assert Account(path).id == account.id
    assert account.id is not None


def test_a_file_of_version_3_gets_what_is_new(path: Path) -> None:
    """Its calls and its money are as they were, and it is like a new one."""
    account = Account(path)
    walk(account, "asked sent answered")
    before = (account.id, call_of(account), account.totals())
    account.close()
    with closing(sqlite3.connect(path)) as file, file:
        file.executescript("DROP TABLE deliveries; PRAGMA user_version = 3")
    account = Account(path)
    walk(account, "asked sent", "c2")
    Deliveries(account.store).let_go("a", "b").result(PATIENCE)
    assert (account.id, call_of(account)) == before[:2]
    assert account.totals().spent_usd == before[2].spent_usd
    account.close()
    assert tables_of_file(path) == tables_of_file(new_file(path.with_name("new.db")))


def tables_of_file(path: Path) -> set[str]:
    """Return the statements of a file's tables."""
    with closing(sqlite3.connect(path)) as file:
        return {row[0] for row in file.execute("SELECT sql FROM sqlite_master WHERE sql <> ''")}


def new_file(path: Path) -> Path:
    """Return the file of a new account."""
    account = Account(path)
    account.prepare().result(PATIENCE)
    account.close()
    return path


def test_the_padding_of_an_old_link_is_gone(path: Path) -> None:
    """Version 1 overwrote a dead link with spaces."""
    make_old(path, 1, [SAVED | {"link": "https://images.example/p.png     "}])
    image = Account(path).find_image("c1-image")
    assert image is not None
    assert image.url == "https://images.example/p.png"


@pytest.mark.parametrize(
    ("state", "money"),
    [
        pytest.param("asked", Totals(), id="asked"),
        pytest.param("refused", Totals(), id="refused"),
        pytest.param("sent", Totals(PRICE, Decimal(0), 1, 0), id="sent"),
        pytest.param("queued", Totals(Decimal(0), PRICE, 0, 1), id="queued"),
        pytest.param("answered", Totals(PRICE, Decimal(0), 1, 0), id="answered"),
        pytest.param("saved", Totals(PRICE, Decimal(0), 1, 0), id="saved"),
        pytest.param("unknown", Totals(PRICE, Decimal(0), 1, 0), id="unknown"),
    ],
)
def test_the_money_of_a_call_is_where_its_state_says(path: Path, state: str, money: Totals) -> None:
    """Calls without a budget count too; one that was sent has no process that could answer it."""
    link = {"link": LINK} if state in ("answered", "saved") else {}
    make_old(path, 2, [{"state": state} | link, BOUGHT | FREE])
    account = Account(path)
    assert account.totals() == money
    assert account.totals(sandbox=True) == Totals(spent_images=1)
    account.expire().result(PATIENCE)
    assert account.totals() == money
    account.close()


DAYS = [("2026-11-01", "0.09", 2), ("2026-11-02", "0.045", 1)]
RESERVED = [
    ("call:c1", "2026-11-02", "0.045", 1, "1:1"),
    ("a3f", "2026-11-02", "0.10", 2, "1:1"),
]


@pytest.mark.parametrize(
    ("calls", "spent", "reservations", "usd", "images"),
    [
        pytest.param([], DAYS, [], "0.135", 3, id="a-budget"),
        pytest.param([], DAYS, RESERVED[1:], "0.235", 5, id="a-budget-of-a-killed-program"),
        pytest.param([BOUGHT] * 3, DAYS, [], "0.135", 3, id="a-budget-of-these-calls"),
        pytest.param([BOUGHT] * 2, DAYS, [], "0.135", 3, id="a-budget-of-more-calls"),
        pytest.param([BOUGHT] * 5, DAYS, [], "0.225", 5, id="calls-before-the-budget"),
        pytest.param(
            [{"state": "unknown"}], [], RESERVED[:1], "0.045", 1, id="a-call-says-it-itself"
        ),
        pytest.param([], [], RESERVED[:1], "0", 0, id="a-call-that-never-was"),
        pytest.param([BOUGHT | FREE] * 2, [("2026-11-01", "0", 2)], [], "0", 0, id="sandbox"),
    ],
)
def test_what_an_old_budget_counted_stays_counted(
    path: Path,
    calls: list[dict[str, Any]],
    spent: list[tuple[str, str, int]],
    reservations: list[tuple[str, str, str, int, str]],
    usd: str,
    images: int,
) -> None:
    """The account counts all that the old budget did, and no call twice."""
    make_old(path, 2, calls, spent, reservations)
    account = Account(path, max_usd=usd)
    assert account.totals() == Totals(Decimal(usd), Decimal(0), images, 0)
    account.asked(entry("c99")).result(PATIENCE)
    with pytest.raises(BudgetExceededError):
        account.sent("c99", lease_seconds=LEASE).result(PATIENCE)
    account.close()


def test_an_old_budgets_days_stay_their_days(path: Path) -> None:
    """Money that no call accounts for is shown on the last days that the budget had it."""
    make_old(path, 2, [BOUGHT], DAYS)
    days = {day.day: (day.paid, day.usd) for day in spend_by_day(path)}
    assert days == {
        "2026-09-21": (1, PRICE),
        "2026-11-01": (1, PRICE),
        "2026-11-02": (1, PRICE),
    }
    assert SpendDay("2026-11-02", asked=1, paid=1, usd=PRICE) in spend_by_day(path)


def test_an_old_runs_items_are_keys(path: Path) -> None:
    """A run goes on with what it bought, and an item is one request only."""
    item = {"batch": "bulk", "batch_item": "d-1"}
    make_old(path, 2, [{"state": "unknown", "replaced_by": "c2"} | item, SAVED | item])
    account = Account(path)
    found = account.asked(entry("c9", run="bulk", key="d-1")).result(PATIENCE)
    assert (found.id, found.state) == ("c2", "saved")
    assert account.find_key(GATEWAY, "bulk", "d-1") == found
    with pytest.raises(IdempotencyError):
        account.asked(entry("c9", run="bulk", key="d-1", prompt="a hare")).result(PATIENCE)
    account.close()


@versions
@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("CREATE TRIGGER t AFTER UPDATE ON links BEGIN SELECT 1; END", id="trigger"),
        pytest.param("CREATE TABLE notes (text)", id="table"),
        pytest.param("DROP TABLE spent; CREATE VIEW spent AS SELECT 1 AS day", id="view"),
    ],
)
def test_an_old_file_that_was_prepared_is_not_upgraded(
    path: Path, version: int, statement: str
) -> None:
    """What is not ours in it would run in the upgrade, so that it is refused as it is."""
    make_old(path, version, [BOUGHT])
    with closing(sqlite3.connect(path)) as file:
        file.executescript(statement)
    before = path.read_bytes()
    account = Account(path)
    with pytest.raises(ConfigurationError, match="tables that this package"):
        account.get("c1")
    with pytest.raises(ConfigurationError, match="tables that this package"):
        account.asked(entry("c9")).result(PATIENCE)
    assert path.read_bytes() == before


def test_an_upgrade_is_all_or_nothing(path: Path) -> None:
    """A row that cannot be carried over leaves the old file as it was."""
    make_old(path, 2, [BOUGHT, {"parameters": "{"}])
    account = Account(path)
    with pytest.raises(Exception, match="did not write"):
        account.get("c1")
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (2,)
        assert file.execute("SELECT count(*) FROM calls").fetchone() == (2,)
