"""The layer below httpx: deadlines that hold."""

import asyncio
import time
from typing import Any

import httpcore
import httpx
import pytest

from langchain_qwen_image.transport.call import Call, current_call
from langchain_qwen_image.transport.deadline import (
    AsyncDeadlineBackend,
    AsyncDeadlineStream,
    DeadlineBackend,
    DeadlineStream,
    use_abackend,
    use_backend,
)
from langchain_qwen_image.transport.urls import url_of


class Wire(httpcore.NetworkStream):
    """A connection that keeps what it is asked, for both worlds."""

    def __init__(self) -> None:
        """Start with nothing asked."""
        self.timeouts: list[float | None] = []
        self.written: list[bytes] = []
        self.closed = False

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Note the timeout."""
        self.timeouts.append(timeout)
        return b"read"

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Note what is written, and the timeout."""
        self.timeouts.append(timeout)
        self.written.append(buffer)

    def close(self) -> None:
        """Note it."""
        self.closed = True

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> "Wire":
        """Note the timeout."""
        self.timeouts.append(timeout)
        return self

    def get_extra_info(self, info: str) -> Any:
        """Return what is asked."""
        return info


class AsyncWire(httpcore.AsyncNetworkStream):
    """The same for asyncio."""

    def __init__(self, wire: Wire) -> None:
        """Take a wire to ask."""
        self.wire = wire

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Ask the wire."""
        return self.wire.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Ask the wire."""
        self.wire.write(buffer, timeout)

    async def aclose(self) -> None:
        """Ask the wire."""
        self.wire.close()

    async def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> "AsyncWire":
        """Ask the wire."""
        self.wire.start_tls(ssl_context, server_hostname, timeout)
        return self

    def get_extra_info(self, info: str) -> Any:
        """Return what is asked."""
        return info


class Both:
    """Use either stream in the same words."""

    def __init__(self, wire: Wire, *, sync: bool) -> None:
        """Put a stream of ours over the wire."""
        self.wire = wire
        self.sync = sync
        self.stream: Any = DeadlineStream(wire) if sync else AsyncDeadlineStream(AsyncWire(wire))

    def do(self, name: str, *args: Any) -> Any:
        """Do one thing."""
        if self.sync:
            return getattr(self.stream, name)(*args)
        return asyncio.run(getattr(self.stream, "aclose" if name == "close" else name)(*args))


@pytest.fixture(params=["sync", "async"])
def stream(request: pytest.FixtureRequest) -> Both:
    """Return a stream over a wire that keeps what it is asked."""
    return Both(Wire(), sync=request.param == "sync")


@pytest.fixture
def bind():
    """Bind calls to this test."""
    tokens = []
    yield lambda call: tokens.append(current_call.set(call))
    while tokens:
        current_call.reset(tokens.pop())


WAITS = [("read", (10,)), ("write", (b"x",)), ("start_tls", (None, None))]
every_wait = pytest.mark.parametrize(("name", "args"), WAITS, ids=[name for name, _ in WAITS])


@every_wait
def test_without_a_call_timeouts_are_httpxs(stream: Both, name: str, args: tuple[Any, ...]) -> None:
    """Outside a call a wait has the timeout that it is given."""
    stream.do(name, *args, 7.0)
    stream.do(name, *args, None)
    assert stream.wire.timeouts == [7.0, None]


@every_wait
def test_a_wait_ends_with_its_call(
    stream: Both, bind: Any, name: str, args: tuple[Any, ...]
) -> None:
    """Within a call no wait is longer than what is left of it."""
    bind(Call(time.monotonic() + 50))
    stream.do(name, *args, 7.0)
    stream.do(name, *args, 70.0)
    stream.do(name, *args, None)
    short, *long = stream.wire.timeouts
    assert short == 7.0
    assert all(timeout is not None and 0 < timeout <= 50 for timeout in long)


@pytest.mark.parametrize(
    ("name", "args", "error"),
    [
        ("read", (10,), httpcore.ReadTimeout),
        ("write", (b"x",), httpcore.WriteTimeout),
        ("start_tls", (None, None), httpcore.ConnectTimeout),
    ],
)
def test_after_the_deadline_nothing_is_waited_for(
    stream: Both, bind: Any, name: str, args: tuple[Any, ...], error: type[Exception]
) -> None:
    """A wait that begins after the deadline is a timeout of its kind, at once."""
    bind(Call(time.monotonic() - 1))
    with pytest.raises(error):
        stream.do(name, *args, 7.0)
    assert stream.wire.timeouts == []


def test_the_rest_is_passed_on(stream: Both) -> None:
    """Closing and what httpcore asks of a stream reach the connection below."""
    assert stream.do("read", 4, None) == b"read"
    assert stream.stream.get_extra_info("is_readable") == "is_readable"
    stream.do("close")
    assert stream.wire.closed


def test_tls_keeps_the_deadline(stream: Both, bind: Any) -> None:
    """The stream inside TLS is bound to the call as well."""
    inside = stream.do("start_tls", None, "h", 5.0)
    assert type(inside) is type(stream.stream)


@pytest.mark.parametrize("backend", [DeadlineBackend, AsyncDeadlineBackend])
def test_connecting_ends_with_the_call(bind: Any, backend: type[Any]) -> None:
    """No connection is begun after the deadline."""
    bind(Call(time.monotonic() - 1))

    async def connect() -> None:
        outcome = backend().connect_tcp("127.0.0.1", 9, 5.0)
        await outcome

    with pytest.raises(httpcore.ConnectTimeout):
        asyncio.run(connect())


@pytest.mark.parametrize("proxy", [None, "http://127.0.0.1:9"], ids=["direct", "proxy"])
def test_private_attributes_are_still_there(proxy: str | None) -> None:
    """The backend gets below httpx's transports, direct ones and those of a proxy."""
    transport, atransport = httpx.HTTPTransport(proxy=proxy), httpx.AsyncHTTPTransport(proxy=proxy)
    assert hasattr(transport._pool, "_network_backend")
    assert hasattr(atransport._pool, "_network_backend")
    backend, abackend = DeadlineBackend(), AsyncDeadlineBackend()
    assert use_backend(transport, backend)._pool._network_backend is backend
    assert use_abackend(atransport, abackend)._pool._network_backend is abackend


def test_addresses_are_parsed_once() -> None:
    """A parsed address is the same at every call; what cannot be parsed is httpx's own error."""
    assert url_of("https://h.example/a") is url_of("https://h.example/a")
    assert url_of("https://h.example/a").raw_path == b"/a"
    with pytest.raises(httpx.InvalidURL):
        url_of("https://xn--/")
