"""A budget in a file: one limit for every process of a machine, across restarts and kills."""

import asyncio
import pickle
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import pytest
import warm
from waiting import PATIENCE

from langchain_qwen_image.account.budget import Budget
from langchain_qwen_image.errors import BudgetExceededError, ConfigurationError

PRICE = Decimal("0.045")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the money is counted."""
    return tmp_path / "spend.db"


def run_python(program: str, path: Path) -> subprocess.Popen[str]:
    """Start a program in a process of its own, with `budget` of 10 images at $1."""
    prelude = f"""
import os, signal
from decimal import Decimal
from langchain_qwen_image.account.budget import Budget
from langchain_qwen_image.errors import BudgetExceededError
PRICE = {PRICE!r}
budget = Budget.file({str(path)!r}, max_usd=1, max_images=10)
"""
    return warm.Popen(
        [sys.executable, "-W", "error", "-c", prelude + program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_no_file_before_the_first_reservation(path: Path) -> None:
    """Asking a new budget what is left makes no file."""
    budget = Budget.file(path, max_usd=20)
    assert repr(budget) == "<Budget: $20.00 of $20.00 left>"
    assert (budget.spent_usd, budget.images, budget.reserved_usd) == (0, 0, 0)
    assert not path.exists()


def test_the_books_outlive_the_object(path: Path) -> None:
    """A second budget on the file goes on where the first was, under its own limit."""
    budget = Budget.file(path, max_usd="0.10")
    budget.settle(budget.reserve(PRICE), PRICE)
    budget.settle(budget.reserve(PRICE), Decimal("0.05"))
    token = Budget.file(path, max_usd=1).reserve(PRICE)
    again = Budget.file(path, max_usd="0.10")
    assert (again.spent_usd, again.reserved_usd, again.remaining_usd) == (
        Decimal("0.095"),
        PRICE,
        0,
    )
    with pytest.raises(BudgetExceededError, match=r"\$0\.00 of \$0\.10 left"):
        again.reserve(PRICE)
    again.release(token)
    assert (again.remaining_usd, again.images) == (Decimal("0.005"), 2)


def test_settling_and_releasing_twice_change_nothing(path: Path) -> None:
    """A token moves money once, in the file as in memory."""
    budget = Budget.file(path, max_usd=1)
    saved, given_back = budget.reserve(PRICE * 2, images=2), budget.reserve(PRICE)
    for _ in range(2):
        budget.settle(saved, PRICE, images=1)
        budget.release(saved)
        budget.release(given_back)
        budget.settle(given_back, PRICE)
        assert (budget.spent_usd, budget.images, budget.reserved_usd) == (PRICE, 1, 0)


def test_a_pickle_keeps_the_budget(path: Path) -> None:
    """A pickled file budget is the same file with the same limits."""
    budget = Budget.file(path, max_usd="0.10", max_images=3)
    budget.reserve(PRICE)
    twin: Budget = pickle.loads(pickle.dumps(budget))
    assert repr(twin) == repr(budget) == "<Budget: $0.055 of $0.10 and 2 of 3 images left>"


def test_another_file_is_refused(path: Path) -> None:
    """What is no budget's file is a configuration error, before anything is sent."""
    path.write_text("dear diary, " * 100)
    with pytest.raises(ConfigurationError, match="not a database"):
        Budget.file(path, max_usd=1).reserve(PRICE)


async def test_tasks_together_do_not_pass_the_limit(path: Path) -> None:
    """Of 200 tasks at once as many pass as fit, and the twins' sums are exact."""
    budget = Budget.file(path, max_usd=1)
    answers = await asyncio.gather(
        *(budget.areserve(PRICE) for _ in range(200)), return_exceptions=True
    )
    tokens = [answer for answer in answers if isinstance(answer, str)]
    assert {type(answer) for answer in answers} == {str, BudgetExceededError}
    assert len(tokens) == 22
    await asyncio.gather(*(budget.asettle(token, PRICE) for token in tokens[1:]))
    await budget.arelease(tokens[0])
    assert (str(budget.spent_usd), budget.images, budget.reserved_usd) == ("0.945", 21, 0)


async def test_a_cancelled_reservation_is_given_back(path: Path) -> None:
    """A task cancelled while the disk works leaves nothing reserved."""
    budget = Budget.file(path, max_images=1)
    tasks = [asyncio.create_task(budget.areserve(PRICE)) for _ in range(20)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for _ in range(2):  # behind the reservations, and behind what they gave back
        await budget.arelease("nothing")
    assert budget.reserved_usd == 0
    await budget.areserve(PRICE)


def test_processes_share_one_limit(path: Path) -> None:
    """Three processes that want 30 images of 10 get 10 between them."""
    program = """
passed = 0
for _ in range(10):
    try:
        budget.settle(budget.reserve(PRICE), PRICE)
    except BudgetExceededError:
        continue
    passed += 1
print(passed)
"""
    processes = [run_python(program, path) for _ in range(3)]
    answers = [process.communicate(timeout=600) for process in processes]
    assert [errors for _, errors in answers] == [""] * 3
    assert sum(int(output) for output, _ in answers) == 10
    budget = Budget.file(path, max_images=10)
    assert (budget.images, budget.spent_usd, budget.remaining_images) == (10, Decimal("0.45"), 0)


@pytest.mark.parametrize(
    ("steps", "spent", "images", "reserved"),
    [
        pytest.param("budget.reserve(PRICE)", "0.045", 1, "0.045", id="reserved"),
        pytest.param("budget.settle(budget.reserve(PRICE), PRICE * 2)", "0.09", 1, 0, id="settled"),
        pytest.param("budget.release(budget.reserve(PRICE))", "0", 0, 0, id="released"),
        pytest.param(
            "budget.reserve(PRICE); budget.reserve(PRICE * 2, 2)",
            "0.135",
            3,
            "0.135",
            id="reserved-twice",
        ),
    ],
)
def test_what_a_killed_process_reserved_counts_as_spent(
    path: Path,
    steps: str,
    spent: str,
    images: int,
    reserved: str | int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After kill -9, what was reserved and not settled is never free: in an hour it is spent."""
    process = run_python(f"{steps}\nos.kill(os.getpid(), signal.SIGKILL)", path)
    process.communicate(timeout=600)
    assert process.returncode == -signal.SIGKILL
    budget = Budget.file(path, max_usd=1)
    assert budget.reserved_usd == Decimal(reserved)
    later = time.time_ns() // 1000 + 3600 * 1_000_000
    monkeypatch.setattr("langchain_qwen_image.account.sqlite.now_micros", lambda: later)
    for _ in range(2):
        assert (budget.spent_usd, budget.images, budget.reserved_usd) == (Decimal(spent), images, 0)
        assert budget.remaining_usd == 1 - Decimal(spent)
        assert budget.account is not None
        budget.account.expire().result(PATIENCE)


def test_what_another_process_reserved_is_reserved(path: Path) -> None:
    """What another process reserves counts at once, and comes free when it gives it back."""
    process = run_python(
        "token = budget.reserve(PRICE)\nprint(1, flush=True)\ninput()\nbudget.release(token)", path
    )
    assert process.stdout is not None
    process.stdout.readline()
    budget = Budget.file(path, max_usd=1)
    assert (budget.reserved_usd, budget.spent_usd) == (PRICE, 0)
    process.communicate("\n", timeout=600)
    assert (budget.reserved_usd, budget.spent_usd) == (0, 0)
