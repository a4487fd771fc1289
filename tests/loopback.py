"""A server on loopback that keeps what it receives, byte for byte, and says what it is told."""

import contextlib
import json
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

Answer = bytes | Callable[[bytes], bytes]

LINK = "https://images.example/a.png?Expires=1799999999&OSSAccessKeyId=k&Signature=s%2Bt%3D"
SUCCESS = {
    "output": {
        "choices": [
            {
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": [{"image": LINK}]},
            }
        ],
        "task_metric": {"TOTAL": 1, "FAILED": 0, "SUCCEEDED": 1},
    },
    "usage": {"width": 1328, "image_count": 1, "height": 1328},
    "request_id": "7a270c86-db58-9faf-b403-000000000000",
}


def answer(status: int = 200, body: object = SUCCESS, **headers: str) -> bytes:
    """Return an HTTP answer; `_` in the name of a header stands for `-`."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + content


class LoopbackServer:
    """Answer each request with the next answer, the last one for ever, until closed.

    An answer that is a function gets the request and gives the bytes; empty bytes close the
    connection. With a TLS context it serves https; with `tunnels` it is a proxy that opens a
    tunnel at CONNECT and is the gateway at its end too. With `hangs_up` it closes each connection
    after one answer, without having said so.
    """

    def __init__(
        self,
        *answers: Answer,
        tls: ssl.SSLContext | None = None,
        tunnels: bool = False,
        hangs_up: bool = False,
    ) -> None:
        """Bind a free port and start to serve."""
        self._answers = answers or (answer(),)
        self._tls = tls
        self._tunnels = tunnels
        self._hangs_up = hangs_up
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self.requests: list[bytes] = []
        self.accepts = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        scheme = "https" if tls and not tunnels else "http"
        self.base_url = f"{scheme}://127.0.0.1:{self.port}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def posts(self) -> list[bytes]:
        """Return the POSTs received."""
        return [request for request in self.requests if request.startswith(b"POST ")]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.accepts += 1
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), self._saved(connection):
            if self._tls and not self._tunnels:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with self._saved(connection):
                self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        while request := _read_request(connection):
            with self._lock:
                number = len(self.requests)
                self.requests.append(request)
            if self._tunnels and self._tls and request.startswith(b"CONNECT "):
                connection.sendall(b"HTTP/1.1 200 Go\r\n\r\n")
                connection = self._tls.wrap_socket(connection, server_side=True)
                with self._saved(connection):
                    return self._converse(connection)
            said = self._answers[min(number, len(self._answers) - 1)]
            content = said(request) if callable(said) else said
            if not content:
                return None
            connection.sendall(content)
            if self._hangs_up:
                return None
        return None

    @contextlib.contextmanager
    def _saved(self, connection: socket.socket):
        with self._lock:
            self._open.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()


def reset(connection: socket.socket) -> None:
    """Close a connection with RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (
            int(line.partition(b":")[2])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        ),
        0,
    )
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def self_signed(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Return a server's context with a certificate of its own making, and that certificate."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl makes the certificate, and is not installed")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-days", "2", "-subj", "/CN=loopback", "-keyout", key, "-out", certificate),
            *("-addext", "subjectAltName=IP:127.0.0.1,DNS:gateway.test"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate
