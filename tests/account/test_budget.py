"""A budget in memory: what it lets pass, what it says, and that its sums are exact."""

import asyncio
import copy
import decimal
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import Future
from decimal import Decimal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from langchain_qwen_image.account.budget import Budget, Limits, Totals
from langchain_qwen_image.account.limits import dollars
from langchain_qwen_image.errors import BudgetExceededError, ConfigurationError

PRICE = Decimal("0.045")


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        pytest.param({}, "needs a limit", id="none"),
        pytest.param({"max_usd": -0.01}, "max_usd", id="negative"),
        pytest.param({"max_usd": float("nan")}, "max_usd", id="nan"),
        pytest.param({"max_usd": "inf"}, "max_usd", id="infinite"),
        pytest.param({"max_usd": "a lot"}, "a number, not 'a lot'", id="word"),
        pytest.param({"max_usd": "1e12"}, "max_usd", id="too-large"),
        pytest.param({"max_usd": "1e-19"}, "18 decimals", id="too-fine"),
        pytest.param({"max_images": -1}, "max_images", id="negative-images"),
        pytest.param({"max_images": 1.5}, "max_images", id="half-image"),
    ],
)
def test_a_limit_that_cannot_work_is_refused(limits: dict[str, object], says: str) -> None:
    """A budget without a limit, or with one that is no amount, is a configuration error."""
    with pytest.raises(ConfigurationError, match=says):
        Budget(**limits)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "limit"),
    [
        pytest.param(0.1, "0.1", id="float-as-printed"),
        pytest.param("0.10", "0.10", id="text"),
        pytest.param(Decimal("0.1"), "0.1", id="decimal"),
        pytest.param(20, "20", id="whole"),
        pytest.param(0, "0", id="zero"),
    ],
)
def test_a_limit_is_taken_exactly(given: float, limit: str) -> None:
    """A float limit is what it prints as, not its binary neighbour."""
    budget = Budget(max_usd=given)
    assert str(budget.max_usd) == limit
    assert budget.remaining_usd == Decimal(limit)


def test_a_reservation_is_settled_or_released_once() -> None:
    """Reserve, settle and release move money once each; repeats and strangers change nothing."""
    budget = Budget(max_usd=1, max_images=10)
    first, second = budget.reserve(PRICE * 2, images=2), budget.reserve(PRICE)
    assert (budget.spent_usd, budget.reserved_usd) == (0, PRICE * 3)
    assert (budget.images, budget.remaining_images) == (0, 7)
    for _ in range(2):
        budget.settle(first, Decimal("0.05"), images=1)
        budget.release(first)
        budget.release(second)
        budget.settle(second, PRICE)
        budget.release("nobody's")
        assert (budget.spent_usd, budget.reserved_usd) == (Decimal("0.05"), 0)
        assert (budget.remaining_usd, budget.images, budget.remaining_images) == (
            Decimal("0.95"),
            1,
            9,
        )


@pytest.mark.parametrize(
    ("limits", "passes"),
    [
        pytest.param({"max_usd": "0.135"}, 3, id="usd-to-the-cent"),
        pytest.param({"max_usd": "0.1349"}, 2, id="usd-just-short"),
        pytest.param({"max_images": 2}, 2, id="images"),
        pytest.param({"max_usd": 1, "max_images": 1}, 1, id="both"),
        pytest.param({"max_usd": 0}, 0, id="nothing"),
    ],
)
def test_a_limit_holds_to_the_cent(limits: dict[str, object], passes: int) -> None:
    """What fits the limit exactly passes, and nothing beyond it."""
    budget = Budget(**limits)  # type: ignore[arg-type]
    for _ in range(passes):
        budget.reserve(PRICE)
    with pytest.raises(BudgetExceededError):
        budget.reserve(PRICE)
    assert budget.reserved_usd == passes * PRICE


def test_without_a_limit_of_its_kind_nothing_remains_to_tell() -> None:
    """Only the limits that were set have something remaining."""
    assert Budget(max_usd=1).remaining_images is None
    assert Budget(max_images=1).remaining_usd is None
    assert Budget(max_images=1).max_usd is None
    assert Budget(max_usd=1).max_images is None


def test_a_cost_above_its_reservation_is_saved() -> None:
    """The true cost counts, even past the limit; then nothing remains, and never less."""
    budget = Budget(max_usd="0.045", max_images=1)
    budget.settle(budget.reserve(PRICE), PRICE * 2, images=2)
    assert (budget.spent_usd, budget.remaining_usd, budget.remaining_images) == (PRICE * 2, 0, 0)


def test_a_refusal_tells_what_is_left_and_what_to_do() -> None:
    """The error names what is left, what is in progress, the price, and to stop and tell."""
    budget = Budget(max_usd="0.10", max_images=7)
    budget.settle(budget.reserve(PRICE), PRICE)
    budget.reserve(PRICE)
    with pytest.raises(BudgetExceededError) as caught:
        budget.reserve(PRICE)
    assert str(caught.value) == (
        "The image budget does not allow this: $0.01 of $0.10 and 5 of 7 images left ($0.045 "
        "reserved for 1 image in progress), and one image costs $0.045. Nothing was sent and "
        "nothing was paid. Stop generating images and tell the user that the budget is used up."
    )
    assert not caught.value.is_retryable
    assert not caught.value.may_have_been_billed


def test_a_refusal_of_several_images_names_their_price() -> None:
    """A reservation of several images is refused as a whole."""
    says = r"\$0\.00 of \$0\.00 left, and 3 images cost \$0\.135\."
    with pytest.raises(BudgetExceededError, match=says):
        Budget(max_usd=0).reserve(PRICE * 3, images=3)


@pytest.mark.parametrize(
    ("usd", "images"),
    [
        pytest.param("-1", 1, id="negative"),
        pytest.param("nan", 1, id="nan"),
        pytest.param("inf", 1, id="infinite"),
        pytest.param("1", -1, id="negative-images"),
    ],
)
async def test_an_amount_that_is_none_is_refused(usd: str, images: int) -> None:
    """No step takes a negative or endless amount: it would be money from nowhere."""
    budget = Budget(max_usd=1)
    token = budget.reserve(PRICE)
    amount = Decimal(usd)
    with pytest.raises(ValueError, match="0 or more"):
        budget.reserve(amount, images)
    with pytest.raises(ValueError, match="0 or more"):
        await budget.areserve(amount, images)
    with pytest.raises(ValueError, match="0 or more"):
        budget.settle(token, amount, images)
    with pytest.raises(ValueError, match="0 or more"):
        await budget.asettle(token, amount, images)
    assert (budget.reserved_usd, budget.spent_usd) == (PRICE, 0)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy], ids=["copy", "deepcopy"])
def test_a_copy_is_the_same_budget(copied: Callable[[Budget], Budget]) -> None:
    """Copying a budget, as copying a tool does, makes no second one."""
    budget = Budget(max_usd=1)
    assert copied(budget) is budget


def test_a_budget_in_memory_does_not_pickle() -> None:
    """Pickling names the budget that processes can share."""
    with pytest.raises(TypeError, match=r"Budget\.file"):
        pickle.dumps(Budget(max_usd=1))


def test_a_repr_tells_the_limits_and_what_is_left() -> None:
    """A budget shows itself without rounding."""
    budget = Budget(max_usd=20, max_images=3)
    budget.reserve(PRICE)
    assert repr(budget) == "<Budget: $19.955 of $20.00 and 2 of 3 images left>"
    assert repr(Budget(max_images=3)) == "<Budget: 3 of 3 images left>"


def test_the_callers_decimal_context_does_not_round_money() -> None:
    """Sums are exact whatever precision the program works with."""
    with decimal.localcontext() as context:
        context.prec = 2
        budget = Budget(max_usd="1234567.890123")
        budget.settle(budget.reserve(Decimal("1000.000001")), Decimal("1000.000001"))
        assert str(budget.spent_usd) == "1000.000001"
        assert dollars(budget.remaining_usd or Decimal(0)) == "$1,233,567.890122"


def test_many_threads_end_at_the_exact_cent() -> None:
    """Rounds from eight threads at once lose and invent nothing (a million: by hand)."""
    rounds = 15_000
    budget = Budget(max_usd=10**6)

    def work() -> None:
        for number in range(rounds):
            token = budget.reserve(PRICE)
            if number % 3:
                budget.settle(token, PRICE)
            else:
                budget.release(token)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (budget.images, budget.reserved_usd) == (80_000, 0)
    assert str(budget.spent_usd) == "3600.000"


def test_threads_together_do_not_pass_the_limit() -> None:
    """Of 400 reservations from eight threads, as many pass as fit."""
    budget = Budget(max_images=37)
    passed: list[str] = []

    def work() -> None:
        for _ in range(50):
            try:
                passed.append(budget.reserve(PRICE))
            except BudgetExceededError:
                continue

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(passed)) == len(passed) == 37


async def test_the_async_twins_move_the_same_money() -> None:
    """A task's reserve, settle and release are those of a thread."""
    budget = Budget(max_images=2)
    first, second = await budget.areserve(PRICE), await budget.areserve(PRICE)
    with pytest.raises(BudgetExceededError):
        await budget.areserve(PRICE)
    await budget.asettle(first, PRICE)
    await budget.arelease(second)
    assert (budget.spent_usd, budget.images, budget.reserved_usd) == (PRICE, 1, 0)


class SlowHome:
    """A home of somebody else's, which answers when told to."""

    def __init__(self) -> None:
        """Have answered nothing yet."""
        self.answer: Future[str] = Future()
        self.released: list[str] = []

    def reserve(self, usd: Decimal, images: int, limits: Limits) -> Future[str]:
        """Answer later."""
        return self.answer

    def settle(self, token: str, usd: Decimal, images: int) -> None:
        """Forget it."""

    def release(self, token: str) -> None:
        """Note it."""
        self.released.append(token)

    def totals(self) -> Totals:
        """Know of nothing."""
        return Totals()


@pytest.mark.parametrize("refused", [False, True], ids=["reserved", "refused"])
async def test_a_reservation_that_nobody_waits_for_is_given_back(refused: bool) -> None:
    """When the caller is cancelled before the home answers, the money does not stay reserved."""
    store = SlowHome()
    store.answer.set_running_or_notify_cancel()
    task = asyncio.create_task(Budget(max_usd=1, store=store).areserve(PRICE))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    if refused:
        store.answer.set_exception(BudgetExceededError("no"))
    else:
        store.answer.set_result("t1")
    assert store.released == ([] if refused else ["t1"])


async def test_a_reservation_cancelled_in_its_home_needs_no_return() -> None:
    """A home's future that was itself cancelled reserved nothing."""
    store = SlowHome()
    task = asyncio.create_task(Budget(max_usd=1, store=store).areserve(PRICE))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert store.answer.cancelled()
    assert store.released == []


class InterruptedFuture(Future[str]):
    """A future whose waiter presses Ctrl-C."""

    def result(self, timeout: float | None = None) -> str:
        """Interrupt the first wait only."""
        if not self.done():
            raise KeyboardInterrupt
        return super().result(timeout)


def test_a_reservation_interrupted_in_a_thread_is_given_back() -> None:
    """Ctrl-C while waiting for the home leaves nothing reserved."""
    store = SlowHome()
    store.answer = InterruptedFuture()
    with pytest.raises(KeyboardInterrupt):
        Budget(max_usd=1, store=store).reserve(PRICE)
    store.answer.set_result("t1")
    assert store.released == ["t1"]


AMOUNTS = st.decimals(min_value=0, max_value=2, places=6)


class BudgetMachine(RuleBasedStateMachine):
    """Any order of steps, against plain bookkeeping in whole millionths."""

    tokens = Bundle("tokens")

    def __init__(self) -> None:
        """Start with a limit of $5 and 6 images."""
        super().__init__()
        self.budget = Budget(max_usd=5, max_images=6)
        self.open: dict[str, tuple[int, int]] = {}
        self.spent = 0
        self.images = 0

    @rule(target=tokens, usd=AMOUNTS, images=st.integers(0, 3))
    def reserve(self, usd: Decimal, images: int) -> str:
        """Reserve, or be refused exactly when it does not fit."""
        micros = int(usd * 1_000_000)
        held = [*self.open.values(), (self.spent, self.images), (micros, images)]
        fits = sum(h[0] for h in held) <= 5_000_000 and sum(h[1] for h in held) <= 6
        try:
            token = self.budget.reserve(usd, images)
        except BudgetExceededError:
            assert not fits
            return ""
        assert fits
        self.open[token] = (micros, images)
        return token

    @rule(token=tokens, share=st.decimals(min_value=0, max_value=1, places=3))
    def settle(self, token: str, share: Decimal) -> None:
        """Settle at the reserved price or below, maybe again."""
        micros, images = self.open.pop(token, (0, 0))
        true = int(micros * share)
        self.budget.settle(token, Decimal(true) / 1_000_000, images)
        self.spent += true
        self.images += images

    @rule(token=tokens)
    def release(self, token: str) -> None:
        """Release, maybe again."""
        self.budget.release(token)
        self.open.pop(token, None)

    @invariant()
    def sums_are_exact_and_within_the_limit(self) -> None:
        """Agree with the plain books, and never go over."""
        reserved = sum(micros for micros, _ in self.open.values())
        assert self.budget.spent_usd * 1_000_000 == self.spent
        assert self.budget.reserved_usd * 1_000_000 == reserved
        assert self.budget.images == self.images
        assert self.spent + reserved <= 5_000_000


TestBudgetMachine = BudgetMachine.TestCase
TestBudgetMachine.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
