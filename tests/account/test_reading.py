"""Reading the books: in order, filtered, a page at a time, and added up by day."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from waiting import PATIENCE

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.budget import Budget
from langchain_qwen_image.account.keys import NewCall
from langchain_qwen_image.account.spend import SpendDay, spend_by_day
from langchain_qwen_image.errors import ConfigurationError

PRICE = Decimal("0.045")
NOW = datetime.now(UTC)
MANY = 1203


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the account will be."""
    return tmp_path / "books.db"


def ask(account: Account, call_id: str, run: str = "") -> None:
    """Enter a call with usual values."""
    base_url, key = "https://gateway.example", call_id if run else None
    account.asked(NewCall(call_id, "a fox", {}, "qwen-image", base_url, PRICE, key=key, run=run))


def buy(account: Account, call_id: str, *links: tuple[str, datetime | None]) -> None:
    """Take a call to answered, its images named after it."""
    ask(account, call_id)
    account.sent(call_id, lease_seconds=300)
    images = [(f"{call_id}-{number}", *link) for number, link in enumerate(links)]
    account.answered(call_id, request_id="r", cost_usd=PRICE * len(images), images=images)


@pytest.fixture
def many(path: Path) -> Iterator[Account]:
    """An account of more calls than a page holds, every third sent, every second in a run."""
    account = Account(path)
    for number in range(MANY):
        ask(account, str(number), "run" if number % 2 else "")
        if number % 3 == 0:
            account.sent(str(number), lease_seconds=300)
    account.close()
    yield account
    account.close()


@pytest.mark.parametrize(
    ("states", "run", "expected"),
    [
        pytest.param(None, None, range(MANY), id="all"),
        pytest.param(["sent"], None, range(0, MANY, 3), id="state"),
        pytest.param({"sent", "asked"}, None, range(MANY), id="states"),
        pytest.param([], None, range(0), id="no-state"),
        pytest.param(None, "run", range(1, MANY, 2), id="run"),
        pytest.param(["sent"], "run", range(3, MANY, 6), id="state-and-run"),
        pytest.param(None, "other", range(0), id="other-run"),
    ],
)
def test_calls_come_in_the_order_asked(
    many: Account, states: list[str] | None, run: str | None, expected: range
) -> None:
    """Calls are filtered by state and run, and none is missing or doubled across pages."""
    found = [call.id for call in many.calls(states=states, run=run)]  # type: ignore[arg-type]
    assert found == [str(number) for number in expected]


def test_reading_streams_while_others_write(many: Account) -> None:
    """A reader that pauses holds no lock, and does not wait for what is asked later."""
    calls = many.calls()
    assert next(calls).id == "0"
    many.sent("1202", lease_seconds=300).result(PATIENCE)
    ask(many, "later")
    assert sum(1 for _ in calls) == MANY - 1


def test_images_come_with_their_own_call(path: Path) -> None:
    """Each call has its images and nobody else's, in the answer's order."""
    account = Account(path)
    for call_id in ("a", "b", "c"):
        buy(account, call_id, ("https://h/1", None), ("https://h/2", None))
    account.close()
    found = {call.id: [image.id for image in call.images] for call in account.calls()}
    assert found == {name: [f"{name}-0", f"{name}-1"] for name in "abc"}


def test_spend_adds_up_what_became_of_each_image(path: Path) -> None:
    """Asked, paid, saved, lost, unknown and the money are told for each day, exactly."""
    account = Account(path)
    alive, dead = NOW + timedelta(hours=1), NOW - timedelta(seconds=1)
    ask(account, "asked")
    ask(account, "refused")
    account.refused("refused", error="ServerError", message="no")
    for call_id in ("sent", "unknown", "queued"):
        ask(account, call_id)
        account.sent(call_id, lease_seconds=300)
    account.queued("queued", polling_path="/status/1", request_id=None)
    account.unknown("unknown", error="RequestTimeoutError", message="?")
    buy(account, "alive", ("https://h/p?s", alive), ("https://h/p?s", None))
    buy(account, "dead", ("https://h/p?s", dead), ("data:image/png;base64,AA", None))
    buy(account, "saved", ("https://h/p?s", dead))
    account.saved("saved-0", path="p.png", sha256="ab", size_bytes=7).result(PATIENCE)
    ask(account, "yesterday")
    account.close()
    move_to_day(path, "yesterday", NOW - timedelta(days=1))
    today = SpendDay(
        NOW.date().isoformat(),
        asked=8,
        paid=5,
        saved=1,
        lost=2,
        unknown=3,
        usd=Decimal("0.225"),
        usd_unknown=Decimal("0.135"),
    )
    yesterday = SpendDay((NOW - timedelta(days=1)).date().isoformat(), asked=1)
    assert spend_by_day(path, now=NOW) == [yesterday, today]


def move_to_day(path: Path, call_id: str, moment: datetime) -> None:
    """Make a call as old as the moment."""
    connection = sqlite3.connect(path)
    with connection:
        micros = int(moment.timestamp() * 1_000_000)
        connection.execute("UPDATE calls SET created_at = ? WHERE id = ?", (micros, call_id))
    connection.close()


def test_a_link_that_does_not_say_lives_a_day(path: Path) -> None:
    """An image not saved whose link names no end is lost 24 hours after its answer."""
    account = Account(path)
    buy(account, "c", ("https://h/p", None))
    account.close()
    lost = [
        spend_by_day(path, now=datetime.now(UTC) + timedelta(hours=hours))[0].lost
        for hours in (23, 25)
    ]
    assert lost == [0, 1]


def test_spend_reads_a_budgets_file(path: Path) -> None:
    """A budget's file shows images and money: settled as paid, reserved as unknown."""
    budget = Budget.file(path, max_usd=1)
    budget.settle(budget.reserve(PRICE), PRICE)
    budget.settle(budget.reserve(PRICE), Decimal("0.04"))
    budget.release(budget.reserve(PRICE))
    budget.reserve(PRICE * 2, images=2)
    assert spend_by_day(path) == [
        SpendDay(
            datetime.now(UTC).date().isoformat(),
            asked=4,
            paid=2,
            unknown=2,
            usd=Decimal("0.085"),
            usd_unknown=Decimal("0.090"),
        )
    ]


def test_one_file_may_hold_both(path: Path) -> None:
    """What a program reserved and settled itself is shown together with the calls."""
    account, budget = Account(path), Budget.file(path, max_images=5)
    budget.settle(budget.reserve(PRICE), PRICE)
    buy(account, "c", ("https://h/p", None))
    account.close()
    assert [(day.asked, day.paid, day.usd) for day in spend_by_day(path)] == [(2, 2, PRICE * 2)]
    assert budget.images == 2


def test_spend_of_nothing_is_an_error_that_makes_no_file(path: Path) -> None:
    """A path without a file is told as such, and stays without one."""
    with pytest.raises(ConfigurationError, match="no account at"):
        spend_by_day(path)
    assert not path.exists()


def test_spend_of_an_empty_account_has_no_days(path: Path) -> None:
    """An account without calls has no days."""
    path.touch()
    assert spend_by_day(path) == []
