"""Answers in which no image was found: kept with their call, as secret as a link."""

import stat
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from waiting import PATIENCE

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.keys import NewCall
from langchain_qwen_image.errors import AccountError

PRICE = Decimal("0.045")
SECRET = b"https://images.example/p.png?Signature=c2VjcmV0LXNpZ25hdHVyZQ"
SMALL = b'{"odd": "' + SECRET + b'"}'
LARGE = SECRET * 2_000
SIZES = pytest.mark.parametrize(
    "body", [pytest.param(SMALL, id="small"), pytest.param(LARGE, id="large")]
)


@pytest.fixture
def ledger(tmp_path: Path) -> Account:
    """A ledger that is alone in its folder."""
    return Account(tmp_path / "images" / "books.db")


def ask(
    ledger: Account, call_id: str = "c1", key: str | None = None, replacing: str | None = None
) -> None:
    """Enter a call and note that it was sent."""
    base_url = "https://gateway.example"
    call = NewCall(call_id, "a fox", {}, "qwen-image", base_url, PRICE, key=key)
    ledger.asked(call, replacing=replacing).result(PATIENCE)
    ledger.sent(call_id, lease_seconds=300).result(PATIENCE)


def answer(ledger: Account, call_id: str = "c1") -> None:
    """Note one image."""
    images = [(f"{call_id}-image", "https://h/p.png?s=1", None)]
    ledger.answered(call_id, request_id="r", cost_usd=PRICE, images=images).result(PATIENCE)


def save(ledger: Account, call_id: str = "c1") -> None:
    """Note that the image is on disk."""
    ledger.saved(f"{call_id}-image", path="a.png", sha256="ab", size_bytes=7).result(PATIENCE)


def keep(ledger: Account, body: bytes, call_id: str = "c1") -> None:
    """Keep an answer."""
    ledger.raw_answer(call_id, body=body, content_type="application/json").result(PATIENCE)


def has(ledger: Account, call_id: str = "c1") -> bool:
    """Say what the call says of a raw answer."""
    call = ledger.get(call_id)
    assert call is not None
    return call.has_raw_answer


def bytes_beside(ledger: Account) -> bytes:
    """Return the bytes of all files of the ledger."""
    assert ledger.path is not None
    return b"".join(file.read_bytes() for file in sorted(ledger.path.parent.iterdir()))


def refuse(ledger: Account) -> None:
    """Find out that the call bought nothing."""
    ledger.refused("c1", error="ServerError", message="not charged").result(PATIENCE)


def mark_unknown(ledger: Account) -> None:
    """Give up waiting."""
    ledger.unknown("c1", error="MalformedResponseError", message="no image").result(PATIENCE)


def queue(ledger: Account) -> None:
    """Be told to come again."""
    ledger.queued("c1", polling_path="/v2/status/1", request_id="q").result(PATIENCE)


@SIZES
@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([], id="sent"),
        pytest.param([queue], id="queued"),
        pytest.param([mark_unknown], id="unknown"),
        pytest.param([answer], id="answered"),
    ],
)
def test_a_raw_answer_is_kept_with_a_call_that_may_be_paid_for(
    ledger: Account, body: bytes, steps: list[Callable[[Account], None]]
) -> None:
    """It comes back byte for byte, in this process and after it is opened again."""
    ask(ledger)
    for step in steps:
        step(ledger)
    assert (has(ledger), ledger.read_raw_answer("c1")) == (False, None)
    keep(ledger, body)
    keep(ledger, body)
    ledger.close()
    assert (has(ledger), ledger.read_raw_answer("c1")) == (True, body)


@SIZES
def test_a_later_answer_takes_the_place_of_an_earlier(ledger: Account, body: bytes) -> None:
    """Of one call the last answer counts, whatever the size of the one before."""
    ask(ledger)
    for first in (SMALL, LARGE):
        keep(ledger, first)
        keep(ledger, body + b"!")
        assert ledger.read_raw_answer("c1") == body + b"!"


@SIZES
def test_a_raw_answer_is_its_owners_alone(ledger: Account, body: bytes) -> None:
    """Each file of the ledger has mode 0600, and no repr shows the answer."""
    ask(ledger)
    keep(ledger, body)
    assert ledger.path is not None
    modes = {stat.S_IMODE(file.stat().st_mode) for file in ledger.path.parent.iterdir()}
    assert modes == {0o600}
    assert "Signature" not in repr(ledger.get("c1"))


@SIZES
@pytest.mark.parametrize(
    ("steps", "is_kept"),
    [
        pytest.param([answer], True, id="answered"),
        pytest.param([answer, save], False, id="saved"),
        pytest.param([refuse], False, id="refused"),
        pytest.param([mark_unknown], True, id="unknown"),
        pytest.param([mark_unknown, refuse], False, id="refused-late"),
    ],
)
def test_a_raw_answer_is_erased_when_its_call_is_settled(
    ledger: Account, body: bytes, steps: list[Callable[[Account], None]], is_kept: bool
) -> None:
    """While an image may still be had, every byte is kept; afterwards none is in any file."""
    ask(ledger)
    keep(ledger, body)
    for step in steps:
        step(ledger)
    ledger.close()
    assert (b"c2VjcmV0LXNpZ25hdHVyZQ" in bytes_beside(ledger)) == is_kept
    assert ledger.path is not None
    files = len(list(ledger.path.parent.iterdir()))
    assert files == (2 if is_kept and body is LARGE else 1)
    assert has(ledger) == is_kept


@SIZES
def test_a_raw_answer_is_erased_when_another_call_is_paid_for(ledger: Account, body: bytes) -> None:
    """A call is given up when the one in its place is answered, and not before."""
    ask(ledger, "c1", "key")
    keep(ledger, body)
    mark_unknown(ledger)
    ask(ledger, "c2", "key", replacing="c1")
    assert has(ledger)
    answer(ledger, "c2")
    ledger.close()
    assert b"c2VjcmV0LXNpZ25hdHVyZQ" not in bytes_beside(ledger)
    assert not has(ledger)


def test_no_raw_answer_without_a_paid_call(ledger: Account) -> None:
    """A call that bought nothing has none to keep, and a saved one needs none."""
    with pytest.raises(AccountError, match="comes first"):
        keep(ledger, SMALL)
    ask(ledger)
    refuse(ledger)
    with pytest.raises(AccountError, match="no answer to save"):
        keep(ledger, LARGE)
    ask(ledger, "c2")
    answer(ledger, "c2")
    save(ledger, "c2")
    keep(ledger, LARGE, "c2")
    assert not has(ledger, "c2")
    assert LARGE[:40] not in bytes_beside(ledger)
