"""Fetching images from a host that may be hostile, over real sockets on loopback."""

import asyncio
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
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import image_host
import pytest
import vcr
from image_host import (
    FACTS,
    IDLE_SECONDS,
    IMAGE,
    SIGNATURE,
    SIGNED,
    Answer,
    Fetch,
    Host,
    failure,
    never,
    png,
    quick,
    redirect,
    reply,
)
from waiting import wait_until

from langchain_qwen_image.concurrency.threads import in_thread
from langchain_qwen_image.download import ssrf
from langchain_qwen_image.download.fetcher import Fetcher, ImageInfo
from langchain_qwen_image.download.url import Target, place
from langchain_qwen_image.errors import DownloadError

host = image_host.host
fetch = image_host.fetch


# What comes


def test_an_image_arrives_unmodified(host: Callable[..., Host], fetch: Fetch) -> None:
    """The bytes are saved as they came, and the facts are those of the bytes."""
    into = io.BytesIO(b"what was there before, and longer than the image" * 9)
    assert fetch(quick(), host(reply()).link(), into) == FACTS
    assert into.getvalue() == IMAGE


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(reply(content_length=None, connection="close"), id="no-length"),
        pytest.param(
            reply(
                b"%x\r\n%s\r\n0\r\n\r\n" % (len(IMAGE), IMAGE),
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
        pytest.param(reply(IMAGE, "206 Partial Content"), "answered 206", id="partial"),
        pytest.param(redirect(""), "redirected", id="redirect-to-itself"),
        pytest.param(redirect("http://169.254.169.254/x"), "not safe", id="redirect-metadata"),
        pytest.param(redirect("http://10.0.0.1/x"), "not safe", id="redirect-private"),
        pytest.param(redirect("//[::ffff:10.0.0.1]/"), "not safe", id="redirect-mapped"),
        pytest.param(redirect("file:///etc/passwd"), "not safe", id="redirect-file"),
        pytest.param(redirect("x://[::1"), "not safe", id="redirect-broken"),
        pytest.param(redirect("data:image/png;base64,AAAA"), "not safe", id="redirect-data"),
    ],
)
def test_what_no_repeat_can_fix_is_tried_once(
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
    connection.sendall(b"21\r\n" + IMAGE[:33] + b"\r\n")
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
    connection.sendall(reply(b"", content_length=len(IMAGE)))
    for byte in IMAGE:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def test_a_dripping_host_ends_at_the_deadline(host: Callable[..., Host], fetch: Fetch) -> None:
    """The deadline is one for the whole fetch, not a pause between bytes."""
    started = host(drip)
    with pytest.raises(DownloadError, match="download took too long"):
        fetch(quick(timeout=0.3), started.link(), io.BytesIO())
    wait_until(lambda: started.heads)
    assert len(started.heads) == 1


def test_a_dripping_transport_ends_at_the_deadline() -> None:
    """The deadline holds for a transport without sockets too."""

    class Dripping(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            for byte in IMAGE:
                time.sleep(0.01)
                yield bytes([byte])

    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=Dripping()))
    fetcher = Fetcher(transport=transport, timeout=0.05, attempts=1)
    assert "took too long" in str(failure(fetcher, "https://images.example/a.png"))


def test_a_transport_that_promises_more_is_found_out() -> None:
    """A body shorter than its Content-Length is an error, whichever transport brings it."""
    answer = httpx.Response(200, headers={"content-length": "999"}, content=IMAGE)
    fetcher = Fetcher(transport=httpx.MockTransport(lambda _: answer), sleep=lambda _: None)
    error = failure(fetcher, "https://images.example/a.png")
    assert f"{len(IMAGE)} of 999 bytes came" in str(error)


# Trying again


def hang_up(connection: socket.socket) -> None:
    """Close without an answer."""


def cut(connection: socket.socket) -> None:
    """Send half an image and close."""
    connection.sendall(reply()[:-20])


CORRUPT = bytes([*IMAGE[:45], IMAGE[45] ^ 1, *IMAGE[46:]])
PASSING = [
    pytest.param(hang_up, id="dropped"),
    pytest.param(cut, id="cut-short"),
    pytest.param(reply(CORRUPT), id="altered"),
    pytest.param(reply(IMAGE[:-12]), id="truncated"),
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
    assert into.getvalue() == IMAGE
    assert len(started.heads) == 3


@pytest.mark.parametrize("bad", PASSING)
def test_failure_that_stays_ends(host: Callable[..., Host], bad: Answer) -> None:
    """After the given attempts the error says that the image exists, and how long."""
    started = host(bad)
    error = failure(quick(attempts=3), started.link())
    assert len(started.heads) == 3
    for words in ("paid for", "valid until 2100-01-01 00:00 UTC", "Do not generate it again"):
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
    """At DEBUG of every logger, and in the whole traceback, a link has no query."""
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
    """Return the target of a link that says it expires then."""
    return f"/a.png?Expires={int(moment.timestamp())}&Signature=x"


@pytest.mark.parametrize(
    ("answer", "dead", "words"),
    [
        pytest.param(reply(EXPIRED_XML, "403 Forbidden"), True, "expired at", id="xml-and-past"),
        pytest.param(reply(EXPIRED_XML, "403 Forbidden"), False, "expired at", id="xml-alone"),
        pytest.param(reply(b"", "403 Forbidden"), True, "expired at", id="past-alone"),
        pytest.param(reply(b"", "404 Not Found"), True, "expired at", id="gone-and-past"),
        pytest.param(reply(b"", "403 Forbidden"), False, "is valid until", id="other-403"),
        pytest.param(reply(b"", "418 Teapot"), True, "was valid until", id="other-and-past"),
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
    assert all(file.getvalue() == IMAGE for file in files)


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
    wait_until(lambda: into.getvalue() == IMAGE)


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


# Python 3.12 and later warn of any fork beside threads; this one is asked for.
_WARNINGS = ("-W", "error::ResourceWarning", "-W", "ignore:This process:DeprecationWarning")
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
        [sys.executable, *_WARNINGS, "-c", FORKED, started.link()],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert (done.stdout, done.stderr) == (f"{len(IMAGE)}\n" * 2, "")
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


# Cassettes


def test_a_cassette_plays_without_network(
    host: Callable[..., Host], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What pytest-recording records is played back without a lookup or a connection."""
    started = host(reply())
    cassette = str(tmp_path / "image.yaml")
    with vcr.use_cassette(cassette, record_mode="once"):
        assert quick().fetch(started.link(), io.BytesIO()) == FACTS
    started.close()
    monkeypatch.setattr(ssrf.socket, "getaddrinfo", never)
    with vcr.use_cassette(cassette, record_mode="none") as played:
        into = io.BytesIO()
        assert quick().fetch(started.link(), into) == FACTS
        assert played.play_count == 1
    assert into.getvalue() == IMAGE
