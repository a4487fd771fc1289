"""Copies and pickles of settings: never with the key, and never with a second limit."""

import copy
from collections.abc import Mapping
from typing import Any, Self

from langchain_core.rate_limiters import InMemoryRateLimiter
from pydantic import BaseModel

_NOT_COPIED = frozenset({"api_key", "http_client", "http_async_client"})
_SHARED = ("rate_limiter", "pace", "save_to", "public_url", "account")


class CopiedSettings(BaseModel):
    """Settings that may be copied and pickled, as LangChain does with runnables and tools."""

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy with some settings changed, and validate them."""
        source = copy.deepcopy(self)._given() if deep else self._shared_settings()
        return type(self)(**source | dict(update or {}))

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Copy without key and connections: the copy reads the environment.

        Limiter, pace, store and account are shared, as a budget is: a second one would be another
        limit.
        """
        shared = {id(one): one for one in map(self.__dict__.get, _SHARED)}
        return type(self)(**copy.deepcopy(self._copied_settings(), (memo or {}) | shared))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without key and connections: the copy reads the environment.

        Raises:
            TypeError: There is a rate limiter in memory, or something else that cannot be pickled.
        """
        if isinstance(self.__dict__["rate_limiter"], InMemoryRateLimiter):
            raise TypeError(
                "A rate limiter in memory cannot be pickled: the copy's would be a second one, and "
                "together they would send faster. Pickle without rate_limiter, and give the copy "
                "its own."
            )
        return _rebuild, (type(self), self._copied_settings())

    def _shared_settings(self) -> dict[str, Any]:
        """Return what is set, with the key; the sandbox of the environment takes none."""
        is_environments = self.__dict__["sandbox"] and "sandbox" not in self.model_fields_set
        return self._given() | ({} if is_environments else {"api_key": self.__dict__["api_key"]})

    def _given(self) -> dict[str, Any]:
        given = ((name, self.__dict__[name]) for name in self.model_fields_set)
        return {name: one for name, one in given if (name, one) != ("name", None)}

    def _copied_settings(self) -> dict[str, Any]:
        return {name: one for name, one in self._given().items() if name not in _NOT_COPIED}


def _rebuild(kind: type[CopiedSettings], settings: dict[str, Any]) -> CopiedSettings:
    return kind(**settings)
