"""The order of a call's steps, and what the books say after each."""

import copy
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_qwen_image.account.ledger import AlreadyAskedError, Commit, Ledger
from langchain_qwen_image.errors import AccountError, QwenImageError

PRICE = Decimal("0.045")
LINK = "https://images.example/p.png?Expires=1&Signature=c2VjcmV0"
DIES = datetime(2026, 11, 24, 9, 13, 7, 123456, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A ledger whose folder does not exist yet."""
    return Ledger(tmp_path / "images" / "books.db")


def ask(ledger: Ledger, call_id: str = "c1", **changes: object) -> Commit[None]:
    """Enter a call with usual values."""
    values: dict[str, object] = {
        "prompt": "a red fox",
        "parameters": {"size": "512*512", "watermark": True},
        "model": "qwen-image",
        "base_url": "https://gateway.example",
        "cost_usd": PRICE,
    }
    return ledger.asked(call_id, **(values | changes))  # type: ignore[arg-type]


STEPS: dict[str, Callable[[Ledger], Commit[None]]] = {
    "asked": ask,
    "sent": lambda ledger: ledger.sent("c1"),
    "waiting": lambda ledger: ledger.waiting("c1", "RateLimitError"),
    "queued": lambda ledger: ledger.queued("c1", polling_path="/v2/status/1", request_id="q1"),
    "answered": lambda ledger: ledger.answered(
        "c1", request_id="r1", cost_usd=PRICE, images=[("i1", LINK, DIES)]
    ),
    "saved": lambda ledger: ledger.saved("i1", path="a.png", sha256="ab", size_bytes=7),
    "not_saved": lambda ledger: ledger.not_saved("i1", "disk full"),
    "refused": lambda ledger: ledger.refused("c1", error="ServerError", message="no"),
    "unknown": lambda ledger: ledger.unknown("c1", error="RequestTimeoutError", message="?"),
}


def walk(ledger: Ledger, steps: str) -> None:
    """Take the steps named, each on the disk before the next."""
    for step in steps.split():
        STEPS[step](ledger).result(30)


@pytest.mark.parametrize(
    ("steps", "state", "attempts"),
    [
        pytest.param("asked", "asked", 0, id="asked"),
        pytest.param("asked sent", "sent", 1, id="sent"),
        pytest.param("asked sent waiting", "asked", 1, id="waiting"),
        pytest.param("asked sent waiting sent", "sent", 2, id="second-attempt"),
        pytest.param("asked sent answered", "answered", 1, id="answered"),
        pytest.param("asked sent answered not_saved", "answered", 1, id="not-saved"),
        pytest.param("asked sent answered not_saved saved", "saved", 1, id="saved-later"),
        pytest.param("asked sent answered saved not_saved", "saved", 1, id="saved-stays-saved"),
        pytest.param("asked refused", "refused", 0, id="refused-unsent"),
        pytest.param("asked sent refused", "refused", 1, id="refused"),
        pytest.param("asked sent unknown", "unknown", 1, id="unknown"),
        pytest.param("asked sent unknown answered", "answered", 1, id="late-answer"),
        pytest.param("asked sent unknown refused", "refused", 1, id="late-refusal"),
        pytest.param("asked sent queued", "queued", 1, id="queued"),
        pytest.param("asked sent queued answered", "answered", 1, id="queued-answered"),
        pytest.param("asked sent queued refused", "refused", 1, id="queued-failed"),
        pytest.param("asked sent queued unknown", "unknown", 1, id="queued-given-up"),
        pytest.param("asked sent unknown queued", "queued", 1, id="late-queued"),
    ],
)
@pytest.mark.parametrize("times", [1, 2], ids=["once", "repeated"])
def test_steps_lead_to_their_state(
    ledger: Ledger, steps: str, state: str, attempts: int, times: int
) -> None:
    """Every allowed way ends in its state, and taking each step twice changes nothing."""
    for step in steps.split():
        walk(ledger, " ".join([step] * times))
    call = ledger.get("c1")
    assert call is not None
    assert (call.state, call.attempts) == (state, attempts)


@pytest.mark.parametrize(
    ("steps", "illegal"),
    [
        pytest.param("", "sent", id="sent-unknown-call"),
        pytest.param("", "answered", id="answered-unknown-call"),
        pytest.param("asked", "answered", id="answered-unsent"),
        pytest.param("asked", "unknown", id="unknown-unsent"),
        pytest.param("asked sent", "saved", id="saved-unanswered"),
        pytest.param("asked", "queued", id="queued-unsent"),
        pytest.param("asked sent queued", "sent", id="sent-after-queued"),
        pytest.param("asked sent queued", "waiting", id="waiting-after-queued"),
        pytest.param("asked sent answered", "queued", id="queued-after-answered"),
        pytest.param("asked sent refused", "queued", id="queued-after-refused"),
        pytest.param("asked sent", "not_saved", id="not-saved-unanswered"),
        pytest.param("asked sent refused", "sent", id="sent-after-refused"),
        pytest.param("asked sent refused", "answered", id="answered-after-refused"),
        pytest.param("asked sent unknown", "sent", id="sent-after-unknown"),
        pytest.param("asked sent answered", "sent", id="sent-after-answered"),
        pytest.param("asked sent answered", "refused", id="refused-after-answered"),
        pytest.param("asked sent answered saved", "unknown", id="unknown-after-saved"),
    ],
)
def test_illegal_steps_fail_and_change_nothing(ledger: Ledger, steps: str, illegal: str) -> None:
    """A step out of order fails with an error that says why, and the books stay as they were."""
    walk(ledger, steps)
    before = ledger.get("c1")
    with pytest.raises(AccountError, match=r"cannot become|comes first"):
        walk(ledger, illegal)
    assert ledger.get("c1") == before


async def test_a_task_awaits_the_commit_that_a_thread_waits_for(ledger: Ledger) -> None:
    """A step is one commit for both worlds: `await` it or ask for its result."""
    await ask(ledger)
    ledger.sent("c1").result(30)
    with pytest.raises(AccountError):
        await ledger.sent("nobody")
    call = ledger.get("c1")
    assert call is not None
    assert call.state == "sent"


def test_a_call_comes_back_as_it_was_entered(ledger: Ledger) -> None:
    """Every fact of a call and its images comes back unchanged."""
    before = datetime.now(UTC) - timedelta(seconds=1)
    ask(ledger, prompt="红狐狸 🦊\n\x00'", cost_usd=Decimal("0.0450")).result(30)
    ledger.sent("c1")
    images = [("i2", LINK, None), ("i1", "https://h/q.png", DIES)]
    ledger.answered("c1", request_id="r1", cost_usd=Decimal("0.09"), images=images).result(30)
    call = ledger.get("c1")
    assert call is not None
    assert (call.prompt, call.parameters) == (
        "红狐狸 🦊\n\x00'",
        {"size": "512*512", "watermark": True},
    )
    assert (call.model, call.base_url) == ("qwen-image", "https://gateway.example")
    assert (call.request_id, call.cost_usd) == ("r1", Decimal("0.09"))
    assert [(image.id, image.url, image.expires_at) for image in call.images] == images
    assert before < call.created_at <= call.updated_at


def test_a_queued_call_says_where_to_ask(ledger: Ledger) -> None:
    """The newest polling address and the request's name come back, and no repr has the address."""
    walk(ledger, "asked sent queued")
    ledger.queued("c1", polling_path="/v2/status/2?x=%2F", request_id=None).result(30)
    call = ledger.get("c1")
    assert call is not None
    assert (call.polling_path, call.request_id) == ("/v2/status/2?x=%2F", "q1")
    assert "/v2/status" not in repr(call)


@pytest.mark.parametrize("step", ["refused", "unknown"])
def test_an_error_keeps_its_class_text_and_request(ledger: Ledger, step: str) -> None:
    """A call without an image says what happened to it."""
    walk(ledger, "asked sent")
    end = ledger.refused if step == "refused" else ledger.unknown
    end("c1", error="ServerError", message="it fell \ud800 over", request_id="r9").result(30)
    call = ledger.get("c1")
    assert call is not None
    assert (call.error, call.message, call.request_id) == (
        "ServerError",
        "it fell \\ud800 over",
        "r9",
    )


def test_a_call_is_saved_when_all_its_images_are(ledger: Ledger) -> None:
    """One saved image of two leaves the call answered and the other link whole."""
    walk(ledger, "asked sent")
    images = [("i1", LINK, None), ("i2", LINK, None)]
    ledger.answered("c1", request_id=None, cost_usd=PRICE, images=images)
    walk(ledger, "saved")
    call = ledger.get("c1")
    assert call is not None
    assert (call.state, call.images[0].path, call.images[1].url) == ("answered", "a.png", LINK)
    ledger.saved("i2", path=Path("b.png"), sha256="cd", size_bytes=9).result(30)
    call = ledger.get("c1")
    assert call is not None
    assert call.state == "saved"


def test_saving_a_image_cuts_its_link(ledger: Ledger) -> None:
    """A saved image has its path and checksum, and its link no query."""
    walk(ledger, "asked sent answered not_saved")
    image = ledger.find_image("i1")
    assert image is not None
    assert (image.url, image.error) == (LINK, "disk full")
    walk(ledger, "saved")
    image = ledger.find_image("a.png")
    assert image is not None
    assert (image.id, image.call_id, image.url) == ("i1", "c1", "https://images.example/p.png")
    assert (image.sha256, image.size_bytes, image.error) == ("ab", 7, None)


def test_a_image_inside_the_answer_is_not_stored(ledger: Ledger) -> None:
    """Of a `data:` link only that it was one is in the books."""
    walk(ledger, "asked sent")
    link = "DATA:image/png;base64," + "A" * 1000
    ledger.answered("c1", request_id=None, cost_usd=PRICE, images=[("i1", link, None)]).result(30)
    image = ledger.find_image("i1")
    assert image is not None
    assert image.url == "data:"


def test_one_call_is_answered_once(ledger: Ledger) -> None:
    """A second answer with other images is an error: somebody paid twice."""
    walk(ledger, "asked sent answered")
    with pytest.raises(AccountError, match="other images"):
        ledger.answered("c1", request_id="r2", cost_usd=PRICE, images=[("i9", LINK, None)]).result(
            30
        )


def test_an_image_belongs_to_one_call(ledger: Ledger) -> None:
    """An image's id cannot be used by a second call, whose step is undone as a whole."""
    walk(ledger, "asked sent answered")
    ask(ledger, "c2")
    ledger.sent("c2")
    with pytest.raises(AccountError, match="could not be written"):
        ledger.answered("c2", request_id="r2", cost_usd=PRICE, images=[("i1", LINK, None)]).result(
            30
        )
    call = ledger.get("c2")
    assert call is not None
    assert call.state == "sent"


def test_a_call_id_names_one_request(ledger: Ledger) -> None:
    """Asking under a used id for something else is an error."""
    walk(ledger, "asked")
    with pytest.raises(AccountError, match="another request"):
        ask(ledger, prompt="a blue fox").result(30)


def test_a_failing_step_spares_its_neighbours(ledger: Ledger) -> None:
    """Of steps that share a transaction, only the illegal one fails."""
    commits = [ask(ledger, f"c{number}") for number in range(20)]
    commits.insert(10, ledger.sent("nobody"))
    failures = [commit.exception(30) for commit in commits]
    assert [position for position, failure in enumerate(failures) if failure] == [10]
    assert len(list(ledger.calls())) == 20


def test_a_commit_cannot_be_cancelled(ledger: Ledger) -> None:
    """A step handed over is written, whoever stops waiting for it."""
    commit = ask(ledger)
    assert not commit.cancel()
    commit.result(30)


def test_no_link_in_what_is_shown(ledger: Ledger) -> None:
    """Neither a repr nor an error has the secret of a link."""
    walk(ledger, "asked sent answered")
    call = ledger.get("c1")
    assert call is not None
    assert "Signature" not in repr(call)
    failure = ledger.answered(
        "c9", request_id="r", cost_usd=PRICE, images=[("i9", LINK, None)]
    ).exception(30)
    assert isinstance(failure, QwenImageError)
    assert failure.__traceback__ is None
    assert "Signature" not in repr(failure)


ITEM = {"batch": "run", "batch_item": "7"}


@pytest.mark.parametrize(
    ("steps", "allowed", "allowed_paying_again"),
    [
        pytest.param("", True, True, id="asked"),
        pytest.param("sent waiting", True, True, id="waiting"),
        pytest.param("refused", True, True, id="refused"),
        pytest.param("sent", False, True, id="sent"),
        pytest.param("sent queued", False, False, id="queued"),
        pytest.param("sent unknown", False, True, id="unknown"),
        pytest.param("sent answered", False, True, id="answered"),
        pytest.param("sent answered saved", False, False, id="saved"),
    ],
)
@pytest.mark.parametrize("pay_again", [False, True], ids=["plain", "pay-again"])
def test_an_item_of_a_batch_is_paid_for_once(
    ledger: Ledger, steps: str, allowed: bool, allowed_paying_again: bool, pay_again: bool
) -> None:
    """A new call takes an item over only if the earlier one bought nothing, or if told so."""
    ask(ledger, **ITEM)
    walk(ledger, steps)
    second = ask(ledger, "c2", **ITEM, pay_again=pay_again)
    prior = ledger.find_item
    if allowed_paying_again if pay_again else allowed:
        second.result(30)
        first = ledger.get("c1")
        assert first is not None
        assert first.replaced_by == "c2"
        item = prior("run", "7")
        assert item is not None
        assert item.id == "c2"
    else:
        with pytest.raises(AlreadyAskedError, match="not paid for again") as caught:
            second.result(30)
        item = prior("run", "7")
        assert item is not None
        assert (caught.value.call_id, caught.value.state) == ("c1", item.state)
        assert ledger.get("c2") is None


def test_a_replaced_call_does_not_send(ledger: Ledger) -> None:
    """When two runs ask for one item, only the later call's POST may leave."""
    ask(ledger, **ITEM)
    ask(ledger, "c2", **ITEM)
    with pytest.raises(AccountError, match="replaced by c2"):
        ledger.sent("c1").result(30)
    ledger.sent("c2").result(30)


def test_a_replaced_call_keeps_what_it_bought(ledger: Ledger) -> None:
    """An answer that comes after its call was replaced is not lost."""
    ask(ledger, **ITEM)
    walk(ledger, "sent")
    ask(ledger, "c2", **ITEM, pay_again=True)
    walk(ledger, "answered saved")
    assert [(call.id, call.state) for call in ledger.calls(batch="run")] == [
        ("c1", "saved"),
        ("c2", "asked"),
    ]


def test_equal_prompts_are_different_items(ledger: Ledger) -> None:
    """The same prompt twice in a batch is two calls, and so is the same item of another batch."""
    for number, item in enumerate([ITEM, ITEM | {"batch_item": "8"}, ITEM | {"batch": "other"}]):
        ask(ledger, f"c{number}", **item).result(30)
    assert len(list(ledger.calls(batch="run"))) == 2


@pytest.mark.parametrize(
    "copied",
    [
        pytest.param(copy.copy, id="copy"),
        pytest.param(copy.deepcopy, id="deepcopy"),
        pytest.param(lambda ledger: pickle.loads(pickle.dumps(ledger)), id="pickle"),
    ],
)
def test_a_copy_keeps_the_same_books(ledger: Ledger, copied: Callable[[Ledger], Ledger]) -> None:
    """A copied or pickled ledger writes to the same file."""
    walk(ledger, "asked")
    twin = copied(ledger)
    twin.sent("c1").result(30)
    call = ledger.get("c1")
    assert call is not None
    assert call.state == "sent"
    assert repr(twin) == repr(ledger) == f"Ledger('{ledger.path}')"


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.sampled_from(sorted(STEPS)), max_size=12))
def test_any_order_of_steps_keeps_the_books_sane(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    """Whatever is called in whatever order: attempts, images and state agree."""
    ledger = Ledger(tmp_path_factory.mktemp("books") / "books.db")
    for step in steps:
        failure = STEPS[step](ledger).exception(30)
        assert failure is None or isinstance(failure, AccountError)
    for call in ledger.calls():
        has_image = bool(call.images)
        assert has_image == (call.state in ("answered", "saved"))
        assert (call.state == "saved") == (has_image and call.images[0].path is not None)
        assert call.state in ("asked", "refused") or call.attempts > 0
    ledger.close()
