"""Transports of one connection each, that wait for their next call, and how one is made."""

import ssl
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypedDict, TypeVar

import httpx

from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.transport.deadline import (
    AsyncDeadlineBackend,
    DeadlineBackend,
    use_abackend,
    use_backend,
)
from langchain_qwen_image.transport.proxies import proxy_for
from langchain_qwen_image.transport.tls import no_tls_context, tls_context
from langchain_qwen_image.transport.urls import url_of

_Transport = TypeVar("_Transport", httpx.HTTPTransport, httpx.AsyncHTTPTransport)

IDLE_SECONDS = 4.0
"""How long an idle connection is trusted. The front end drops them at a time of its own, and a
POST on a dropped one looks like an answer that was lost."""


class Options(TypedDict):
    """Arguments of a transport of httpx's."""

    verify: ssl.SSLContext
    trust_env: bool
    proxy: str | None
    limits: httpx.Limits


def _options(url: str) -> Options:
    """Say how a transport for `url` is made, by the environment.

    Raises:
        ConfigurationError: A proxy or a certificate that the environment names cannot be used.
    """
    try:
        url_of(url)
        proxy = proxy_for(url)
        is_https = url.startswith("https:") or (proxy or "").startswith("https:")
        context = tls_context() if is_https else no_tls_context()
    except ValueError as problem:
        reason = str(problem)
    except httpx.InvalidURL:
        reason = "base_url (PIXAZO_BASE_URL) is not an address that can be used."
    else:
        limits = httpx.Limits(max_connections=1, keepalive_expiry=IDLE_SECONDS)
        return {"verify": context, "trust_env": False, "proxy": proxy, "limits": limits}
    raise ConfigurationError(f"{reason} Nothing was sent.")


class Idle(Generic[_Transport]):
    """Transports that carry no call; the last used is the first used again.

    It needs no lock: what it does to its deque is atomic, and an interrupt leaves nothing held.
    """

    def __init__(self, open_one: Callable[[Options], _Transport]) -> None:
        """Open transports where none is idle."""
        self._open_one: Callable[[Options], _Transport] = open_one
        self._options: Options | None = None
        self._waiting: deque[tuple[float, _Transport]] = deque()
        self._is_closed = False

    def take(self, url: str) -> _Transport:
        """Return a transport for one call; `url` says, the first time, which proxy is used.

        Raises:
            ConfigurationError: A proxy or a certificate that the environment names is unusable.
        """
        with suppress(IndexError):
            return self._waiting.pop()[1]
        if self._options is None:
            self._options = _options(url)
        return self._open_one(self._options)

    def give_back(self, transport: _Transport) -> list[_Transport]:
        """Take a transport whose call has ended well, and return those to be closed now."""
        now = time.monotonic()
        self._waiting.append((now, transport))  # before the flag is read: closing sees it, or this
        return self._drained(until=float("inf") if self._is_closed else now - IDLE_SECONDS)

    def close(self) -> list[_Transport]:
        """Keep no transport from now on, and return those to be closed now."""
        self._is_closed = True
        return self._drained(until=float("inf"))

    def _drained(self, until: float) -> list[_Transport]:
        drained = []
        with suppress(IndexError):  # another thread has taken the last
            while self._waiting[0][0] < until:
                drained.append(self._waiting.popleft()[1])
        return drained


def open_transport(options: Options) -> httpx.HTTPTransport:
    """Make a blocking transport, whose waits end with the current call."""
    return use_backend(httpx.HTTPTransport(**options), DeadlineBackend())


def aopen_transport(options: Options) -> httpx.AsyncHTTPTransport:
    """Async twin of `open_transport`."""
    return use_abackend(httpx.AsyncHTTPTransport(**options), AsyncDeadlineBackend())
