"""What a caller orders beside the arguments: by what key, and what may be paid for once more."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from langchain_qwen_image.account.keys import check_key
from langchain_qwen_image.account.pace_state import Turn

_OPTIONS = ("idempotency_key", "run", "retry_unknown", "retry_lost")


@dataclass(frozen=True, slots=True)
class CallKey:
    """The idempotency key of a call: in one account it is paid for once.

    Attributes:
        key: 1 to 255 characters; None for a call that is only entered under a run's name.
        run: A label of the call, and the name space of its key.
        retry_unknown: Pay again where the answer of an earlier POST was lost.
        retry_lost: Pay again where an image was paid for and cannot be had any more.

    Raises:
        InvalidRequestError: The key cannot be one.
    """

    key: str | None
    run: str = ""
    retry_unknown: bool = False
    retry_lost: bool = False

    def __post_init__(self) -> None:
        """Check the key."""
        if self.key is not None:
            check_key(self.key)

    @classmethod
    def taken_from(cls, options: dict[str, Any], defaults: Mapping[str, Any]) -> Self:
        """Take the key, and what goes with it, out of the options of a call."""
        key, run, retry_unknown, retry_lost = (
            options.pop(name, defaults.get(name)) for name in _OPTIONS
        )
        return cls(key, run or "", bool(retry_unknown), bool(retry_lost))


NO_KEY = CallKey(None)


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted of one call.

    Attributes:
        key: By what it is known in its account.
        item_id: The caller's own id of the request, for file names and sidecars.
        max_retries: Extra attempts; None for those of the settings.
        turn: Its turn in the pace, if the caller waited for it, as a bulk run does.
        inline: Save also an image that came inside the answer and has no store.
        patience: Seconds to wait for an equal call of another caller; None for the timeout.
    """

    key: CallKey = NO_KEY
    item_id: str | None = None
    max_retries: int | None = None
    turn: Turn | None = None
    inline: bool = False
    patience: float | None = None
