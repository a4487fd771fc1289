"""One key, one payment: what a call does, by how things stand with its key in the account."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from uuid import uuid4

from langchain_qwen_image.account.keys import NewCall
from langchain_qwen_image.account.leases import CallTakenError
from langchain_qwen_image.account.records import CallRecord
from langchain_qwen_image.concurrency.runtime import Runtime
from langchain_qwen_image.errors import ConfigurationError, ResultUnknownError
from langchain_qwen_image.pipeline.books import Books
from langchain_qwen_image.pipeline.cancellation import CallState
from langchain_qwen_image.pipeline.elsewhere import Elsewhere
from langchain_qwen_image.pipeline.order import NO_KEY, CallKey, Order
from langchain_qwen_image.pipeline.progress import Progress
from langchain_qwen_image.pipeline.recorder import Recorder
from langchain_qwen_image.pipeline.replay import Replay, replay
from langchain_qwen_image.pipeline.standing import Action, next_action
from langchain_qwen_image.pipeline.steps import Steps
from langchain_qwen_image.result import ImageGenerationResult
from langchain_qwen_image.schemas import QwenImageInput
from langchain_qwen_image.wire.request import WireRequest, build_request

_NO_ACCOUNT = (
    "An idempotency key, and a run, need an account: without one they would be forgotten with this "
    "process. Set account=… (a file or a postgresql:// address), or save_to=… to a folder. Nothing "
    "was sent."
)


@dataclass(frozen=True, slots=True)
class KeyedSteps(Steps):
    """The steps of a call from its key to its end."""

    async def _generate(
        self, runtime: Runtime, arguments: QwenImageInput, call_state: CallState, order: Order
    ) -> ImageGenerationResult:
        """Take the call of a key to its end, from wherever it stands; without one, make it."""
        wire = await self._prepared(runtime, arguments)
        books = await self._ready(runtime, order.key)
        send = partial(self._send, runtime, books, wire, arguments, call_state, order)
        account = self.account
        if account is None:
            return await send(uuid4().hex, 0)
        new = self._new_call(wire, arguments, order.key)
        outcome: CallRecord | ImageGenerationResult = await books.entered(account, new)

        async def replaced(call: CallRecord) -> CallRecord:
            again = replace(new, id=uuid4().hex)
            return await books.entered(account, again, replacing=call.id)

        patience = self.sender.timeout if order.patience is None else order.patience
        elsewhere = Elsewhere(runtime, account, patience)
        while isinstance(outcome, CallRecord):
            match next_action(outcome.state, retry_unknown=order.key.retry_unknown):
                case Action.SEND:
                    outcome = await _sent(send, outcome)
                case Action.WAIT:
                    outcome = await elsewhere.outcome_of(outcome)
                case Action.RESUME:
                    outcome = await self._resume(runtime, outcome, order.item_id, is_paid=True)
                case Action.HAND_OUT:
                    found = await self._replay(runtime, outcome, call_state, order)
                    is_again = found.lost is not None and order.key.retry_lost
                    outcome = await replaced(outcome) if is_again else found.handed_out()
                case Action.REPLACE:
                    outcome = await replaced(outcome)
                case Action.REFUSE:
                    raise _result_unknown(outcome)
        return outcome

    def fingerprint_of(self, arguments: QwenImageInput) -> str:
        """Return what another call of the same key must be equal in; nothing is sent."""
        wire = build_request(self.sender.base_url, "", arguments)
        return self._new_call(wire, arguments, NO_KEY).fingerprint

    async def _prepared(self, runtime: Runtime, arguments: QwenImageInput) -> WireRequest:
        """Return the request, with the key."""
        if not self.sender.sandbox and self.sender.key.may_be_in_file:
            await runtime.beside(self.sender.key.read_file)
        return self.sender.prepare(arguments)

    async def _ready(self, runtime: Runtime, key: CallKey) -> Books:
        """Return the books of a call, when what can be known before it is entered allows it."""
        if self.account is None and (key.key is not None or key.run):
            raise ConfigurationError(_NO_ACCOUNT)
        if self.is_due:
            await runtime.beside(self.make_ready)
        books = self._books(runtime)
        if key.key is None:  # with one it may have been bought before
            await books.check_budget(self.sender.base_url)
        return books

    async def _replay(
        self, runtime: Runtime, call: CallRecord, call_state: CallState, order: Order
    ) -> Replay:
        """Bring back what an earlier call bought, and book what is found or fetched now."""
        found = await runtime.beside(replay, self.saver, call, item_id=order.item_id)
        recorder = Recorder(self._books(runtime), call.id)
        for image in found.settled:
            await recorder.saved(image)
        if found.lost is None:
            progress = Progress(runtime, call.id, call_state)
            await progress.tell("received", cost_usd=0.0, replayed=True)
        return found

    def _new_call(self, wire: WireRequest, arguments: QwenImageInput, key: CallKey) -> NewCall:
        return NewCall(
            id=uuid4().hex,
            operation=wire.operation,
            model=wire.model,
            prompt=arguments.prompt,
            parameters=arguments.parameters().model_dump(),
            base_url=self.sender.base_url,
            cost_usd=Decimal(str(self.sender.price_usd)),
            run=key.run,
            key=key.key,
        )


def _result_unknown(call: CallRecord) -> ResultUnknownError:
    return ResultUnknownError(
        f"An earlier request of the idempotency key {call.key!r} has no known answer, and may have "
        "been billed. Nothing was sent now. To send it again, and perhaps pay twice, pass "
        "retry_unknown=True.",
        request_id=call.request_id,
    )


async def _sent(
    send: Callable[[str, int], Awaitable[ImageGenerationResult]], call: CallRecord
) -> ImageGenerationResult | CallRecord:
    """Send a call, or return the one that another caller has sent meanwhile."""
    try:
        return await send(call.id, call.attempts)
    except CallTakenError as taken:
        return taken.call
