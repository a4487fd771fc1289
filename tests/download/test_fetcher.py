"""Fetching images from a host that may be hostile, over real sockets on loopback."""

import asyncio
import base64
import gc
import gzip
import io
import logging
import socket
import subprocess
import sys
import threading
import time
import traceback
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import httpcore
import httpx
import pytest
import vcr
from hypothesis import given
from hypothesis import strategies as st
from waiting import wait_until

from langchain_qwen_image.concurrency.threads import in_thread
from langchain_qwen_image.download import ssrf as _guard
from langchain_qwen_image.download.data_uri import decode_inline
from langchain_qwen_image.download.fetcher import Fetcher, ImageInfo
from langchain_qwen_image.download.url import Target, place
from langchain_qwen_image.errors import DownloadError

Answer = bytes | Callable[[socket.socket], object]
Fetch = Callable[[Fetcher, str, BinaryIO], ImageInfo]

SIGNATURE = "s3cr3tSIGNATURE%2Bx%3D"
SIGNED = f"?Expires=4102444800&OSSAccessKeyId=sandbox&Signature={SIGNATURE}"
IDLE_SECONDS = 120.0


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return a PNG chunk with its checksum."""
    return len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)


def png(pixels: bytes = b"pixels") -> bytes:
    """Return a PNG of 5 x 4 pixels whose chunks check out."""
    header = (5).to_bytes(4) + (4).to_bytes(4) + b"\x08\x02\x00\x00\x00"
    parts = [(b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


PICTURE = png()
FACTS = ImageInfo("image/png", ".png", 5, 4, len(PICTURE), sha256(PICTURE).hexdigest())


def reply(body: bytes = PICTURE, status: str = "200 OK", **headers: object) -> bytes:
    """Return an answer on the wire; a header of None is left out."""
    fields = {"content_type": "image/png", "content_length": len(body)} | headers
    lines = [f"{k.replace('_', '-')}: {v}\r\n" for k, v in fields.items() if v is not None]
    return f"HTTP/1.1 {status}\r\n{''.join(lines)}\r\n".encode() + body


def redirect(location: str, status: str = "302 Found") -> bytes:
    """Return an answer that leads elsewhere."""
    return reply(b"", status, location=location)


class Host:
    """A host of images that plays answers in order, the last one again and again."""

    def __init__(self, *answers: Answer) -> None:
        """Listen on a free port of loopback."""
        self.answers = answers
        self.heads: list[bytes] = []
        self.connections = 0
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._start(self._accept)

    def link(self, target: str = f"/2026/a.png{SIGNED}") -> str:
        """Return a link to this host."""
        return self.url + target

    def close(self) -> None:
        """Stop listening, cut every connection and wait for the threads."""
        for connection in (self._listener, *self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join(IDLE_SECONDS)

    def _start(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._open.append(connection)
                self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection, connection.makefile("rb") as reader:
            while head := b"".join(_lines(reader)):
                self.heads.append(head)
                answer = self.answers[min(len(self.heads), len(self.answers)) - 1]
                if callable(answer):
                    answer(connection)
                    return
                connection.sendall(answer)


def _lines(reader: BinaryIO) -> Iterator[bytes]:
    while (line := reader.readline()).strip():
        yield line


@pytest.fixture
def host() -> Iterator[Callable[..., Host]]:
    """Start hosts that end with the test."""
    with ExitStack() as stack:

        def start(*answers: Answer) -> Host:
            started = Host(*answers)
            stack.callback(started.close)
            return started

        yield start


def _sync(fetcher: Fetcher, url: str, into: BinaryIO) -> ImageInfo:
    return fetcher.fetch(url, into)


def _async(fetcher: Fetcher, url: str, into: BinaryIO) -> ImageInfo:
    return asyncio.run(in_thread(fetcher.fetch, url, into))


@pytest.fixture(params=[_sync, _async], ids=["sync", "async"])
def fetch(request: pytest.FixtureRequest) -> Fetch:
    """Fetch by either twin."""
    return request.param


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the proxies of this machine out of the tests."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def quick(**settings: object) -> Fetcher:
    """Return a fetcher for loopback that does not wait between attempts."""
    return Fetcher(**{"allow_loopback": True, "sleep": lambda _: None, **settings})


def never(request: httpx.Request) -> httpx.Response:
    """Answer nothing: the test must not come this far."""
    raise AssertionError("a request was sent")


def failure(
    fetcher: Fetcher, url: str, into: BinaryIO | None = None, *, probe: bool = False
) -> DownloadError:
    """Fetch, or only look, and return the error."""
    with pytest.raises(DownloadError) as caught:
        fetcher.probe(url) if probe else fetcher.fetch(url, into or io.BytesIO())
    return caught.value


# What comes


def test_a_image_arrives_unmodified(host: Callable[..., Host], fetch: Fetch) -> None:
    """The bytes are saved as they came, and the facts are those of the bytes."""
    into = io.BytesIO(b"what stood there before, and longer than the image" * 9)
    assert fetch(quick(), host(reply()).link(), into) == FACTS
    assert into.getvalue() == PICTURE


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(reply(content_length=None, connection="close"), id="no-length"),
        pytest.param(
            reply(
                b"%x\r\n%s\r\n0\r\n\r\n" % (len(PICTURE), PICTURE),
                content_length=None,
                transfer_encoding="chunked",
            ),
            id="chunked",
        ),
        pytest.param(reply(content_type="text/html"), id="wrong-type"),
        pytest.param(reply(content_type=None), id="no-type"),
        pytest.param(reply(content_encoding="identity"), id="encoding-identity"),
    ],
)
def test_headers_do_not_decide(host: Callable[..., Host], answer: bytes) -> None:
    """A whole image is taken whatever the headers say or leave out."""

    def close_after(connection: socket.socket) -> None:
        connection.sendall(answer)

    assert quick().fetch(host(close_after).link(), io.BytesIO()) == FACTS


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(reply(b"<html>Not here</html>"), "XML or HTML", id="html-as-png"),
        pytest.param(reply(b'{"a": 1}'), "JSON", id="json"),
        pytest.param(reply(b"<?xml?><Error/>"), "XML or HTML", id="xml"),
        pytest.param(reply(content_length=10**9), "larger than", id="length-says-too-much"),
        pytest.param(reply(png(bytes(5000))), "larger than", id="too-large"),
        pytest.param(
            reply(gzip.compress(png(bytes(10**7))), content_encoding="gzip"),
            "larger than",
            id="gzip-bomb",
        ),
        pytest.param(reply(b"", "204 No Content"), "answered 204", id="no-content"),
        pytest.param(reply(b"", "404 Not Found"), "answered 404", id="not-found"),
        pytest.param(reply(PICTURE, "206 Partial Content"), "answered 206", id="partial"),
        pytest.param(redirect(""), "redirected", id="redirect-to-itself"),
        pytest.param(redirect("http://169.254.169.254/x"), "not safe", id="redirect-metadata"),
        pytest.param(redirect("http://10.0.0.1/x"), "not safe", id="redirect-private"),
        pytest.param(redirect("//[::ffff:10.0.0.1]/"), "not safe", id="redirect-mapped"),
        pytest.param(redirect("file:///etc/passwd"), "not safe", id="redirect-file"),
        pytest.param(redirect("x://[::1"), "not safe", id="redirect-broken"),
        pytest.param(redirect("data:image/png;base64,AAAA"), "not safe", id="redirect-data"),
    ],
)
def test_what_no_repeat_can_mend_is_tried_once(
    host: Callable[..., Host], fetch: Fetch, answer: bytes, words: str
) -> None:
    """A wrong answer is an error at once, and nothing is repeated."""
    started = host(answer)
    with pytest.raises(DownloadError, match=words) as caught:
        fetch(quick(max_image_bytes=1000), started.link(), io.BytesIO())
    assert len(started.heads) == (4 if "redirect-to" in words or words == "redirected" else 1)
    assert caught.value.is_retryable is False


def endless(connection: socket.socket) -> None:
    """Send chunks without end."""
    connection.sendall(reply(b"", content_length=None, transfer_encoding="chunked"))
    connection.sendall(b"21\r\n" + PICTURE[:33] + b"\r\n")
    piece = b"\x7f\xff\xff\xffIDAT" + bytes(4088)
    while True:
        connection.sendall(b"1000\r\n" + piece + b"\r\n")


def test_an_endless_answer_ends_at_the_cap(host: Callable[..., Host]) -> None:
    """The cap holds against an answer that never says how long it is."""
    into = io.BytesIO()
    error = failure(quick(max_image_bytes=50_000), host(endless).link(), into)
    assert "larger than the 50,000 bytes" in str(error)
    assert len(into.getvalue()) <= 50_000


def drip(connection: socket.socket) -> None:
    """Send an image a byte at a time, slowly."""
    connection.sendall(reply(b"", content_length=len(PICTURE)))
    for byte in PICTURE:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def test_a_dripping_host_ends_at_the_deadline(host: Callable[..., Host], fetch: Fetch) -> None:
    """The deadline is one for the whole fetch, not a pause between bytes."""
    started = host(drip)
    with pytest.raises(DownloadError, match="did not come in time"):
        fetch(quick(timeout=0.3), started.link(), io.BytesIO())
    wait_until(lambda: started.heads)
    assert len(started.heads) == 1


def test_a_dripping_transport_ends_at_the_deadline() -> None:
    """The deadline holds for a transport without sockets too."""

    class Dripping(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            for byte in PICTURE:
                time.sleep(0.01)
                yield bytes([byte])

    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=Dripping()))
    fetcher = Fetcher(transport=transport, timeout=0.05, attempts=1)
    assert "in time" in str(failure(fetcher, "https://images.example/a.png"))


def test_a_transport_that_promises_more_is_found_out() -> None:
    """A body shorter than its Content-Length is an error, whichever transport brings it."""
    answer = httpx.Response(200, headers={"content-length": "999"}, content=PICTURE)
    fetcher = Fetcher(transport=httpx.MockTransport(lambda _: answer), sleep=lambda _: None)
    error = failure(fetcher, "https://images.example/a.png")
    assert f"{len(PICTURE)} of 999 bytes came" in str(error)


# Trying again


def hang_up(connection: socket.socket) -> None:
    """Close without an answer."""


def cut(connection: socket.socket) -> None:
    """Send half an image and close."""
    connection.sendall(reply()[:-20])


CORRUPT = bytes([*PICTURE[:45], PICTURE[45] ^ 1, *PICTURE[46:]])
PASSING = [
    pytest.param(hang_up, id="dropped"),
    pytest.param(cut, id="cut-short"),
    pytest.param(reply(CORRUPT), id="altered"),
    pytest.param(reply(PICTURE[:-12]), id="truncated"),
    pytest.param(reply(b""), id="empty"),
    pytest.param(reply(b"busy", "429 Too Many Requests"), id="429"),
    pytest.param(reply(b"", "500 Internal Server Error"), id="500"),
    pytest.param(reply(b"<html>", "502 Bad Gateway"), id="502"),
    pytest.param(reply(b"", "503 Service Unavailable"), id="503"),
    pytest.param(b"not HTTP at all\r\n\r\n", id="no-http"),
]


@pytest.mark.parametrize("failure", PASSING)
def test_failure_that_passes_is_waited_out(
    host: Callable[..., Host], fetch: Fetch, failure: Answer
) -> None:
    """A GET is free: it is repeated, and the file holds the good answer alone."""
    started, into = host(failure, failure, reply()), io.BytesIO()
    assert fetch(quick(), started.link(), into) == FACTS
    assert into.getvalue() == PICTURE
    assert len(started.heads) == 3


@pytest.mark.parametrize("bad", PASSING)
def test_failure_that_stays_ends(host: Callable[..., Host], bad: Answer) -> None:
    """After the given attempts the error says that the image exists, and how long."""
    started = host(bad)
    error = failure(quick(attempts=3), started.link())
    assert len(started.heads) == 3
    for words in ("paid for", "good until 2100-01-01 00:00 UTC", "Do not generate it again"):
        assert words in str(error)


def test_a_refused_connection_is_repeated() -> None:
    """Where nothing listens, every attempt is made and the error says why."""
    pauses: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    fetcher = quick(sleep=pauses.append, random=lambda: 1.0)
    assert "refused" in str(failure(fetcher, f"http://127.0.0.1:{port}/a.png"))
    assert pauses == [0.5, 1.0, 2.0]


@pytest.mark.parametrize(
    ("asked", "pauses"),
    [
        pytest.param("3", [3.0], id="seconds"),
        pytest.param("0", [0.25], id="zero"),
        pytest.param("soon", [0.25], id="no-number"),
        pytest.param("99999", [], id="beyond-the-deadline"),
        pytest.param("\u00b9", [0.25], id="superscript"),
    ],
)
def test_the_wait_is_what_the_host_asks_for(
    host: Callable[..., Host], asked: str, pauses: list[float]
) -> None:
    """`Retry-After` is respected where the deadline allows it; beyond, the fetch ends."""
    waited: list[float] = []
    busy = reply(b"", "503 Service Unavailable", retry_after=asked)
    fetcher = quick(sleep=waited.append, random=lambda: 0.5, attempts=2)
    error = failure(fetcher, host(busy).link())
    assert waited == pauses
    assert error.status_code == 503


# The link


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ("http://images.example/a.png", "not https"),
        ("ftp://images.example/a.png", "not https"),
        ("file:///etc/passwd", "not https"),
        ("gopher://127.0.0.1:6379/_FLUSHALL", "not https"),
        ("//images.example/a.png", "not https"),
        ("/etc/passwd", "not https"),
        ("javascript:alert(1)", "not https"),
        ("", "not https"),
        ("https://", "cannot be read"),
        ("https:///a.png", "cannot be read"),
        ("https://user:pass@images.example/a.png", "names a user"),
        ("https://images.example@127.0.0.1/a.png", "names a user"),
        ("https://127.0.0.1\\@images.example/", "names a user"),
        ("https://images.example:0/a.png", "cannot be read"),
        ("https://images.example:70000/a.png", "cannot be read"),
        ("https://images.example:x/a.png", "cannot be read"),
        ("https://pic tures.example/a.png", "cannot be read"),
        ("https://pic\r\ntures.example/a.png", "cannot be read"),
        ("https://-images.example/a.png", "cannot be read"),
        ("https://[::1/a.png", "cannot be read"),
        ("https://[::1%25lo]/a.png", "cannot be read"),
        ("https://\uff11\uff12\uff17.0.0.1/", "cannot be read"),
        ("https://" + "a" * 70_000 + "/", "cannot be read"),
        ("https://127.0.0.1/", "non-public"),
        ("https://127.1/", "in disguise"),
        ("https://0x7f000001/", "in disguise"),
        ("https://2130706433/", "in disguise"),
        ("https://0/", "in disguise"),
        ("https://localhost/", "non-public"),
        ("https://169.254.169.254/latest/meta-data/", "non-public"),
        ("https://[::ffff:169.254.169.254]/", "non-public"),
        ("https://[64:ff9b::a9fe:a9fe]/", "non-public"),
        ("https://[2002:a9fe:a9fe::]/", "non-public"),
        ("https://[fec0::1]/", "non-public"),
    ],
)
def test_hostile_links_are_refused_unsent(fetch: Fetch, link: str, words: str) -> None:
    """A link that is not a plain https link to a public host is refused before anything is sent."""
    fetcher = Fetcher(transport=httpx.MockTransport(never))
    with pytest.raises(DownloadError, match=words) as caught:
        fetch(fetcher, link, io.BytesIO())
    assert "not safe" in str(caught.value)
    assert "will not help" in str(caught.value)
    assert "pass@" not in str(caught.value)


def test_a_name_that_leads_inside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is judged by what it resolves to, once, and not repeated."""
    asked: list[str] = []

    def getaddrinfo(name: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(name)
        return [(0, 0, 0, "", ("10.0.0.1", port))]

    monkeypatch.setattr(_guard.socket, "getaddrinfo", getaddrinfo)
    error = failure(Fetcher(), f"https://images.example/a.png{SIGNED}")
    assert "leads to a non-public address, 10.0.0.1" in str(error)
    assert asked == ["images.example"]


def test_tls_is_for_the_name_and_not_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checked address is connected to, and the certificate must be the name's."""
    seen: list[object] = []

    class Stream(httpcore.MockStream):
        def start_tls(self, *args: object, **kwargs: object) -> httpcore.NetworkStream:
            seen.extend([*args, *kwargs.values()])
            return self

    def connect_tcp(_: object, address: str, *__: object, **___: object) -> httpcore.NetworkStream:
        seen.append(address)
        return Stream([reply()])

    def getaddrinfo(name: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(0, 0, 0, "", ("93.184.215.14", port))]

    monkeypatch.setattr(_guard.socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", connect_tcp)
    assert Fetcher().fetch("https://images.example/a.png", io.BytesIO()) == FACTS
    assert seen[0] == "93.184.215.14"
    assert "images.example" in seen


TARGETS = [
    "/a%2Fb.png?Signature=a%2Bb%3D&x=%7E~'|",
    "/a/../b/./c.png?x=1",
    "/%2e%2E/a%2fb.png?a=%2B&b=%2b",
    '/a.png?x="<>`{}^',
    "/a%20b.png?x=a%20b+c",
    "/?",
    "//x//y.png?&&=",
    "/a.png?u=http://other.example/?x=1",
]


@pytest.mark.parametrize("target", TARGETS)
def test_the_link_goes_out_byte_for_byte(host: Callable[..., Host], target: str) -> None:
    """Path and query reach the wire as they stand in the link, fragment excepted."""
    started = host(redirect("/hop" + target), reply())
    quick().fetch(started.link(target + "#part"), io.BytesIO())
    lines = [head.split(b"\r\n")[0] for head in started.heads]
    expected = [target, "/hop" + target]
    assert lines == [f"GET {sent} HTTP/1.1".encode() for sent in expected]


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#")))
def test_printable_targets_are_never_altered(rest: str) -> None:
    """Every printable character of a link's path and query stays as it is."""
    target = Target(f"https://images.example/{rest}", allow_loopback=False)
    assert target.url.raw_path == f"/{rest}".encode()


@given(st.text())
def test_any_text_is_a_target_or_refused(text: str) -> None:
    """Whatever stands for a link, the one thing that can happen is the one error."""
    fetcher = Fetcher(transport=httpx.MockTransport(lambda _: httpx.Response(404)))
    for link in (text, f"https://{text}", f"https://h/{text}", f"data:{text}"):
        with pytest.raises(DownloadError):
            fetcher.fetch(link, io.BytesIO())


def test_redirects_are_followed_thrice(host: Callable[..., Host]) -> None:
    """Three redirects are followed, to other hosts too; each is a new bare GET."""
    other = host(redirect("b.png"), reply())
    first = host(redirect("/x/y?q=1"), redirect(other.link("/deep/a.png?z=%2B")))
    assert quick().fetch(first.link(), io.BytesIO()) == FACTS
    assert [head.split()[1] for head in other.heads] == [b"/deep/a.png?z=%2B", b"/deep/b.png"]


def test_https_is_never_left(fetch: Fetch) -> None:
    """A redirect from https to http is refused, even where http is allowed."""
    answer = httpx.Response(302, headers={"location": "http://127.0.0.1/a.png"})
    fetcher = quick(transport=httpx.MockTransport(lambda _: answer))
    with pytest.raises(DownloadError, match="from https to http"):
        fetch(fetcher, "https://images.example/a.png", io.BytesIO())


def test_plain_http_goes_to_loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allowing loopback does not send a signed link over the network unencrypted."""

    def getaddrinfo(name: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(0, 0, 0, "", ("93.184.215.14", port))]

    monkeypatch.setattr(_guard.socket, "getaddrinfo", getaddrinfo)
    assert "plain http" in str(failure(quick(), "http://images.example/a.png"))


# Secrets


def test_nothing_but_a_bare_get_goes_out(
    host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No key, no credential, no cookie of an earlier answer, no type, no referer is sent."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("PIXAZO_API_KEY", "sk_live_secret")
    started = host(reply(set_cookie="a=b; Path=/"), redirect("/b.png"), reply())
    fetcher = quick()
    for _ in range(2):
        fetcher.fetch(started.link(), io.BytesIO())
    assert len(started.heads) == 3
    for head in started.heads:
        names = [line.split(b":")[0].lower() for line in head.splitlines()[1:]]
        assert sorted(names) == [b"accept", b"accept-encoding", b"host", b"user-agent"]
        assert b"accept-encoding: identity" in head.lower()
        assert b"secret" not in head.replace(SIGNATURE.encode(), b"")


def echo_signature(connection: socket.socket) -> None:
    """Quote the whole link in a body, as OSS does when a signature does not match."""
    body = f"<Error><Code>{SIGNATURE[:15]}</Code><X>{SIGNED}</X></Error>".encode()
    connection.sendall(reply(body, "403 Forbidden", x_echo=SIGNED))


def echo_in_status(connection: socket.socket) -> None:
    """Quote the whole link where HTTP should stand."""
    connection.sendall(f"{SIGNED}\r\n\r\n".encode())


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(reply(), id="good"),
        pytest.param(redirect(f"/b.png{SIGNED}"), id="redirect"),
        pytest.param(redirect(f"http://10.0.0.1/b.png{SIGNED}"), id="redirect-inside"),
        pytest.param(redirect(f"http://x y/{SIGNED}"), id="redirect-nonsense"),
        pytest.param(echo_signature, id="echo-in-body"),
        pytest.param(echo_in_status, id="echo-in-status"),
        pytest.param(hang_up, id="dropped"),
        pytest.param(reply(b"", "500 Oh"), id="500"),
    ],
)
def test_a_signature_reaches_no_log_and_no_traceback(
    host: Callable[..., Host], caplog: pytest.LogCaptureFixture, answer: Answer
) -> None:
    """At DEBUG of every logger, and in the whole traceback, a link stands without its query."""
    caplog.set_level(logging.DEBUG)
    shown, error = "", None
    try:
        quick(attempts=2).fetch(host(answer).link(), io.BytesIO())
    except DownloadError as raised:
        shown, error = "".join(traceback.format_exception(raised)) + repr(raised), raised
    assert error is None or error.__cause__ is error.__context__ is None
    logged = caplog.text + "".join(str(record.args) for record in caplog.records)
    assert "fetching 127.0.0.1" in logged
    assert SIGNATURE[:12] not in shown + logged


def test_a_target_shows_itself_without_its_query() -> None:
    """The repr of what holds a link holds no query."""
    target = Target(f"https://images.example/a.png{SIGNED}", allow_loopback=False)
    assert SIGNATURE[:12] not in repr(target) + repr(target.url)
    assert place(f"https://me:secret@h/a\x1b.png{SIGNED}") == "h/a.png"


# Expiry

EXPIRED_XML = (
    b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>'
    b"<Message>Request has expired.</Message></Error>"
)


def link_until(moment: datetime) -> str:
    """Return the target of a link that says it dies then."""
    return f"/a.png?Expires={int(moment.timestamp())}&Signature=x"


@pytest.mark.parametrize(
    ("answer", "dead", "words"),
    [
        pytest.param(reply(EXPIRED_XML, "403 Forbidden"), True, "expired at", id="xml-and-past"),
        pytest.param(reply(EXPIRED_XML, "403 Forbidden"), False, "expired at", id="xml-alone"),
        pytest.param(reply(b"", "403 Forbidden"), True, "expired at", id="past-alone"),
        pytest.param(reply(b"", "404 Not Found"), True, "expired at", id="gone-and-past"),
        pytest.param(reply(b"", "403 Forbidden"), False, "is good until", id="other-403"),
        pytest.param(reply(b"", "418 Teapot"), True, "was good until", id="other-and-past"),
    ],
)
def test_an_expired_link_says_so_and_when(
    host: Callable[..., Host], answer: bytes, dead: bool, words: str
) -> None:
    """Expiry is told from OSS's XML or the link itself, with its time; nothing is repeated."""
    started = host(answer)
    moment = datetime.now(UTC) + timedelta(hours=-1 if dead else 1)
    error = failure(quick(), started.link(link_until(moment)))
    assert f"{words} {moment:%Y-%m-%d %H:%M} UTC" in str(error)
    assert error.status_code == int(answer.split()[1])
    assert len(started.heads) == 1


def test_a_link_without_expiry_says_what_upstream_keeps(host: Callable[..., Host]) -> None:
    """A link that names no end is told to be fetched soon."""
    error = failure(quick(), host(reply(EXPIRED_XML[:-9], "400 Bad")).link("/a.png"))
    assert "400 AccessDenied" in str(error)
    assert "24 hours" in str(error)


# data: URIs

DATA = [
    pytest.param("data:image/png;base64," + base64.b64encode(PICTURE).decode(), id="base64"),
    pytest.param(
        "DATA:image/jpeg;BASE64," + base64.urlsafe_b64encode(PICTURE).decode().rstrip("="),
        id="url-safe-unpadded",
    ),
    pytest.param(
        "data:;base64," + base64.b64encode(PICTURE).decode().replace("=", "%3D"), id="escaped"
    ),
    pytest.param("data:image/png," + "".join(f"%{byte:02x}" for byte in PICTURE), id="percent"),
]


@pytest.mark.parametrize("uri", DATA)
def test_inline_images_are_decoded_in_place(fetch: Fetch, uri: str) -> None:
    """A `data:` URI of either encoding gives its image without a request."""
    into = io.BytesIO()
    assert fetch(Fetcher(transport=httpx.MockTransport(never)), uri, into) == FACTS
    assert into.getvalue() == PICTURE


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        pytest.param("data:image/png;base64", "without data", id="no-data"),
        pytest.param("data:image/png;base64,A", "cannot be decoded", id="bad-base64"),
        pytest.param("data:image/png;base64,iVBORw0KGgo=", "not whole", id="cut"),
        pytest.param("data:text/html,<html>", "XML or HTML", id="html"),
        pytest.param("data:;base64," + "A" * 8000, "larger than", id="large"),
        pytest.param("data:," + png(bytes(2000)).decode("latin-1"), "larger than", id="decoded"),
    ],
)
def test_inline_images_are_checked_like_others(uri: str, words: str) -> None:
    """A `data:` URI that is no whole image under the cap is refused, and not quoted."""
    error = failure(Fetcher(max_image_bytes=1900), uri)
    assert words in str(error)
    assert len(str(error)) < 400


@given(st.binary())
def test_inline_encodings_agree(data: bytes) -> None:
    """Base64 and percent-encoding bring back the same bytes."""
    for uri in (
        "data:;base64," + base64.b64encode(data).decode(),
        "data:," + "".join(f"%{byte:02X}" for byte in data),
    ):
        assert decode_inline(uri) == data


# Connections, threads, processes


def test_connections_are_used_again(host: Callable[..., Host], slow_clock: None) -> None:
    """Images fetched one after the other share a connection; closing is allowed any time."""
    started, fetcher = host(reply()), quick()
    for _ in range(3):
        fetcher.fetch(started.link(), io.BytesIO())
    assert started.connections == 1
    fetcher.close()
    fetcher.fetch(started.link(), io.BytesIO())
    assert started.connections == 2


def test_a_forgotten_fetcher_leaves_no_socket(host: Callable[..., Host]) -> None:
    """A fetcher that is dropped closes its connections by itself."""
    fetcher = quick()
    fetcher.fetch(host(reply()).link(), io.BytesIO())
    before = len(list(Path("/dev/fd").iterdir()))
    del fetcher
    gc.collect()
    assert len(list(Path("/dev/fd").iterdir())) < before


def test_many_at_once_share_few_connections(host: Callable[..., Host], slow_clock: None) -> None:
    """Any number of fetches may be asked for at once; a few run at a time."""
    started, fetcher = host(reply()), quick()
    files = [io.BytesIO() for _ in range(60)]

    async def all_of_them() -> list[ImageInfo]:
        return await asyncio.gather(
            *(in_thread(fetcher.fetch, started.link(), file) for file in files)
        )

    assert asyncio.run(all_of_them()) == [FACTS] * 60
    assert started.connections <= 8
    assert all(file.getvalue() == PICTURE for file in files)


def test_a_cancelled_fetch_goes_on_to_its_end(host: Callable[..., Host]) -> None:
    """Cancelling the task that waits does not lose a paid image, nor does closing the loop."""
    asked, go_on, into = threading.Event(), threading.Event(), io.BytesIO()

    def wait(connection: socket.socket) -> None:
        asked.set()
        go_on.wait(IDLE_SECONDS)
        connection.sendall(reply())

    started, fetcher = host(wait), quick()

    async def cancelled() -> None:
        task = asyncio.create_task(in_thread(fetcher.fetch, started.link(), into))
        await asyncio.to_thread(asked.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    go_on.set()
    wait_until(lambda: into.getvalue() == PICTURE)


def test_the_loop_is_not_blocked(host: Callable[..., Host]) -> None:
    """While an image is on its way the event loop goes on with other work."""
    go_on = threading.Event()

    def wait(connection: socket.socket) -> None:
        go_on.wait(IDLE_SECONDS)
        connection.sendall(reply())

    started, fetcher = host(wait), quick()

    async def both() -> ImageInfo:
        task = asyncio.create_task(in_thread(fetcher.fetch, started.link(), io.BytesIO()))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not task.done()
        go_on.set()
        return await task

    assert asyncio.run(both()) == FACTS


FORKED = """
import asyncio, io, os, sys
from langchain_qwen_image.concurrency.threads import in_thread
from langchain_qwen_image.download.fetcher import Fetcher
fetcher, url = Fetcher(allow_loopback=True), sys.argv[1]
asyncio.run(in_thread(fetcher.fetch, url, io.BytesIO()))
child = os.fork()
image = asyncio.run(in_thread(fetcher.fetch, url, io.BytesIO()))
if child:
    assert os.waitpid(child, 0)[1] == 0
print(image.size_bytes)
"""


def test_a_forked_child_fetches_too(host: Callable[..., Host]) -> None:
    """Parent and child go on with one fetcher, each with connections and threads of its own."""
    started = host(reply())
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", FORKED, started.link()],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert (done.stdout, done.stderr) == (f"{len(PICTURE)}\n" * 2, "")
    assert started.connections == 2


def test_a_full_disk_is_the_callers(host: Callable[..., Host], fetch: Fetch) -> None:
    """An error of the file passes through; it is not retried and not mistaken for the host's."""

    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(28, "No space left on device")

    started = host(reply())
    with pytest.raises(OSError, match="No space left"):
        fetch(quick(), started.link(), Full())
    assert len(started.heads) == 1


# Proxies and cassettes


def test_a_proxy_of_the_environment_is_used(
    host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain http goes through the proxy in whole, byte for byte."""
    proxy = host(reply())
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    assert quick().fetch("http://127.0.0.1:9/a/../b.png?x=%2B", io.BytesIO()) == FACTS
    assert proxy.heads[0].startswith(b"GET http://127.0.0.1:9/a/../b.png?x=%2B HTTP/1.1")


def test_a_proxy_may_be_on_loopback_and_its_refusal_is_failure(
    host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard does not judge the proxy; addresses in the link are judged all the same."""
    proxy = host(reply(b"", "403 Forbidden"))
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    fetcher = Fetcher(sleep=lambda _: None, attempts=2)
    assert "proxy" in str(failure(fetcher, f"https://images.example/a.png{SIGNED}"))
    assert [head.split()[:2] for head in proxy.heads] == [[b"CONNECT", b"images.example:443"]] * 2
    assert "non-public" in str(failure(fetcher, "https://10.0.0.1/a.png"))
    assert len(proxy.heads) == 2
    assert b"sandbox" not in b"".join(proxy.heads)


def test_an_impossible_proxy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxy settings that httpx cannot use are a `DownloadError`, and not quoted."""
    monkeypatch.setenv("ALL_PROXY", "gopher://me:secret@proxy.example")
    error = failure(Fetcher(), "https://images.example/a.png")
    assert "proxy that cannot be used" in str(error)
    assert "secret" not in str(error)


def test_a_cassette_plays_without_network(
    host: Callable[..., Host], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What pytest-recording records is played back without a lookup or a connection."""
    started = host(reply())
    cassette = str(tmp_path / "image.yaml")
    with vcr.use_cassette(cassette, record_mode="once"):
        assert quick().fetch(started.link(), io.BytesIO()) == FACTS
    started.close()
    monkeypatch.setattr(_guard.socket, "getaddrinfo", never)
    with vcr.use_cassette(cassette, record_mode="none") as played:
        into = io.BytesIO()
        assert quick().fetch(started.link(), into) == FACTS
        assert played.play_count == 1
    assert into.getvalue() == PICTURE
