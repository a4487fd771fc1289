"""What the sender tells of the attempts of a call, and to whom."""

from typing import Protocol

from langchain_qwen_image.errors import QwenImageError
from langchain_qwen_image.transport.answer import RawAnswer
from langchain_qwen_image.transport.call import Lease
from langchain_qwen_image.wire.answer import QueuedAnswer


class Observer(Protocol):
    """Is told of the attempts of a call; raising keeps the next POST from leaving.

    Attributes:
        advice: What to do about a queued answer that does not come in time.
    """

    @property
    def advice(self) -> str:
        """What to do about a queued answer that does not come in time."""

    async def before_post(self) -> Lease | None:
        """Do what must be done before each POST leaves; return the time that it has."""

    async def before_wait(self, error: QwenImageError, seconds: float) -> None:
        """Do what must be done when a POST bought nothing and is to be repeated."""

    async def queued(self, answer: QueuedAnswer) -> None:
        """Book where to ask for the answer, before it is asked for."""

    async def unread(self, answer: RawAnswer) -> None:
        """Keep an answer that may be paid for and in which no image was found for certain."""
