"""A bucket of a local S3 server for each test: moto, one process for a session's worker.

The network block does not see the sockets of `obstore`, which is no Python. So its endpoint is set
to loopback, instance metadata too, and what the developer has in `AWS_…` is cleared.
"""

import http.client
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

KEY_ID = "AKIDOFTESTS"
SECRET = "s3cret/of+tests"
_SERVE = """
import logging, sys
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer
logging.disable(logging.CRITICAL)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
s3_backends["123456789012"]["aws"].create_bucket("images", "us-east-1")
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()  # it ends with who started it, however that ends
"""


class Asked(NamedTuple):
    """A request that came to the gate; `condition` is its If-None-Match."""

    method: str
    target: str
    condition: str | None
    content_type: str | None


Answer = tuple[int, str] | str | None
"""A status with a body that is answered in place of the server's; `lose` for its answer lost after
the server did what was asked; None for the server's own."""


class Gate:
    """Stands before the server: sees what is asked, and answers otherwise where it is told to."""

    def __init__(self, server: str) -> None:
        self.requests: list[Asked] = []
        self.rule: Callable[[Asked], Answer] = lambda asked: None
        target = urlsplit(server)
        gate = self

        class _Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                asked = Asked(
                    self.command,
                    self.path,
                    self.headers.get("If-None-Match"),
                    self.headers.get("Content-Type"),
                )
                gate.requests.append(asked)
                answer = gate.rule(asked)
                if isinstance(answer, tuple):
                    headers = {"Content-Type": "application/xml", "ETag": '"0"'}
                    self._reply(answer[0], headers, answer[1].encode())
                    return
                client = http.client.HTTPConnection(target.hostname or "", target.port, timeout=60)
                client.request(self.command, self.path, body, dict(self.headers))
                given = client.getresponse()
                content = given.read()
                client.close()
                if answer == "lose":
                    self.close_connection = True
                    return
                headers = dict(given.getheaders())
                self._reply(given.status, headers, content)

            def _reply(self, status: int, headers: dict[str, str], content: bytes) -> None:
                self.send_response(status)
                length = headers.get("Content-Length", str(len(content)))
                for name, value in headers.items():
                    if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                        self.send_header(name, value)
                self.send_header("Content-Length", length)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        serve = partial(self._server.serve_forever, poll_interval=0.02)
        self._thread = threading.Thread(target=serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def asked(self, method: str) -> list[str]:
        """Return the targets of the requests of a method."""
        return [one.target for one in self.requests if one.method == method]

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="session")
def bucket_server() -> Iterator[str]:
    """Serve S3 on loopback, with a bucket `images`; the address."""
    program = [sys.executable, "-c", _SERVE]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(program, text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


@pytest.fixture
def bucket(bucket_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the address of an empty prefix, and let `obstore` ask the server on loopback."""
    use_server(bucket_server, monkeypatch)
    return f"s3://images/{uuid.uuid4().hex}"


@pytest.fixture
def gate(bucket: str, bucket_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Stand before the server of `bucket`."""
    gate = Gate(bucket_server)
    monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)
    try:
        yield gate
    finally:
        gate.close()


def use_server(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set what `obstore` reads, so that it asks nothing but this server."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
