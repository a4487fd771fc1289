"""A host of images on loopback, what it may answer, and a fetcher that asks it."""

import asyncio
import io
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from hashlib import sha256
from typing import BinaryIO

import httpcore
import httpx
import pytest

from langchain_qwen_image.concurrency.threads import in_thread
from langchain_qwen_image.download.fetcher import Fetcher, ImageInfo
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


IMAGE = png()
FACTS = ImageInfo("image/png", ".png", 5, 4, len(IMAGE), sha256(IMAGE).hexdigest())


def reply(body: bytes = IMAGE, status: str = "200 OK", **headers: object) -> bytes:
    """Return an answer on the wire; a header of None is left out."""
    fields = {"content_type": "image/png", "content_length": len(body)} | headers
    lines = [f"{k.replace('_', '-')}: {v}\r\n" for k, v in fields.items() if v is not None]
    return f"HTTP/1.1 {status}\r\n{''.join(lines)}\r\n".encode() + body


def redirect(location: str, status: str = "302 Found") -> bytes:
    """Return an answer that leads elsewhere."""
    return reply(b"", status, location=location)


class Host:
    """A host of images that plays answers in order, the last one again and again."""

    def __init__(self, *answers: Answer, tls: ssl.SSLContext | None = None) -> None:
        """Listen on a free port of loopback."""
        self.answers = answers
        self.certificates: list[object] = []
        self._tls = tls
        self.heads: list[bytes] = []
        self.connections = 0
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"
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
        with suppress(OSError), self._secured(connection) as stream, _reader(stream) as reader:
            while head := b"".join(_lines(reader)):
                self.heads.append(head)
                answer = self.answers[min(len(self.heads), len(self.answers)) - 1]
                if callable(answer):
                    answer(stream)
                    return
                stream.sendall(answer)

    def _secured(self, connection: socket.socket) -> socket.socket:
        if self._tls is None:
            return connection
        secured = self._tls.wrap_socket(connection, server_side=True)
        self._open.append(secured)
        self.certificates.append(secured.getpeercert(binary_form=True))
        return secured


def _reader(connection: socket.socket) -> BinaryIO:
    return connection.makefile("rb")


def _lines(reader: BinaryIO) -> Iterator[bytes]:
    while (line := reader.readline()).strip():
        yield line


@pytest.fixture
def host() -> Iterator[Callable[..., Host]]:
    """Start hosts that end with the test."""
    with ExitStack() as stack:

        def start(*answers: Answer, tls: ssl.SSLContext | None = None) -> Host:
            started = Host(*answers, tls=tls)
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


class Internet:
    """A network below the guard: it resolves names, and every host on it plays the same answers.

    Attributes:
        names: Addresses that names resolve to; others are unknown.
        asked: Names that were looked up.
        connected: Addresses and ports that were connected to.
        tls_names: Names that certificates must be for.
        sent: What was written to the hosts.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: bytes) -> None:
        """Take the place of name lookups and connections until the test ends."""
        self.names: dict[str, list[str]] = {"images.example": ["93.184.215.14"]}
        self.asked: list[str] = []
        self.connected: list[tuple[str, int]] = []
        self.tls_names: list[object] = []
        self.sent: list[bytes] = []
        self._answers = list(answers or [reply()])
        monkeypatch.setattr(socket, "getaddrinfo", self._getaddrinfo)
        monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", self._connect_tcp)

    def _getaddrinfo(self, name: str, port: int, **_: object) -> list[tuple[object, ...]]:
        self.asked.append(name)
        if name not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(0, 0, 0, "", (address, port)) for address in self.names[name]]

    def _connect_tcp(self, address: str, port: int, *_: object) -> httpcore.NetworkStream:
        self.connected.append((address, port))
        return _Stream(self, self._answers[min(len(self.connected), len(self._answers)) - 1])


class _Stream(httpcore.MockStream):
    def __init__(self, internet: Internet, answer: bytes) -> None:
        super().__init__([answer])
        self._internet = internet

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._internet.sent.append(buffer)

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        self._internet.tls_names.append(server_hostname)
        return self
