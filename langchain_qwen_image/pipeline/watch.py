"""Books each step of a call first, then tells of it."""

from dataclasses import dataclass
from functools import partial

from langchain_qwen_image.account.leases import Lease
from langchain_qwen_image.concurrency.runtime import Runtime
from langchain_qwen_image.errors import QwenImageError
from langchain_qwen_image.pipeline.observer import Check
from langchain_qwen_image.pipeline.progress import Progress
from langchain_qwen_image.pipeline.recorder import Recorder
from langchain_qwen_image.transport.answer import RawAnswer
from langchain_qwen_image.wire.answer import QueuedAnswer


@dataclass(slots=True)
class Watch:
    """Observes the attempts of one call, for its books and for those who listen."""

    recorder: Recorder
    progress: Progress

    @property
    def advice(self) -> str:
        """What to do about a queued answer that does not come in time."""
        if self.recorder.has_account:
            return "`qwen-image recover` asks for it again, free of charge."
        return "It cannot be recovered, because there is no account; set save_to=… or account=…."

    async def queued(self, answer: QueuedAnswer) -> None:
        """Book where to ask for the answer, then tell of it."""
        await self.recorder.queued(answer)
        await self.progress.tell("queued")

    async def unread(self, answer: RawAnswer) -> None:
        """Keep an answer in which no image was found for certain."""
        await self.recorder.unread(answer)

    async def before_post(self, check: Check | None = None) -> Lease | None:
        """Wait for the rate limiter and book the POST, then tell that it leaves."""
        lease = await self.recorder.sent(check)
        await self.progress.tell("sent")
        return lease

    async def failed(self, runtime: Runtime, error: BaseException, *, billed: bool) -> None:
        """Book that a call has failed, whatever is cancelled; nothing is told of it any more."""
        await runtime.to_the_end(partial(_failed, self.recorder, error, billed))
        await self.progress.rest()

    async def before_wait(self, error: QwenImageError, seconds: float) -> None:
        """Book that a POST was not billed, then tell that it is repeated."""
        await self.recorder.refused(error)
        await self.progress.tell(
            "retrying", error=type(error).__name__, wait_seconds=round(seconds, 1)
        )


async def _failed(recorder: Recorder, error: BaseException, billed: bool, world: Runtime) -> None:
    await recorder.in_world(world).failed(error, billed=billed)
