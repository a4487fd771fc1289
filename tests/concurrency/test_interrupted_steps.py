"""Signal handlers at every step of the main thread: they read, they write, they raise."""

import faulthandler
import gc
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from interrupts import handled_at, interrupted_at
from waiting import PATIENCE, wait_until

from langchain_qwen_image import Budget, QwenImageGenerator
from langchain_qwen_image.sandbox import SandboxServer

PRICE = Decimal("0.045")
# What is interrupted as it opens a file is closed with its last reference; Python 3.13 warns of it.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")


@pytest.fixture(autouse=True)
def _last_references() -> Iterator[None]:
    """Let them go within the test, whose warnings they are."""
    yield
    gc.collect()


def within_patience(work: Callable[[], object]) -> None:
    """Fail, and do not hang, where the work of the main thread waits for ever."""
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    try:
        work()
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.fixture(params=["memory", "file"])
def budget(request: pytest.FixtureRequest, tmp_path: Path) -> Budget:
    """Return a budget of either kind."""
    if request.param == "memory":
        return Budget(max_images=10)
    return Budget.file(tmp_path / "books.db", max_images=10)


@pytest.mark.parametrize(
    "handler",
    [repr, lambda budget: budget.settle(budget.reserve(PRICE), PRICE, 0)],
    ids=["reads", "writes"],
)
def test_a_handler_uses_the_budget_that_the_main_thread_uses(
    budget: Budget, handler: Callable[[Budget], object]
) -> None:
    """A signal handler can print a budget and spend from it, without a deadlock."""
    number = 0

    def use() -> None:
        assert budget.remaining_images == 10
        budget.release(budget.reserve(PRICE))

    def use_all() -> None:
        nonlocal number
        while handled_at(number, use, lambda: handler(budget)):
            number += 3

    within_patience(use_all)
    assert number > 20
    assert (budget.images, budget.reserved_usd) == (0, 0)


def test_an_interrupted_read_leaves_the_next_one_whole(tmp_path: Path) -> None:
    """An exception at any step of a read leaves no lock, no snapshot and no connection behind."""
    budget = Budget.file(tmp_path / "books.db", max_images=10)
    number = 0

    def read_all() -> None:
        nonlocal number
        while interrupted_at(number, lambda: repr(budget)):
            number += 1
            budget.settle(budget.reserve(PRICE), PRICE, 0)
            assert budget.images == 0

    budget.settle(budget.reserve(PRICE), PRICE, 0)
    within_patience(read_all)
    assert number > 20


def test_an_interrupted_write_is_written(tmp_path: Path) -> None:
    """An exception at any step of a write leaves no lock: the next write and `close` work."""
    budget = Budget.file(tmp_path / "books.db", max_images=10_000)
    number = 0

    def write_all() -> None:
        nonlocal number
        while interrupted_at(number, lambda: budget.settle(budget.reserve(PRICE), PRICE)):
            number += 1
            budget.release(budget.reserve(PRICE))

    within_patience(write_all)
    assert number > 20


def test_an_interrupted_call_is_whole(tmp_path: Path, server: SandboxServer) -> None:
    """An exception at any step that the main thread takes of a call ends it in the books."""
    path = tmp_path / "books.db"
    budget = Budget.file(path, max_images=10_000)
    generator = QwenImageGenerator(
        api_key="test-key-0123456789", base_url=server.base_url, account=path, budget=budget
    )
    generator.invoke("a fox")
    number = 0

    def call_all() -> None:
        nonlocal number
        while interrupted_at(number, lambda: generator.invoke("a fox")):
            number += 1
        wait_until(lambda: not budget.reserved_usd)

    within_patience(call_all)
    generator.invoke("a fox")
    generator.close()
    assert number > 50
    assert budget.images == server.gateway.post_count
    assert sys.exc_info() == (None, None, None)  # else every later error has a context
