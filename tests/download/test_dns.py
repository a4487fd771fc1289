"""Looking a name up takes its time, and no more."""

import io
import socket
import threading
import time
from typing import Any

import httpcore
import pytest
from image_host import failure

from langchain_qwen_image.download.dns import lookup
from langchain_qwen_image.download.fetcher import Fetcher
from langchain_qwen_image.transport.call import Call, current_call


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let no name resolve before the test ends."""
    end = threading.Event()

    def getaddrinfo(*_: object, **__: object) -> Any:
        end.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield end
    end.set()


@pytest.mark.usefixtures("silent")
def test_a_resolver_that_does_not_answer_is_left() -> None:
    """A lookup ends with its own time."""
    with pytest.raises(httpcore.ConnectError, match="in time"):
        lookup("images.example", 443, 0.05)


@pytest.mark.usefixtures("silent")
def test_a_lookup_ends_with_the_fetch() -> None:
    """A lookup without a time of its own ends with the deadline of the call it serves."""
    token = current_call.set(Call(time.monotonic() + 0.05))
    try:
        with pytest.raises(httpcore.ConnectError, match="in time"):
            lookup("images.example", 443)
    finally:
        current_call.reset(token)


@pytest.mark.usefixtures("silent")
def test_a_fetch_does_not_outlast_its_timeout_over_a_name() -> None:
    """The deadline of a whole fetch holds while a name is looked up."""
    error = failure(Fetcher(timeout=0.1), "https://images.example/a.png", io.BytesIO())
    assert "does not resolve" in str(error)


def test_a_lookup_needs_no_thread_while_the_interpreter_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where no thread can be started any more, the name is looked up all the same."""

    class Ended(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr("langchain_qwen_image.download.dns.Thread", Ended)
    assert lookup("127.0.0.1", 443, 1.0) == ["127.0.0.1"]


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "a..example", "im\x00ages.example"])
def test_what_is_no_name_does_not_resolve(host: str) -> None:
    """A host that no name can be is told like a name that does not resolve."""
    with pytest.raises(httpcore.ConnectError, match="does not resolve"):
        lookup(host, 443, 5.0)
