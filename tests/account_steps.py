"""Steps of an account with usual values, for the tests of all that uses one."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from waiting import PATIENCE

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.keys import NewCall
from langchain_qwen_image.account.records import CallRecord
from langchain_qwen_image.account.store import Commit

PRICE = Decimal("0.045")
GATEWAY = "https://gateway.example"
LINK = "https://images.example/p.png?Expires=1&Signature=c2VjcmV0"
DIES = datetime(2026, 11, 24, 9, 13, 7, 123456, tzinfo=UTC)
LEASE = 300.0
USUAL = NewCall(
    "c1", "a red fox", {"size": "512*512", "watermark": True}, "qwen-image", GATEWAY, PRICE
)


def entry(call_id: str = "c1", **changes: Any) -> NewCall:
    """Return a call with usual values."""
    return replace(USUAL, id=call_id, **changes)


STEPS: Mapping[str, Callable[[Account, str], Commit[Any]]] = {
    "asked": lambda account, call_id: account.asked(entry(call_id)),
    "sent": lambda account, call_id: account.sent(call_id, lease_seconds=LEASE),
    "waiting": lambda account, call_id: account.waiting(call_id, "RateLimitError"),
    "queued": lambda account, call_id: account.queued(
        call_id, polling_path="/v2/status/1", request_id="q1"
    ),
    "answered": lambda account, call_id: account.answered(
        call_id, request_id="r1", cost_usd=PRICE, images=[(f"{call_id}-image", LINK, DIES)]
    ),
    "saved": lambda account, call_id: account.saved(
        f"{call_id}-image", path="a.png", sha256="ab", size_bytes=7
    ),
    "not_saved": lambda account, call_id: account.not_saved(f"{call_id}-image", "disk full"),
    "refused": lambda account, call_id: account.refused(call_id, error="ServerError", message="no"),
    "unknown": lambda account, call_id: account.unknown(
        call_id, error="RequestTimeoutError", message="?"
    ),
}


def walk(account: Account, steps: str, call_id: str = "c1") -> None:
    """Take the steps named, each on the disk before the next."""
    for step in steps.split():
        STEPS[step](account, call_id).result(PATIENCE)


def call_of(account: Account, call_id: str = "c1") -> CallRecord:
    """Return a call that is there."""
    call = account.get(call_id)
    assert call is not None
    return call
