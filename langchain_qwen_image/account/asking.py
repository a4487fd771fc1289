"""Enter a call, unless its key has one: the first step, which takes neither key nor money."""

from langchain_qwen_image.account.keys import NewCall, encoded
from langchain_qwen_image.account.queries import read_one
from langchain_qwen_image.account.records import CallRecord, from_micros, storable
from langchain_qwen_image.account.store import Row, Transaction
from langchain_qwen_image.account.transitions import find_call
from langchain_qwen_image.errors import AccountError, IdempotencyError

__all__ = ["ask", "enter", "replace"]

_MAY_BE_REPLACED = ("answered", "saved", "unknown")


def ask(tx: Transaction, call: NewCall, replacing: str | None = None) -> CallRecord:
    """Enter a call, or return the one that its key has, in whatever state that is.

    Raises:
        IdempotencyError: The key was used for another request.
    """
    # What the key has may be replaced while it is waited for: the next look finds another call.
    for looks_first in (replacing is not None, False, False):
        entered = None if looks_first else enter(tx, call)
        if entered is not None:
            return entered
        found = _current(tx, call)
        if found is not None:
            _check_equal(found, call)
            if found["id"] != replacing or found["state"] not in _MAY_BE_REPLACED:
                return read_one(tx, found["id"])
            replace(tx, found["id"], call.id)
    raise AccountError(f"Call {call.id} is in the account already.")


def enter(tx: Transaction, call: NewCall) -> CallRecord | None:
    """Enter a call unless its key or id is there already, and return it."""
    prompt, fingerprint, now = storable(call.prompt), call.fingerprint, tx.now()
    written = tx.execute(
        "INSERT INTO calls (id, state, operation, prompt, parameters, model, base_url, run, key,"
        " fingerprint, cost_usd, cost_images, attempts, created_at, updated_at)"
        " VALUES (:id, 'asked', :operation, :prompt, :parameters, :model, :base_url, :run, :key,"
        " :fingerprint, :cost_usd, :cost_images, 0, :now, :now) ON CONFLICT DO NOTHING",
        {
            "id": call.id,
            "operation": call.operation,
            "prompt": prompt,
            "parameters": encoded(dict(call.parameters)),
            "model": call.model,
            "base_url": call.base_url,
            "run": call.run,
            "key": call.key,
            "fingerprint": fingerprint,
            "cost_usd": str(call.cost_usd),
            "cost_images": call.images,
            "now": now,
        },
    )
    if written != 1:
        return None
    return CallRecord(
        id=call.id,
        state="asked",
        prompt=prompt,
        parameters=dict(call.parameters),
        model=call.model,
        base_url=call.base_url,
        cost_usd=call.cost_usd,
        request_id=None,
        error=None,
        message=None,
        attempts=0,
        created_at=from_micros(now),
        updated_at=from_micros(now),
        operation=call.operation,
        run=call.run,
        key=call.key,
        fingerprint=fingerprint,
        cost_images=call.images,
        lease_seconds=None,
        lease_until=None,
        replaced_by=None,
        images=(),
        polling_path=None,
        has_raw_answer=False,
    )


def replace(tx: Transaction, call_id: str, by: str) -> None:
    """Let another call stand for the key of this one."""
    tx.execute("UPDATE calls SET replaced_by = :by WHERE id = :id", {"by": by, "id": call_id})


def _current(tx: Transaction, call: NewCall) -> Row | None:
    """Return the call that has the key, locked; without a key, the one of the id."""
    if call.key is None:
        return find_call(tx, call.id)
    return tx.lock(
        "SELECT id, state, fingerprint FROM calls WHERE base_url = :base_url AND run = :run"
        " AND key = :key AND replaced_by IS NULL",
        {"base_url": call.base_url, "run": call.run, "key": call.key},
    )


def _check_equal(found: Row, call: NewCall) -> None:
    if found["fingerprint"] == call.fingerprint:
        return
    if call.key is None:
        raise AccountError(f"Call {call.id} is in the account with another request.")
    raise IdempotencyError(
        f"The idempotency key {call.key!r} was used for another request before. Nothing was sent. "
        "Use the arguments of that request, or another key."
    )
