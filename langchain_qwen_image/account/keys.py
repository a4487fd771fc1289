"""A call to be entered, and what stands for it: its key and its fingerprint."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from langchain_qwen_image.account.records import storable
from langchain_qwen_image.errors import InvalidRequestError

__all__ = ["NewCall", "check_key", "encoded", "fingerprint"]

_MAX_KEY = 255
_RECORD_VERSION = 1
encoded = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
"""Writes JSON, equal values in equal words."""


@dataclass(frozen=True, slots=True)
class NewCall:
    """One request that is about to be made.

    Attributes:
        id: A new name of the call.
        prompt: What is asked for.
        parameters: The request's parameters as sent, JSON values.
        model: The model asked.
        base_url: The gateway asked.
        cost_usd: What it will cost at most, in US dollars.
        key: Its idempotency key; None for a call that is nobody's repeat.
        run: The bulk run that the key belongs to; empty for none.
        operation: What is asked of the model.
        images: How many images it is for.
        inputs: SHA-256 of each input that is no text, hexadecimal.
    """

    id: str
    prompt: str
    parameters: Mapping[str, Any]
    model: str
    base_url: str
    cost_usd: Decimal
    key: str | None = None
    run: str = ""
    operation: str = "generate"
    images: int = 1
    inputs: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """What a second call of the same key must be equal in."""
        return fingerprint(self.operation, self.model, self.prompt, self.parameters, self.inputs)


def fingerprint(
    operation: str,
    model: str,
    prompt: str,
    parameters: Mapping[str, Any],
    inputs: Sequence[str] = (),
) -> str:
    """Return the SHA-256 of what was asked, hexadecimal, by a record that names its version."""
    record = {
        "version": _RECORD_VERSION,
        "operation": operation,
        "model": model,
        "prompt": storable(prompt),  # as it comes back out of the tables
        "parameters": dict(parameters),
        "inputs": list(inputs),
    }
    return hashlib.sha256(encoded(record).encode()).hexdigest()


def check_key(key: str) -> str:
    """Return an idempotency key that can be used.

    Raises:
        InvalidRequestError: It is no text of 1 to 255 characters; nothing was sent.
    """
    if not isinstance(key, str) or not 1 <= len(key) <= _MAX_KEY:
        what = f"{len(key)} characters" if isinstance(key, str) else type(key).__name__
        raise InvalidRequestError(
            f"An idempotency key is a text of 1 to {_MAX_KEY} characters, not {what}. Nothing was "
            "sent."
        )
    if "\0" in key or key != storable(key):  # two keys could be stored as one
        raise InvalidRequestError(
            "An idempotency key must be Unicode text without NUL or lone surrogates. Nothing was "
            "sent."
        )
    return key
