"""The account as the pipeline of one folder uses it so far: an item of a run is asked once."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from langchain_qwen_image.account import asking
from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.budget import Budget
from langchain_qwen_image.account.keys import NewCall
from langchain_qwen_image.account.leases import Lease
from langchain_qwen_image.account.limits import Limits
from langchain_qwen_image.account.records import LedgerCall, LedgerImage, State
from langchain_qwen_image.account.spend import SpendDay, spend_by_day
from langchain_qwen_image.account.store import Commit, Transaction
from langchain_qwen_image.account.transitions import find_call
from langchain_qwen_image.errors import AccountError

__all__ = [
    "AlreadyAskedError",
    "Commit",
    "Ledger",
    "LedgerCall",
    "LedgerImage",
    "SpendDay",
    "State",
    "spend_by_day",
]

_LEASE_SECONDS = 600.0


class AlreadyAskedError(AccountError):
    """An item of a batch has a call that was paid for, or may have been.

    Attributes:
        call_id: The call that the item has.
        state: How far that call has come.
    """

    def __init__(self, message: str, *, call_id: str, state: State) -> None:
        """Note the call that is in the way."""
        super().__init__(message)
        self.call_id = call_id
        self.state = state


class Ledger(Account):
    """An account in a file, with the steps that a pipeline without keys takes."""

    def __reduce__(self) -> tuple[type["Ledger"], tuple[Path]]:
        return (Ledger, (self.path,))

    @property
    def path(self) -> Path:
        """The file."""
        path = super().path
        assert path is not None  # noqa: S101 - for the type checker
        return path

    def limits_of(self, budget: Budget | None) -> tuple[Limits, ...]:
        """Return the limits of a budget that counts in this account."""
        if budget is None or budget.account is None or budget.account.path != self.path:
            return ()
        return (budget.limits,)

    def asked(  # type: ignore[override]
        self,
        call_id: str,
        *,
        prompt: str,
        parameters: Mapping[str, Any],
        model: str,
        base_url: str,
        cost_usd: Decimal,
        batch: str | None = None,
        batch_item: str | None = None,
        pay_again: bool = False,
    ) -> Commit[None]:
        """Enter a call that is about to be made.

        Args:
            call_id: A new name of the call.
            prompt: What is asked for.
            parameters: The request's parameters, JSON values.
            model: The model asked.
            base_url: The gateway asked.
            cost_usd: What it will cost at most, in US dollars.
            batch: The bulk run that it belongs to.
            batch_item: Its place in that run, asked once: an earlier call of the same item is
                replaced if it was never sent or was refused.
            pay_again: Replace also one that was sent, has no known answer, or was answered and
                is not saved. One that is saved is never replaced.

        Returns:
            Its commit, which fails with `AlreadyAskedError` if the earlier call is not replaced.
        """
        call = NewCall(
            call_id,
            prompt,
            parameters,
            model,
            base_url,
            cost_usd,
            key=batch_item,
            run=batch or "",
        )
        return self._store.submit(lambda tx: _ask(tx, call, pay_again))

    def sent(  # type: ignore[override]
        self, call_id: str, *, limits: Iterable[Limits] = ()
    ) -> Commit[Lease]:
        """Note that a POST is about to leave; wait for the commit before sending it."""
        return super().sent(call_id, lease_seconds=_LEASE_SECONDS, limits=limits)


def _ask(tx: Transaction, call: NewCall, pay_again: bool) -> None:
    earlier = find_call(tx, call.id)
    if earlier is not None:
        if (earlier["fingerprint"], earlier["key"]) != (call.fingerprint, call.key):
            raise AccountError(f"Call {call.id} is in the account with another request.")
        return
    if call.key is not None:
        _replace(tx, call, pay_again)
    asking.enter(tx, call)


def _replace(tx: Transaction, call: NewCall, pay_again: bool) -> None:
    earlier = tx.lock(
        "SELECT id, state FROM calls WHERE run = :run AND run <> '' AND key = :key"
        " AND replaced_by IS NULL",
        {"run": call.run, "key": call.key},
    )
    if earlier is None:
        return
    state = earlier["state"]
    may_follow = state in ("asked", "refused") or (pay_again and state not in ("queued", "saved"))
    if not may_follow:
        raise AlreadyAskedError(
            f"Item {call.key} of batch {call.run} is {state} by call {earlier['id']}; "
            "it is not paid for again.",
            call_id=earlier["id"],
            state=state,
        )
    asking.replace(tx, earlier["id"], call.id)
