"""What goes over a real socket: bytes, cookies, proxies, TLS, and the caller's own clients."""

import asyncio
import socket
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
import warm
from conftest import Call
from loopback import LINK, LoopbackServer, answer, free_port, self_signed
from waiting import wait_until

from langchain_qwen_image import (
    QwenImageClient,
    QwenImageGenerator,
    QwenImageTool,
    __version__,
)
from langchain_qwen_image import errors as tree
from langchain_qwen_image.pipeline import cancellation
from langchain_qwen_image.sandbox import SandboxServer

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


def test_a_cookie_is_not_sent_back(call: Call) -> None:
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


@pytest.fixture
def http_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a gateway elsewhere be plain http, so that its proxy sees the request."""
    monkeypatch.setattr("langchain_qwen_image.pipeline.sender.checked_base_url", lambda url: url)


def test_a_proxy_of_the_environment_is_used(
    call: Call, monkeypatch: pytest.MonkeyPatch, http_anywhere: None
) -> None:
    """A gateway is asked for through the environment's proxy, with no header more."""
    with LoopbackServer() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.base_url)
        with at("http://gateway.example") as client:
            assert call(client, "generate", "a fox").image.url == LINK
        (request,) = proxy.requests
    assert request.startswith(b"POST http://gateway.example" + PATH)
    assert set(headers_of(request)) <= {*FIELDS, "accept", "proxy-connection"}


@pytest.mark.parametrize("no_proxy", ["gateway.example", "[::1],localhost,gateway.example", "*"])
def test_no_proxy_is_honoured(
    call: Call, monkeypatch: pytest.MonkeyPatch, http_anywhere: None, no_proxy: str
) -> None:
    """A host in `NO_PROXY` is asked directly, whatever else is in it (httpx#3221)."""

    def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with LoopbackServer() as proxy, LoopbackServer() as gateway:
        monkeypatch.setenv("HTTP_PROXY", proxy.base_url)
        monkeypatch.setenv("NO_PROXY", no_proxy)
        with at(f"http://gateway.example:{gateway.port}") as client:
            call(client, "generate", "a fox")
        assert (len(proxy.requests), len(gateway.posts)) == (0, 1)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_is_never_asked_through_a_proxy(
    call: Call, monkeypatch: pytest.MonkeyPatch, variable: str, host: str
) -> None:
    """A gateway on loopback is asked directly, so that the key does not go to a proxy."""
    with LoopbackServer() as proxy, LoopbackServer() as gateway:
        monkeypatch.setenv(variable, proxy.base_url)
        with at(f"http://{host}:{gateway.port}") as client:
            assert call(client, "generate", "a fox").image.url == LINK
        assert (proxy.requests, len(gateway.posts)) == ([], 1)


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("ALL_PROXY", "socks5://me:secret-pw@127.0.0.1:9", "socksio"),
        ("HTTPS_PROXY", "nonsense://me:secret-pw@127.0.0.1:9", "not the address"),
        ("https_proxy", "http://me:secret-pw#1@127.0.0.1:9", "%23"),
        ("NO_PROXY", "10.0.0.0/99", "10.0.0.0/99"),
        ("no_proxy", "localhost,(intern),a.example", "(intern)"),
    ],
    ids=["socks", "scheme", "password", "network", "entry"],
)
def test_a_proxy_that_cannot_be_used(
    call: Call, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    """What is unusable is named with its variable, and no password; nothing is sent."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    if variable == "ALL_PROXY":
        monkeypatch.delenv("HTTPS_PROXY")
    monkeypatch.setenv(variable, value)
    with at("https://gateway.example") as client, pytest.raises(tree.ConfigurationError) as caught:
        call(client, "generate", "a fox")
    message = str(caught.value)
    assert message.startswith(f"{variable} ")
    assert told in message
    assert "Nothing was sent." in message
    assert "secret-pw" not in message


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ssl.SSLContext:
    """Return a server's TLS context whose certificate this process trusts."""
    context, certificate = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return context


def test_https(call: Call, trusted: ssl.SSLContext, slow_clock: None) -> None:
    """Over TLS the request is the same, and connections are used again."""
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
    """Very many calls open no more connections than are in flight."""
    with LoopbackServer(tls=trusted) as gateway:
        generator = QwenImageGenerator(api_key=KEY, base_url=gateway.base_url)
        prompts, config = ["a fox"] * calls, {"max_concurrency": 25}
        if twin == "sync":
            found = generator.batch(prompts, config)
        else:
            found = asyncio.run(generator.abatch(prompts, config))
        generator.close()
        assert len(found) == len(gateway.posts) == calls
        assert gateway.accepts <= 25


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


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_the_machines_certificates_are_missing(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    """Certificates that are not there are a setting that cannot work; nothing is sent."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "missing"))
    with (
        at("https://gateway.example") as client,
        pytest.raises(tree.ConfigurationError, match=rf"{variable} names .*missing.*not exist"),
    ):
        call(client, "generate", "a fox")


def test_plain_http_needs_no_certificates(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A gateway on this machine works whatever the certificates are."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing"))
    with LoopbackServer() as gateway, at(gateway.base_url) as client:
        assert call(client, "generate", "a fox").image.url == LINK


@pytest.mark.parametrize("twin", ["sync", "async", "async with only a blocking one"])
def test_the_callers_client_is_used_and_stays_open(twin: str, library: Any) -> None:
    """The POST goes through the caller's client, with what it adds, and that is not closed."""
    with LoopbackServer() as gateway:

        def run() -> bool:
            with library.Client(headers={"X-Team": "art"}) as own:
                with at(gateway.base_url, http_client=own) as client:
                    if twin == "sync":
                        client.generate("a fox")
                    else:
                        asyncio.run(client.agenerate("a fox"))
                return own.is_closed

        async def arun() -> bool:
            async with library.AsyncClient(headers={"X-Team": "art"}) as own:
                async with at(gateway.base_url, http_async_client=own) as client:
                    await client.agenerate("a fox")
                return own.is_closed

        assert (asyncio.run(arun()) if twin == "async" else run()) is False
        (request,) = gateway.requests
    sent = headers_of(request)
    assert (sent["x-team"], sent["ocp-apim-subscription-key"]) == ("art", KEY)
    assert sent["user-agent"].startswith("langchain-qwen-image/")
    assert request.partition(b"\r\n\r\n")[2] == BODY


async def test_a_cancelled_call_does_not_leave_the_callers_client(library: Any) -> None:
    """A call that is cancelled before it left is not sent through the caller's client either."""
    connecting, go_on = asyncio.Event(), asyncio.Event()

    class Slow(library.AsyncHTTPTransport):  # type: ignore[misc]
        async def handle_async_request(self, request: Any) -> Any:
            connecting.set()
            await go_on.wait()
            return await super().handle_async_request(request)

    with LoopbackServer() as gateway:
        async with library.AsyncClient(transport=Slow()) as own:
            client = at(gateway.base_url, http_async_client=own)
            task = asyncio.create_task(client.agenerate("a fox"))
            await connecting.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            go_on.set()
            await asyncio.gather(*cancellation._background, return_exceptions=True)
            assert gateway.requests == []
            assert (await client.agenerate("a fox")).image.url == LINK
        assert len(gateway.posts) == 1


@pytest.fixture(params=["sync", "async"])
def through(request: pytest.FixtureRequest, library: Any) -> Callable[..., Any]:
    """Make a call through a client of the caller's, made with `client`; that is closed then."""

    def run(base_url: str, *, client: dict[str, Any] | None = None, **settings: Any) -> Any:
        with library.Client(**client or {}) as own:
            return at(base_url, http_client=own, **settings).generate("a fox")

    async def arun(base_url: str, *, client: dict[str, Any] | None = None, **settings: Any) -> Any:
        async with library.AsyncClient(**client or {}) as own:
            return await at(base_url, http_async_client=own, **settings).agenerate("a fox")

    if request.param == "sync":
        return run
    return lambda *args, **settings: asyncio.run(arun(*args, **settings))


def test_what_never_left_through_the_callers_client(through: Callable[..., Any]) -> None:
    """Refused, by the gateway's port or by the proxy: nothing was sent, so it is tried again."""
    with LoopbackServer(answer(502, b"No.")) as proxy:
        nobody = f"http://127.0.0.1:{free_port()}"
        for url, by in ((nobody, {}), ("https://gateway.test", {"proxy": proxy.base_url})):
            with pytest.raises(tree.ConnectionFailedError, match="nothing was sent") as caught:
                through(url, client=by)
            assert caught.value.is_retryable
            assert not caught.value.may_have_been_billed
        assert [request[:8] for request in proxy.requests] == [b"CONNECT "] * 3


def test_a_timeout_before_the_request_leaves(
    through: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handshake that takes too long is neither a lost answer nor a lasting failure of TLS."""
    monkeypatch.setattr("langchain_qwen_image.transport.routes.CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:  # takes connections, and says nothing
        with pytest.raises(tree.ConnectionFailedError, match="ConnectTimeout") as caught:
            through(f"https://127.0.0.1:{mute.getsockname()[1]}", max_retries=0)
    assert caught.value.is_retryable
    assert not caught.value.may_have_been_billed


LOST = {
    "closed": b"",
    "cut": answer()[:-20],
    "no answer in time": b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
}


@pytest.mark.parametrize("how", LOST)
def test_what_may_have_left_is_sent_once_through_the_callers_client(
    through: Callable[..., Any], how: str
) -> None:
    """Once the request has left, whatever is lost: one POST, perhaps billed, never repeated."""
    stays_open = how == "no answer in time"
    with LoopbackServer(LOST[how], hangs_up=not stays_open) as gateway:
        with pytest.raises(tree.RequestTimeoutError) as caught:
            through(gateway.base_url, timeout=0.5 if stays_open else 60)
        wait_until(lambda: gateway.posts)
        assert len(gateway.posts) == 1
    assert caught.value.may_have_been_billed
    assert not caught.value.is_retryable
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize("face", [QwenImageGenerator, QwenImageTool])
@pytest.mark.parametrize("twin", ["sync", "async"])
def test_a_paid_image_is_saved_through_the_callers_client(
    server: SandboxServer, twin: str, library: Any, face: Any, tmp_path: Path
) -> None:
    """Both faces take such clients, pay once, and save the image."""
    settings: Any = {"api_key": KEY, "base_url": server.base_url, "save_to": tmp_path / "images"}

    def run() -> None:
        with library.Client() as own:
            face(http_client=own, **settings).invoke("a fox")

    async def arun() -> None:
        async with library.AsyncClient() as own:
            await face(http_async_client=own, **settings).ainvoke("a fox")

    run() if twin == "sync" else asyncio.run(arun())
    assert server.gateway.post_count == len(list((tmp_path / "images").glob("*.png"))) == 1


def test_answers_headers_are_not_logged(
    server: SandboxServer, through: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """What the library notes at DEBUG of an answer's headers is kept out of the logs."""
    caplog.set_level("DEBUG")
    through(server.base_url)
    assert "send_request_headers" in caplog.text
    assert "receive_response" not in caplog.text
    assert KEY not in caplog.text


def test_a_transport_of_the_other_library_is_refused(
    through: Callable[..., Any], library: Any
) -> None:
    """A client with a transport of the other library would fail after the POST: not sent."""
    other: Any = httpx2 if library is httpx else httpx
    seen: list[Any] = []
    transport = other.MockTransport(lambda request: seen.append(request) or other.Response(200))
    with pytest.raises(tree.ConfigurationError, match="Make both with one library"):
        through("https://gateway.example", client={"transport": transport})
    assert seen == []


NO_CLIENTS = {
    "another kind": lambda library: library.AsyncClient(transport=library.MockTransport(str)),
    "a class": lambda library: library.Client,
    "an address": lambda library: "http://proxy.example:3128",
    "the module": lambda library: library,
}


@pytest.mark.parametrize("what", NO_CLIENTS)
@pytest.mark.parametrize("face", [QwenImageClient, QwenImageGenerator, QwenImageTool])
def test_what_is_no_client_is_refused(face: Any, what: str, library: Any) -> None:
    """What cannot send is refused at once, and the message names what can."""
    with pytest.raises(
        tree.ConfigurationError, match=r"http_client takes an httpx\.Client or an httpx2\.Client"
    ):
        face(api_key=KEY, http_client=NO_CLIENTS[what](library))


def test_httpx2_is_not_required() -> None:
    """Where httpx2 cannot be imported, everything works with httpx, and errors are understood."""
    program = f"""
import sys
sys.modules["httpx2"] = sys.modules["httpcore2"] = None
import httpx
from langchain_qwen_image import QwenImageClient, QwenImageTool, errors
address = "http://127.0.0.1:{free_port()}"
client = QwenImageClient(
    api_key="k", base_url=address, max_retries=0, http_client=httpx.Client(), pace=False
)
try:
    client.generate("a fox")
except errors.ConnectionFailedError as error:
    print(error.is_retryable)
try:
    QwenImageTool(http_client=7)
except errors.ConfigurationError:
    print(QwenImageTool(sandbox=True, http_client=httpx.Client()).invoke("a fox")[:4])
"""
    run = warm.run([sys.executable, "-W", "error", "-c", program])
    assert (run.stderr, run.stdout) == ("", "True\nDone\n")


def test_the_callers_transport_is_used(call: Call, library: Any) -> None:
    """A test transport of the caller's sees the POST, in both worlds."""
    seen: list[Any] = []

    def say(request: Any) -> Any:
        seen.append(request)
        return library.Response(429, headers={"Retry-After": "0"})

    transport = library.MockTransport(say)
    client = at(
        "https://gateway.example",
        http_client=library.Client(transport=transport),
        http_async_client=library.AsyncClient(transport=transport),
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
def test_a_closed_client_of_the_callers(twin: str, library: Any) -> None:
    """A client that its owner has closed is a setting that cannot work; nothing is sent."""
    own, other = library.Client(), library.AsyncClient()
    own.close()
    asyncio.run(other.aclose())
    client = at("https://gateway.example", http_client=own, http_async_client=other)
    with pytest.raises(tree.ConfigurationError, match="is closed; nothing was sent"):
        client.generate("a fox") if twin == "sync" else asyncio.run(client.agenerate("a fox"))


def test_a_redirect_is_not_followed_by_the_callers_client(call: Call, library: Any) -> None:
    """A client of the caller's that follows redirects does not follow this one."""
    seen: list[str] = []

    def say(request: Any) -> Any:
        seen.append(request.url.host)
        return library.Response(307, headers={"Location": "https://elsewhere.example/"})

    settings: Any = {"transport": library.MockTransport(say), "follow_redirects": True}
    client = at(
        "https://gateway.example",
        http_client=library.Client(**settings),
        http_async_client=library.AsyncClient(**settings),
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


def test_an_echoed_prompt_is_no_verdict(call: Call) -> None:
    """What was asked for is known to who reads the answer, so its words are no verdict."""
    prompt = "a bank that has an insufficient balance"
    said = answer(400, {"error": f"Cannot draw {prompt} at this size"})
    with LoopbackServer(said) as gateway, at(gateway.base_url) as client:
        with pytest.raises(tree.InvalidRequestError) as caught:
            call(client, "generate", prompt)
    assert type(caught.value) is tree.InvalidRequestError
