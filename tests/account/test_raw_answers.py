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
def account(tmp_path: Path) -> Account:
    """An account that is alone in its folder."""
    return Account(tmp_path / "images" / "books.db")


def ask(
    account: Account, call_id: str = "c1", key: str | None = None, replacing: str | None = None
) -> None:
    """Enter a call and note that it was sent."""
    base_url = "https://gateway.example"
    call = NewCall(call_id, "a fox", {}, "qwen-image", base_url, PRICE, key=key)
    account.asked(call, replacing=replacing).result(PATIENCE)
    account.sent(call_id, lease_seconds=300).result(PATIENCE)


def answer(account: Account, call_id: str = "c1") -> None:
    """Note one image."""
    images = [(f"{call_id}-image", "https://h/p.png?s=1", None)]
    account.answered(call_id, request_id="r", cost_usd=PRICE, images=images).result(PATIENCE)


def save(account: Account, call_id: str = "c1") -> None:
    """Note that the image is on disk."""
    account.saved(f"{call_id}-image", path="a.png", sha256="ab", size_bytes=7).result(PATIENCE)


def keep(account: Account, body: bytes, call_id: str = "c1") -> None:
    """Keep an answer."""
    account.raw_answer(call_id, body=body, content_type="application/json").result(PATIENCE)


def has(account: Account, call_id: str = "c1") -> bool:
    """Say what the call says of a raw answer."""
    call = account.get(call_id)
    assert call is not None
    return call.has_raw_answer


def bytes_beside(account: Account) -> bytes:
    """Return the bytes of all files of the account."""
    assert account.path is not None
    return b"".join(file.read_bytes() for file in sorted(account.path.parent.iterdir()))


def refuse(account: Account) -> None:
    """Find out that the call bought nothing."""
    account.refused("c1", error="ServerError", message="not charged").result(PATIENCE)


def mark_unknown(account: Account) -> None:
    """Give up waiting."""
    account.unknown("c1", error="MalformedResponseError", message="no image").result(PATIENCE)


def queue(account: Account) -> None:
    """Be told to come again."""
    account.queued("c1", polling_path="/v2/status/1", request_id="q").result(PATIENCE)


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
    account: Account, body: bytes, steps: list[Callable[[Account], None]]
) -> None:
    """It comes back byte for byte, in this process and after it is opened again."""
    ask(account)
    for step in steps:
        step(account)
    assert (has(account), account.read_raw_answer("c1")) == (False, None)
    keep(account, body)
    keep(account, body)
    account.close()
    assert (has(account), account.read_raw_answer("c1")) == (True, body)


@SIZES
def test_a_later_answer_takes_the_place_of_an_earlier(account: Account, body: bytes) -> None:
    """Of one call the last answer counts, whatever the size of the one before."""
    ask(account)
    for first in (SMALL, LARGE):
        keep(account, first)
        keep(account, body + b"!")
        assert account.read_raw_answer("c1") == body + b"!"


@SIZES
def test_a_raw_answer_is_its_owners_alone(account: Account, body: bytes) -> None:
    """Each file of the account has mode 0600, and no repr shows the answer."""
    ask(account)
    keep(account, body)
    assert account.path is not None
    modes = {stat.S_IMODE(file.stat().st_mode) for file in account.path.parent.iterdir()}
    assert modes == {0o600}
    assert "Signature" not in repr(account.get("c1"))


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
    account: Account, body: bytes, steps: list[Callable[[Account], None]], is_kept: bool
) -> None:
    """While an image may still be had, every byte is kept; afterwards none is in any file."""
    ask(account)
    keep(account, body)
    for step in steps:
        step(account)
    account.close()
    assert (b"c2VjcmV0LXNpZ25hdHVyZQ" in bytes_beside(account)) == is_kept
    assert account.path is not None
    files = len(list(account.path.parent.iterdir()))
    assert files == (2 if is_kept and body is LARGE else 1)
    assert has(account) == is_kept


@SIZES
def test_a_raw_answer_is_erased_when_another_call_is_paid_for(
    account: Account, body: bytes
) -> None:
    """A call is given up when the one in its place is answered, and not before."""
    ask(account, "c1", "key")
    keep(account, body)
    mark_unknown(account)
    ask(account, "c2", "key", replacing="c1")
    assert has(account)
    answer(account, "c2")
    account.close()
    assert b"c2VjcmV0LXNpZ25hdHVyZQ" not in bytes_beside(account)
    assert not has(account)


def test_no_raw_answer_without_a_paid_call(account: Account) -> None:
    """A call that bought nothing has none to keep, and a saved one needs none."""
    with pytest.raises(AccountError, match="comes first"):
        keep(account, SMALL)
    ask(account)
    refuse(account)
    with pytest.raises(AccountError, match="no answer to save"):
        keep(account, LARGE)
    ask(account, "c2")
    answer(account, "c2")
    save(account, "c2")
    keep(account, LARGE, "c2")
    assert not has(account, "c2")
    assert LARGE[:40] not in bytes_beside(account)
