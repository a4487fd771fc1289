"""What is done with a call, by how things stand with its key in the account: the one decision."""

from datetime import UTC, datetime
from enum import Enum

from langchain_qwen_image.account.records import CallRecord, State


class Action(Enum):
    """What a caller does next about the call of its key."""

    SEND = "nothing was bought: it is sent, by the one who comes first"
    WAIT = "a POST of it is out: wait for what comes of it"
    RESUME = "the gateway has it queued: go on asking, free of charge"
    HAND_OUT = "it is bought: hand that out"
    REFUSE = "its answer was lost: raise ResultUnknownError"
    REPLACE = "its answer was lost, and the caller wants it paid for again"


_ACTIONS: dict[State, Action] = {
    "asked": Action.SEND,
    "refused": Action.SEND,
    "sent": Action.WAIT,
    "queued": Action.RESUME,
    "answered": Action.HAND_OUT,
    "saved": Action.HAND_OUT,
    "unknown": Action.REFUSE,
}


def next_action(state: State, *, retry_unknown: bool) -> Action:
    """Say what to do about a call that stands there.

    Args:
        state: How far the call has come.
        retry_unknown: Whether the caller takes it that a lost answer is paid for twice.
    """
    action = _ACTIONS[state]
    return Action.REPLACE if action is Action.REFUSE and retry_unknown else action


def lease_left(call: CallRecord, now: datetime | None = None) -> float:
    """Return the seconds, by this machine's clock, in which the POST of a call may be answered.

    The account's clock decides; this one only says when to ask it again.
    """
    if call.lease_until is None or call.lease_seconds is None:
        return 0.0
    left = (call.lease_until - (now or datetime.now(UTC))).total_seconds()
    return min(max(left, 0.0), call.lease_seconds)
