"""Signatures that are made once: LangChain asks for that of a method at every call."""

from collections.abc import Callable
from inspect import signature
from typing import Any, TypeVar

__all__ = ["with_signature"]

_Method = TypeVar("_Method", bound=Callable[..., Any])


def with_signature(method: _Method) -> _Method:
    """Let a method carry its signature, where `inspect` looks first."""
    method.__signature__ = signature(method)  # type: ignore[attr-defined]
    return method
