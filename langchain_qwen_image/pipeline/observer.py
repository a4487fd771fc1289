"""What the sender tells of the attempts of a call, and to whom."""

from collections.abc import Callable
from typing import Protocol

from langchain_qwen_image.account.store import Transaction
from langchain_qwen_image.errors import QwenImageError
from langchain_qwen_image.transport.answer import RawAnswer
from langchain_qwen_image.transport.call import Lease
from langchain_qwen_image.wire.answer import QueuedAnswer

Check = Callable[[Transaction], None]


class Observer(Protocol):
    """Is told of the attempts of a call; raising keeps the next POST from leaving.

    Attributes:
        advice: What to do about a queued answer that does not come in time.
    """

    @property
    def advice(self) -> str:
        """What to do about a queued answer that does not come in time."""

    async def before_post(self, check: Check | None = None) -> Lease | None:
        """Do what must be done before each POST leaves; return the time that it has.

        Args:
            check: Is asked once more, in the transaction that takes the call's money.

        Raises:
            Exception: What `check` raises; nothing is taken then.
        """

    async def before_wait(self, error: QwenImageError, seconds: float) -> None:
        """Do what must be done when a POST bought nothing and is to be repeated."""

    async def queued(self, answer: QueuedAnswer) -> None:
        """Book where to ask for the answer, before it is asked for."""

    async def unread(self, answer: RawAnswer) -> None:
        """Keep an answer that may be paid for and in which no image was found for certain."""
