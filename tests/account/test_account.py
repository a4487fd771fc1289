"""The order of a call's steps, and what the account says after each."""

import copy
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from account_steps import DIES, GATEWAY, LEASE, LINK, PRICE, call_of, entry, walk
from waiting import PATIENCE

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.store import Commit
from langchain_qwen_image.errors import AccountError, QwenImageError


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
        pytest.param("asked sent refused sent", "sent", 2, id="sent-after-refused"),
        pytest.param("asked sent unknown waiting", "asked", 1, id="late-waiting"),
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
    account: Account, steps: str, state: str, attempts: int, times: int
) -> None:
    """Every allowed way ends in its state, and booking what happened twice changes nothing."""
    for step in steps.split():
        walk(account, " ".join([step] * (1 if step == "sent" else times)))
    call = call_of(account)
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
        pytest.param("asked sent queued", "waiting", id="waiting-after-queued"),
        pytest.param("asked sent answered", "queued", id="queued-after-answered"),
        pytest.param("asked sent refused", "queued", id="queued-after-refused"),
        pytest.param("asked sent", "not_saved", id="not-saved-unanswered"),
        pytest.param("asked sent refused", "answered", id="answered-after-refused"),
        pytest.param("asked sent answered", "refused", id="refused-after-answered"),
        pytest.param("asked sent answered saved", "unknown", id="unknown-after-saved"),
    ],
)
def test_illegal_steps_fail_and_change_nothing(account: Account, steps: str, illegal: str) -> None:
    """A step out of order fails with an error that says why, and the books stay as they were."""
    walk(account, steps)
    before = account.get("c1")
    with pytest.raises(AccountError, match=r"cannot become|comes first"):
        walk(account, illegal)
    assert account.get("c1") == before


async def test_a_task_awaits_the_commit_that_a_thread_waits_for(account: Account) -> None:
    """A step is one commit for both worlds: `await` it or ask for its result."""
    await account.asked(entry())
    account.sent("c1", lease_seconds=LEASE).result(PATIENCE)
    with pytest.raises(AccountError, match="comes first"):
        await account.sent("nobody", lease_seconds=LEASE)
    call = call_of(account)
    assert call.state == "sent"


def test_a_call_comes_back_as_it_was_entered(account: Account) -> None:
    """Every fact of a call and its images comes back unchanged."""
    before = datetime.now(UTC) - timedelta(seconds=1)
    prompt = "红狐狸 🦊\n\x00'"
    account.asked(entry(prompt=prompt, cost_usd=Decimal("0.0450"), key="k", run="r")).result(
        PATIENCE
    )
    walk(account, "sent")
    images = [("c1-2", LINK, None), ("c1-image", "https://h/q.png", DIES)]
    account.answered("c1", request_id="r1", cost_usd=Decimal("0.09"), images=images).result(
        PATIENCE
    )
    call = call_of(account)
    assert (call.prompt, call.parameters) == (
        "红狐狸 🦊\n\x00'",
        {"size": "512*512", "watermark": True},
    )
    assert (call.model, call.base_url, call.operation) == ("qwen-image", GATEWAY, "generate")
    assert (call.run, call.key, call.fingerprint) == ("r", "k", entry(prompt=prompt).fingerprint)
    assert (call.request_id, call.cost_usd) == ("r1", Decimal("0.09"))
    assert [(image.id, image.url, image.expires_at) for image in call.images] == images
    assert before < call.created_at <= call.updated_at


def test_a_queued_call_says_where_to_ask(account: Account) -> None:
    """The newest polling address and the request's name come back, and no repr has the address."""
    walk(account, "asked sent queued")
    account.queued("c1", polling_path="/v2/status/2?x=%2F", request_id=None).result(PATIENCE)
    call = call_of(account)
    assert (call.polling_path, call.request_id) == ("/v2/status/2?x=%2F", "q1")
    assert "/v2/status" not in repr(call)


@pytest.mark.parametrize("step", ["refused", "unknown"])
def test_an_error_keeps_its_class_text_and_request(account: Account, step: str) -> None:
    """A call without an image says what happened to it."""
    walk(account, "asked sent")
    end = account.refused if step == "refused" else account.unknown
    end("c1", error="ServerError", message="it fell \ud800 over", request_id="r9").result(PATIENCE)
    call = call_of(account)
    assert (call.error, call.message, call.request_id) == (
        "ServerError",
        "it fell \\ud800 over",
        "r9",
    )


def test_a_call_is_saved_when_all_its_images_are(account: Account) -> None:
    """One saved image of two leaves the call answered and the other link whole."""
    walk(account, "asked sent")
    images = [("c1-image", LINK, None), ("c1-2", LINK, None)]
    account.answered("c1", request_id=None, cost_usd=PRICE, images=images)
    walk(account, "saved")
    call = call_of(account)
    assert (call.state, call.images[0].path, call.images[1].url) == ("answered", "a.png", LINK)
    account.saved("c1-2", path=Path("b.png"), sha256="cd", size_bytes=9).result(PATIENCE)
    call = call_of(account)
    assert call.state == "saved"


def test_saving_a_image_cuts_its_link(account: Account) -> None:
    """A saved image has its path and checksum, and its link no query."""
    walk(account, "asked sent answered not_saved")
    image = account.find_image("c1-image")
    assert image is not None
    assert (image.url, image.error) == (LINK, "disk full")
    walk(account, "saved")
    image = account.find_image("a.png")
    assert image is not None
    assert (image.id, image.call_id, image.url) == (
        "c1-image",
        "c1",
        "https://images.example/p.png",
    )
    assert (image.sha256, image.size_bytes, image.error) == ("ab", 7, None)


def test_a_image_inside_the_answer_is_not_stored(account: Account) -> None:
    """Of a `data:` link only that it was one is in the books."""
    walk(account, "asked sent")
    link = "DATA:image/png;base64," + "A" * 1000
    account.answered(
        "c1", request_id=None, cost_usd=PRICE, images=[("c1-image", link, None)]
    ).result(PATIENCE)
    image = account.find_image("c1-image")
    assert image is not None
    assert image.url == "data:"


def test_one_call_is_answered_once(account: Account) -> None:
    """A second answer with other images is an error: somebody paid twice."""
    walk(account, "asked sent answered")
    with pytest.raises(AccountError, match="other images"):
        account.answered("c1", request_id="r2", cost_usd=PRICE, images=[("i9", LINK, None)]).result(
            30
        )


def test_an_image_belongs_to_one_call(account: Account) -> None:
    """An image's id cannot be used by a second call, whose step is undone as a whole."""
    walk(account, "asked sent answered")
    walk(account, "asked sent", "c2")
    with pytest.raises(AccountError, match="could not be written"):
        account.answered(
            "c2", request_id="r2", cost_usd=PRICE, images=[("c1-image", LINK, None)]
        ).result(PATIENCE)
    call = account.get("c2")
    assert call is not None
    assert call.state == "sent"


def test_a_call_id_names_one_request(account: Account) -> None:
    """Asking under a used id for something else is an error."""
    walk(account, "asked")
    with pytest.raises(AccountError, match="another request"):
        account.asked(entry(prompt="a blue fox")).result(PATIENCE)


def test_a_failing_step_spares_its_neighbours(account: Account) -> None:
    """Of steps that share a transaction, only the illegal one fails."""
    commits: list[Commit[Any]] = [account.asked(entry(f"c{number}")) for number in range(20)]
    commits.insert(10, account.sent("nobody", lease_seconds=LEASE))
    failures = [commit.exception(30) for commit in commits]
    assert [position for position, failure in enumerate(failures) if failure] == [10]
    assert len(list(account.calls())) == 20


def test_a_commit_cannot_be_cancelled(account: Account) -> None:
    """A step that was handed over is written, even if its caller stops waiting."""
    commit = account.asked(entry())
    assert not commit.cancel()
    commit.result(PATIENCE)


def test_no_link_in_what_is_shown(account: Account) -> None:
    """Neither a repr nor an error has the secret of a link."""
    walk(account, "asked sent answered")
    call = call_of(account)
    assert "Signature" not in repr(call)
    failure = account.answered(
        "c9", request_id="r", cost_usd=PRICE, images=[("i9", LINK, None)]
    ).exception(30)
    assert isinstance(failure, QwenImageError)
    assert failure.__traceback__ is None
    assert "Signature" not in repr(failure)


@pytest.mark.parametrize(
    "copied",
    [
        pytest.param(copy.copy, id="copy"),
        pytest.param(copy.deepcopy, id="deepcopy"),
        pytest.param(lambda account: pickle.loads(pickle.dumps(account)), id="pickle"),
    ],
)
def test_a_copy_keeps_the_same_books(
    account: Account, copied: Callable[[Account], Account]
) -> None:
    """A copied or pickled account writes to the same file."""
    walk(account, "asked")
    twin = copied(account)
    walk(twin, "sent")
    call = call_of(account)
    assert call.state == "sent"
    assert repr(twin) == repr(account) == f"Account({account.location!r})"
