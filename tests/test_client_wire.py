"""What goes over a real socket: bytes, cookies, proxies, TLS, and the caller's own clients."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Call
from loopback import LINK, LoopbackServer, answer, self_signed

from langchain_qwen_image import QwenImageClient, QwenImageGenerator, __version__
from langchain_qwen_image import errors as tree
from langchain_qwen_image.transport.deadline import tls_context

KEY = "test-key-0123456789abcdef"
PATH = b"/qwen-image/v1/generateMultimodeTextToImageRequest"
BODY = (
    b'{"model":"qwen-image","input":{"messages":[{"role":"user","content":[{"text":"a fox"}]}]},'
    b'"parameters":{"negative_prompt":"","prompt_extend":true,"watermark":true,'
    b'"size":"1328*1328"}}'
)
FIELDS = (
    *("content-type", "cache-control", "ocp-apim-subscription-key", "user-agent"),
    "accept-encoding",
    *("host", "content-length"),
)


def at(base_url: str, **settings: Any) -> QwenImageClient:
    """Return a client that does not wait between attempts."""

    async def asleep(_: float) -> None:
        return None

    waits: Any = {"sleep": lambda _: None, "asleep": asleep}
    return QwenImageClient(api_key=KEY, base_url=base_url, **waits, **settings)


def headers_of(request: bytes) -> dict[str, str]:
    """Return the headers of a request as it came, names in lower case, none twice."""
    lines = request.partition(b"\r\n\r\n")[0].decode("ascii").split("\r\n")[1:]
    pairs = [line.split(": ", 1) for line in lines]
    assert len({name.lower() for name, _ in pairs}) == len(pairs)
    return {name.lower(): value for name, value in pairs}


def test_the_request_on_the_wire(call: Call) -> None:
    """The POST is the document's: its path, its headers, its body, and what HTTP itself needs."""
    with LoopbackServer() as gateway, at(gateway.base_url) as client:
        call(client, "generate", "a fox")
        (request,) = gateway.requests
    assert request.split(b"\r\n", 1)[0] == b"POST " + PATH + b" HTTP/1.1"
    assert request.partition(b"\r\n\r\n")[2] == BODY
    assert headers_of(request) == {
        "content-type": "application/json",
        "cache-control": "no-cache",
        "ocp-apim-subscription-key": KEY,
        "user-agent": f"langchain-qwen-image/{__version__}",
        "accept-encoding": "gzip, deflate",
        "host": gateway.base_url.removeprefix("http://"),
        "content-length": str(len(BODY)),
    }


def test_a_cookie_is_not_saved(call: Call) -> None:
    """What a gateway sets is not sent back: the next request is the same as the first."""
    said = answer(Set_Cookie="session=abc; Path=/")
    with LoopbackServer(said) as gateway, at(gateway.base_url) as client:
        call(client, "generate", "a fox")
        call(client, "generate", "a fox")
        assert gateway.requests[0] == gateway.requests[1]
        assert b"ookie" not in gateway.requests[1]


def test_a_redirect_is_not_followed(call: Call) -> None:
    """The key does not travel to where a redirect leads."""
    with LoopbackServer() as elsewhere:
        said = answer(307, b"", Location=f"{elsewhere.base_url}/a?ticket=t")
        with LoopbackServer(said) as gateway, at(gateway.base_url) as client:
            with pytest.raises(tree.NotFoundError, match="not followed") as caught:
                call(client, "generate", "a fox")
            assert len(gateway.posts) == 1
        assert elsewhere.requests == []
    assert f"{elsewhere.base_url}/a" in str(caught.value)
    assert "ticket" not in str(caught.value)


def test_a_key_in_a_net_file_is_not_sent(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Credentials that the machine has for the host do not join the request."""
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login me password pw")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))
    with LoopbackServer() as gateway, at(gateway.base_url) as client:
        call(client, "generate", "a fox")
        assert "authorization" not in headers_of(gateway.requests[0])


def test_a_proxy_of_the_environment_is_used(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain http gateway is asked for through `HTTP_PROXY`, with no header more."""
    with LoopbackServer() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.base_url)
        with at("http://127.0.0.1:9") as client:
            assert call(client, "generate", "a fox").image.url == LINK
        (request,) = proxy.requests
    assert request.startswith(b"POST http://127.0.0.1:9" + PATH)
    assert set(headers_of(request)) <= {*FIELDS, "accept", "proxy-connection"}


def test_no_proxy_is_honoured(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host in `NO_PROXY` is asked directly."""
    with LoopbackServer() as proxy, LoopbackServer() as gateway:
        monkeypatch.setenv("HTTP_PROXY", proxy.base_url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with at(gateway.base_url) as client:
            call(client, "generate", "a fox")
        assert (len(proxy.requests), len(gateway.posts)) == (0, 1)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "nonsense://127.0.0.1:9"])
def test_a_proxy_that_cannot_be_used(
    call: Call, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    """A proxy that httpx cannot speak to is a setting that cannot work; nothing is sent."""
    monkeypatch.setenv("ALL_PROXY", proxy)
    with (
        at("https://gateway.example") as client,
        pytest.raises(tree.ConfigurationError, match=r"nothing was sent.*ALL_PROXY"),
    ):
        call(client, "generate", "a fox")


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ssl.SSLContext]:
    """Return a server's TLS context whose certificate this process trusts."""
    context, certificate = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    tls_context.cache_clear()
    yield context
    tls_context.cache_clear()


def test_https(call: Call, trusted: ssl.SSLContext, slow_clock: None) -> None:
    """Over TLS the request is the same, and connections are saved."""
    with LoopbackServer(tls=trusted) as gateway, at(gateway.base_url) as client:
        assert call(client, "generate", "a fox").image.url == LINK
        assert gateway.posts[0].partition(b"\r\n\r\n")[2] == BODY
        client.generate("a fox")
        client.generate("a fox")
        assert gateway.accepts <= 2


@pytest.mark.parametrize(
    "calls", [pytest.param(100, id="100"), pytest.param(1000, id="1000", marks=pytest.mark.long)]
)
@pytest.mark.parametrize("twin", ["sync", "async"])
def test_many_calls_over_https_share_connections(
    twin: str, calls: int, trusted: ssl.SSLContext, slow_clock: None
) -> None:
    """Very many calls open no more connections than are in flight, with one TLS context."""
    with LoopbackServer(tls=trusted) as gateway:
        generator = QwenImageGenerator(api_key=KEY, base_url=gateway.base_url)
        assert tls_context.cache_info().currsize == 0, "none before the first call"
        prompts, config = ["a fox"] * calls, {"max_concurrency": 25}
        if twin == "sync":
            found = generator.batch(prompts, config)
        else:
            found = asyncio.run(generator.abatch(prompts, config))
        generator.close()
        assert len(found) == len(gateway.posts) == calls
        assert gateway.accepts <= 25
        assert tls_context.cache_info().misses == 1


def test_https_through_a_tunnel(
    call: Call, trusted: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An https gateway is reached through the proxy's CONNECT, which does not see the key."""
    with LoopbackServer(tls=trusted, tunnels=True) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.base_url)
        with at("https://gateway.test") as client:
            assert call(client, "generate", "a fox").image.url == LINK
        connect, post = proxy.requests
    assert connect.startswith(b"CONNECT gateway.test:443 ")
    assert KEY.encode() not in connect
    assert post.startswith(b"POST " + PATH + b" HTTP/1.1\r\n")
    assert headers_of(post)["host"] == "gateway.test"


@pytest.mark.parametrize("status", [403, 407, 502])
def test_a_proxy_that_opens_no_tunnel(
    call: Call, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """Where the proxy refuses the tunnel, the request never left: tried again, and said."""
    with LoopbackServer(answer(status, b"No.")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.base_url)
        with (
            at("https://gateway.test") as client,
            pytest.raises(tree.ConnectionFailedError, match="nothing was sent") as caught,
        ):
            call(client, "generate", "a fox")
        assert [request[:8] for request in proxy.requests] == [b"CONNECT "] * 3
    assert not caught.value.may_have_been_billed


def test_a_certificate_that_is_not_trusted(call: Call, tmp_path: Path) -> None:
    """A TLS error is permanent: one connection, nothing sent, no repeat."""
    context, _ = self_signed(tmp_path)
    with LoopbackServer(tls=context) as gateway, at(gateway.base_url) as client:
        with pytest.raises(tree.ConnectionFailedError, match="TLS certificate") as caught:
            call(client, "generate", "a fox")
        assert (gateway.accepts, gateway.requests) == (1, [])
    assert not caught.value.is_retryable
    assert not caught.value.may_have_been_billed


class _Plain(LoopbackServer):
    """Answers whatever comes without reading it."""

    def _converse(self, connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def test_a_gateway_without_tls(call: Call) -> None:
    """Plain text where TLS is expected is a TLS error as well."""
    with _Plain() as gateway, at(f"https://127.0.0.1:{gateway.port}") as client:
        with pytest.raises(tree.ConnectionFailedError, match="TLS") as caught:
            call(client, "generate", "a fox")
        assert gateway.accepts == 1
    assert not caught.value.is_retryable


def test_the_machines_certificates_are_missing(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A certificate file that is not there is a setting that cannot work."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    tls_context.cache_clear()
    with (
        at("https://gateway.example") as client,
        pytest.raises(tree.ConfigurationError, match="SSL_CERT_FILE"),
    ):
        call(client, "generate", "a fox")


@pytest.mark.parametrize("twin", ["sync", "async", "async with only a blocking one"])
def test_the_callers_client_is_used_and_stays_open(twin: str) -> None:
    """The POST goes through the caller's client, with what it adds, and that is not closed."""
    with LoopbackServer() as gateway:

        def run() -> bool:
            with httpx.Client(headers={"X-Team": "art"}) as own:
                with at(gateway.base_url, http_client=own) as client:
                    if twin == "sync":
                        client.generate("a fox")
                    else:
                        asyncio.run(client.agenerate("a fox"))
                return own.is_closed

        async def arun() -> bool:
            async with httpx.AsyncClient(headers={"X-Team": "art"}) as own:
                async with at(gateway.base_url, http_async_client=own) as client:
                    await client.agenerate("a fox")
                return own.is_closed

        assert (asyncio.run(arun()) if twin == "async" else run()) is False
        (request,) = gateway.requests
    sent = headers_of(request)
    assert (sent["x-team"], sent["ocp-apim-subscription-key"]) == ("art", KEY)
    assert sent["user-agent"].startswith("langchain-qwen-image/")
    assert request.partition(b"\r\n\r\n")[2] == BODY


def test_the_callers_transport_is_used(call: Call) -> None:
    """A test transport of the caller's sees the POST, in both worlds."""
    seen: list[httpx.Request] = []

    def say(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(429, headers={"Retry-After": "0"})

    transport = httpx.MockTransport(say)
    client = at(
        "https://gateway.example",
        http_client=httpx.Client(transport=transport),
        http_async_client=httpx.AsyncClient(transport=transport),
    )
    with pytest.raises(tree.RateLimitError):
        call(client, "generate", "a fox")
    assert [request.method for request in seen] == ["POST"] * 3


def test_a_blocking_call_needs_a_blocking_client() -> None:
    """With only an async client of the caller's, a blocking call says what is missing."""
    own = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200)))
    with pytest.raises(tree.ConfigurationError, match="needs http_client="):
        at("https://gateway.example", http_async_client=own).generate("a fox")


@pytest.mark.parametrize("twin", ["sync", "async"])
def test_a_closed_client_of_the_callers(twin: str) -> None:
    """A client that its owner has closed is a setting that cannot work; nothing is sent."""
    own, other = httpx.Client(), httpx.AsyncClient()
    own.close()
    asyncio.run(other.aclose())
    client = at("https://gateway.example", http_client=own, http_async_client=other)
    with pytest.raises(tree.ConfigurationError, match="is closed; nothing was sent"):
        client.generate("a fox") if twin == "sync" else asyncio.run(client.agenerate("a fox"))


def test_a_redirect_is_not_followed_by_the_callers_client(call: Call) -> None:
    """A client of the caller's that follows redirects does not follow this one."""
    seen: list[str] = []

    def say(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.host)
        return httpx.Response(307, headers={"Location": "https://elsewhere.example/"})

    settings: Any = {"transport": httpx.MockTransport(say), "follow_redirects": True}
    client = at(
        "https://gateway.example",
        http_client=httpx.Client(**settings),
        http_async_client=httpx.AsyncClient(**settings),
    )
    with pytest.raises(tree.NotFoundError):
        call(client, "generate", "a fox")
    assert seen == ["gateway.example"]


def test_a_tests_network_block_stays_visible(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that is neither httpx's nor the system's is not taken for one of the network."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("the test may not do this")

    monkeypatch.setattr(
        "langchain_qwen_image.transport.deadline.DeadlineBackend.connect_tcp", refuse
    )
    monkeypatch.setattr(
        "langchain_qwen_image.transport.deadline.AsyncDeadlineBackend.connect_tcp", refuse
    )
    with at("http://127.0.0.1:9") as client, pytest.raises(RuntimeError, match="may not do this"):
        call(client, "generate", "a fox")
