"""The server on loopback: connections, faults on the wire, shutdown."""

import asyncio
import contextlib
import errno
import socket
import struct
import threading
from collections.abc import Iterator
from functools import partial

import httpx
import pytest
from waiting import PATIENCE, wait_until

from langchain_qwen_image.sandbox import Gateway, SandboxServer, draw_plain, serve

PATH = "/qwen-image/v1/generateMultimodeTextToImageRequest"
HEADERS = {"Cache-Control": "no-cache", "Ocp-Apim-Subscription-Key": "key-of-a-test"}

BODY = b'{"model":"qwen-image","input":{"messages":[{"role":"user","content":[{"text":"a"}]}]}}'
POST = (
    f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    "Cache-Control: no-cache\r\nOcp-Apim-Subscription-Key: k\r\n"
    f"Content-Length: {len(BODY)}\r\n\r\n"
).encode() + BODY


def content(prompt: str = "a boat") -> dict[str, object]:
    """Return the body of a request."""
    messages = [{"role": "user", "content": [{"text": prompt}]}]
    return {"model": "qwen-image", "input": {"messages": messages}}


@pytest.fixture
def server() -> Iterator[SandboxServer]:
    """Serve without drawing."""
    with SandboxServer(draw=draw_plain) as server:
        yield server


@pytest.fixture
def client(server: SandboxServer) -> Iterator[httpx.Client]:
    """Connect to the server, past any proxy."""
    with httpx.Client(base_url=server.base_url, trust_env=False, timeout=PATIENCE) as client:
        yield client


def connect(server: SandboxServer) -> socket.socket:
    """Open a bare connection."""
    port = int(server.base_url.rpartition(":")[2])
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def talk(server: SandboxServer, *parts: bytes) -> bytes:
    """Send bytes, and return all that comes until the server closes."""
    answer = b""
    with connect(server) as connection:
        for part in parts:
            connection.sendall(part)
        while piece := connection.recv(65536):
            answer += piece
    return answer


def test_serve_gives_a_loopback_address() -> None:
    """`serve` answers at the base URL that it gives, and no more after its end."""
    with serve() as base_url:
        assert base_url.startswith("http://127.0.0.1:")
        response = httpx.get(f"{base_url}/", trust_env=False)
        assert (response.status_code, response.json()) == (404, {"error": "Endpoint not found"})
    with pytest.raises(httpx.ConnectError):
        httpx.get(base_url, trust_env=False)


def test_one_connection_serves_many_requests(server: SandboxServer, client: httpx.Client) -> None:
    """A connection is saved: a POST and its image go over the same one."""
    streams = set()
    for _ in range(3):
        response = client.post(PATH, json=content(), headers=HEADERS)
        streams.add(response.extensions["network_stream"].get_extra_info("client_addr"))
        url = response.json()["output"]["choices"][0]["message"]["content"][0]["image"]
        assert url.startswith(f"{server.base_url}/images/")
        assert client.get(url).headers["content-type"] == "image/png"
    assert len(streams) == 1
    assert [request.method for request in server.requests] == ["POST", "GET"] * 3
    assert len(server.images) == 3


def test_script_reaches_the_gateway(server: SandboxServer, client: httpx.Client) -> None:
    """A scripted scenario is played over the wire."""
    server.script("503-retry-after")
    response = client.post(PATH, json=content(), headers=HEADERS)
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")


def test_reset_is_a_reset(server: SandboxServer) -> None:
    """`reset` sends RST: the peer's read fails instead of ending."""
    server.script("reset")
    with pytest.raises(ConnectionResetError):
        talk(server, POST)


def test_peer_that_leaves(server: SandboxServer) -> None:
    """A peer that resets the connection while its answer drips is forgotten."""
    server.script("drip")
    with connect(server) as connection:
        connection.sendall(POST)
        assert connection.recv(1) == b"H"
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_until(lambda: not server._conversations)


@pytest.mark.parametrize("name", ["ok", "truncated"])
def test_close_cuts_peers_that_do_not_read(name: str) -> None:
    """Closing does not wait for a peer that reads nothing of a large answer."""
    with SandboxServer(draw=partial(draw_plain, weight_bytes=20_000_000)) as server:
        server.script("data-uri" if name == "ok" else "image-truncated")
        with connect(server) as connection:
            connection.sendall(POST)
            answer = connection.recv(100)
            if name == "truncated":
                target = server.images[0].url.removeprefix(server.base_url)
                connection.sendall(f"GET {target} HTTP/1.1\r\n\r\n".encode())
                answer = connection.recv(100)
            assert answer
            server.close()


@pytest.mark.parametrize(
    ("request_bytes", "start"),
    [
        pytest.param(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", b"HTTP/1.1 404", id="close"),
        pytest.param(
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 411",
            id="chunked",
        ),
        pytest.param(
            "POST / HTTP/1.1\r\nContent-Length: ¹\r\n\r\n".encode("latin-1"),
            b"HTTP/1.1 411",
            id="length",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", b"HTTP/1.1 413", id="large"
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nConnection: close\r\nExpect: 100-continue\r\n"
            b"Content-Length: 2\r\n\r\n{}",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404",
            id="expect",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
            b"HTTP/1.1 413",
            id="length-of-5000-digits",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"HTTP/1.1 400",
            id="two-lengths",
        ),
        pytest.param(b"hello\r\n\r\n", b"HTTP/1.1 400", id="not-http"),
        pytest.param(b"\r\n\r\n", b"HTTP/1.1 400", id="empty"),
        pytest.param(b"GET / SMTP/1.1\r\n\r\n", b"HTTP/1.1 400", id="other-protocol"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"HTTP/1.1 505", id="http2"),
        pytest.param(b"\x16\x03\x01\r\n\r\n", b"HTTP/1.1 400", id="tls"),
        pytest.param(b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"HTTP/1.1 400", id="no-colon"),
        pytest.param(b"GET / " + b"x" * 100_000, b"HTTP/1.1 431", id="endless"),
        pytest.param(b"GET / HTTP/1.1\r\nx: " + b"y" * 2_000_000, b"HTTP/1.1 431", id="head"),
        pytest.param(
            b"POST / HTTP/1.1\r\nContent-Length: 8388608\r\n\r\n" + bytes(8388608),
            b"HTTP/1.1 413",
            id="large-and-sent",
        ),
    ],
)
def test_odd_requests(server: SandboxServer, request_bytes: bytes, start: bytes) -> None:
    """What cannot be read is answered, never cut off; the server lives on, and recorded nothing."""
    assert talk(server, request_bytes).startswith(start)
    assert b"404" in talk(server, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert len(server.requests) == (2 if b"404" in start else 1)


def test_a_head_that_ends(server: SandboxServer) -> None:
    """A peer that says no more within a head, and still listens, is answered."""
    with connect(server) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: local")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1000).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1", True),
        ("127.0.0.1:8765", True),
        ("127.8.9.10:1", True),
        ("localhost", True),
        ("LocalHost.:80", True),
        ("qwen.localhost", True),
        ("[::1]", True),
        ("[::1]:99", True),
        ("127.0.0.1:", True),
        ("", False),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.nip.io", False),
        ("127.0.0.1@evil.example", False),
        ("evil.example#127.0.0.1", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("[::ffff:8.8.8.8]", False),
        ("[::1", False),
        ("2130706433", False),
        ("127.0.0.1:80:80", False),
        ("127.0.0.1 evil.example", False),
        ("¹27.0.0.1", False),
    ],
)
@pytest.mark.parametrize("request_bytes", [POST, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"])
def test_host(server: SandboxServer, host: str, allowed: bool, request_bytes: bytes) -> None:
    """Only names of this machine are answered as it: a page of the web can be made to lead here."""
    changed = request_bytes.replace(
        b"Host: 127.0.0.1", b"Connection: close\r\nHost: " + host.encode()
    )
    answer = talk(server, changed)
    assert answer.startswith(b"HTTP/1.1 403") != allowed
    assert len(server.requests) == allowed


def test_two_hosts(server: SandboxServer) -> None:
    """Two names are no name."""
    doubled = POST.replace(b"Host: 127.0.0.1", b"Host: 127.0.0.1\r\nHost: evil.example")
    assert talk(server, doubled).startswith(b"HTTP/1.1 400")


def test_a_refused_upload_reads_its_answer(server: SandboxServer, client: httpx.Client) -> None:
    """A client that sends too much gets the 413, not a broken connection, again and again."""
    for _ in range(3):
        answer = client.post(PATH, content=bytes(8 * 1024 * 1024), headers=HEADERS)
        assert (answer.status_code, answer.text) == (413, "The sandbox takes at most 1 MiB.")
    assert server.requests == []


def test_head_has_no_body(server: SandboxServer) -> None:
    """HEAD gets the head of an answer, and the connection is not upset by a body."""
    answer = talk(server, b"HEAD / HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404")
    assert answer.endswith(b"\r\n\r\n")


def test_request_cut_short(server: SandboxServer) -> None:
    """A peer that leaves in the middle of its body is forgotten, and nothing was received."""
    with connect(server) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n{")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    assert server.gateway.post_count == 0


def test_port_in_use(server: SandboxServer) -> None:
    """A port that is in use is an OSError that names it."""
    port = int(server.base_url.rpartition(":")[2])
    with pytest.raises(OSError, match=f"port {port} on 127.0.0.1 is in use") as caught:
        SandboxServer(port)
    assert caught.value.errno == errno.EADDRINUSE


def test_port_not_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another problem with the port comes through as it is."""

    def refuse(address: tuple[str, int], *, backlog: int) -> socket.socket:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(PermissionError):
        SandboxServer(80)


@pytest.mark.parametrize("name", ["timeout", "slow-300", "drip", "image-drip"])
def test_close_does_not_wait(name: str) -> None:
    """Closing cuts connections that wait for an answer; nothing is left running."""
    server = SandboxServer(draw=draw_plain)
    ended, answered = threading.Event(), []

    def ask() -> None:
        with (
            httpx.Client(base_url=server.base_url, trust_env=False, timeout=PATIENCE) as client,
            contextlib.suppress(httpx.TransportError),
        ):
            client.post(PATH, json=content(f"sandbox:{name}"), headers=HEADERS)
            client.get(server.images[0].url)
            answered.append(name)
        ended.set()

    peer = threading.Thread(target=ask)
    peer.start()
    wanted = 2 if name == "image-drip" else 1
    wait_until(lambda: len(server.requests) == wanted)
    server.close()
    assert ended.wait(PATIENCE)
    peer.join()
    assert answered == []
    server.close()
    assert not any(thread.name == "qwen-image-sandbox" for thread in threading.enumerate())


async def test_a_thousand_connections() -> None:
    """A thousand POSTs at a time, each on a connection of its own, are all answered."""
    with SandboxServer(draw=draw_plain, latency_seconds=0.5) as server:
        port = int(server.base_url.rpartition(":")[2])
        request = b"POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

        async def ask() -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            return answer

        answers = await asyncio.gather(*(ask() for _ in range(1000)))
        assert server.gateway.post_count == 1000
    assert all(answer.startswith(b"HTTP/1.1 404") for answer in answers)


def test_missing_pillow_is_said(client: httpx.Client, server: SandboxServer) -> None:
    """Without Pillow every image is a 500 with the sentence that says what to install."""

    def fail(*_: object, **__: object) -> bytes:
        raise ImportError("pip install 'langchain-qwen-image[sandbox]'")

    server.gateway = Gateway(server.base_url, draw=fail)
    client.post(PATH, json=content(), headers=HEADERS)
    link = client.get(server.images[0].url)
    inline = client.post(PATH, json=content("sandbox:data-uri"), headers=HEADERS)
    assert (link.status_code, inline.status_code) == (500, 500)
    assert link.text == inline.text == "pip install 'langchain-qwen-image[sandbox]'"


def test_a_failing_draw_is_an_answer(client: httpx.Client, server: SandboxServer) -> None:
    """Whatever fails as an image is drawn is a 500 that says so, and the connection stays."""

    def fail(*_: object, **__: object) -> bytes:
        raise ZeroDivisionError

    server.gateway = Gateway(server.base_url, draw=fail)
    client.post(PATH, json=content(), headers=HEADERS)
    answers = [client.get(server.images[0].url) for _ in range(2)]
    assert [(one.status_code, one.text) for one in answers] == [(500, "ZeroDivisionError")] * 2


def test_heavy_images() -> None:
    """A plain image can be given the weight of a photograph."""
    with (
        SandboxServer(draw=partial(draw_plain, weight_bytes=1_300_000)) as server,
        httpx.Client(base_url=server.base_url, trust_env=False) as client,
    ):
        client.post(PATH, json=content(), headers=HEADERS)
        image = client.get(server.images[0].url).content
    assert 1_300_000 < len(image) < 1_301_000
