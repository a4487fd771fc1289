"""What one run of this process has paid, also for what it did not live to see the end of."""

from dataclasses import replace
from decimal import Decimal

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.records import CallRecord
from langchain_qwen_image.account.run_spend import RunSpend
from langchain_qwen_image.bulk.lookup import PriorState
from langchain_qwen_image.pipeline.cancellation import CallState


class Purchase:
    """One request that is being paid for.

    Attributes:
        call_state: Of its last attempt; None before the first.
    """

    __slots__ = ("call_state",)

    def __init__(self) -> None:
        """Begin with nothing sent."""
        self.call_state: CallState | None = None


class Money:
    """Adds up what was paid; other processes may pay for other requests of the same run."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._spent = RunSpend()
        self._open: set[Purchase] = set()

    def begin(self) -> Purchase:
        """Note that a request is about to be paid for."""
        purchase = Purchase()
        self._open.add(purchase)
        return purchase

    def end(self, purchase: Purchase, came_to: PriorState | None) -> None:
        """Note its outcome; None if nothing was sent."""
        self._open.discard(purchase)
        if came_to is None or (came_to.result is not None and came_to.result.replayed):
            return
        spent, usd = self._spent, Decimal(str(came_to.cost_usd))
        if came_to.status in ("saved", "unsaved"):
            spent.images += len(came_to.result.images) if came_to.result is not None else 1
            spent.usd += usd
            spent.saved += came_to.status == "saved"
        elif came_to.status == "unknown" and usd:
            spent.unknown += 1
            spent.usd_unknown += usd

    def total(self, account: Account | None) -> RunSpend:
        """Return what was paid; the account knows what became of calls that were left.

        Raises:
            AccountError: It cannot be read.
        """
        total = replace(self._spent)
        for purchase in tuple(self._open):
            state = purchase.call_state
            if account is None or state is None or state.call_id is None or not state.has_sent:
                continue
            call = account.get(state.call_id)
            if call is not None:
                _add(total, call)
        return total


def _add(total: RunSpend, call: CallRecord) -> None:
    if call.state in ("answered", "saved"):
        total.images += len(call.images)
        total.usd += call.cost_usd
        total.saved += call.state == "saved"
    elif call.state in ("sent", "queued", "unknown"):
        total.unknown += 1
        total.usd_unknown += call.cost_usd
