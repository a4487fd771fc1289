"""A gateway on loopback, in a process of its own, that answers each client in its own format.

It does as little as can be, so that it is not what is measured: no parsing of bodies, fixed
answers. `POST /control` sets how it behaves and clears its counts, `GET /counts` gives them.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any

from langchain_qwen_image.sandbox import draw_plain

PICTURE_BYTES = 1_300_000

OURS = "/qwen-image/v1/generateMultimodeTextToImageRequest"
OPENAI = "/v1/images/generations"
DASHSCOPE = "/api/v1/services/aigc/multimodal-generation/generation"


class Gateway:
    """What all connections share.

    Attributes:
        latency: Seconds that an answer to a POST takes.
        fault: `timeout` (no answer), `reset` (after the request was read), `500`, `504`, or none.
    """

    def __init__(self) -> None:
        """Answer at once, and well."""
        self.latency = 0.0
        self.fault: str | None = None
        self.counts = {"posts": 0, "accepts": 0, "at_once": 0, "most_at_once": 0}
        self.answers: dict[str, bytes] = {}

    def serve_at(self, port: int) -> None:
        """Make the answers, whose links lead here."""
        link = f"http://127.0.0.1:{port}/image.png"
        message = {"role": "assistant", "content": [{"image": link}]}
        document = {
            "output": {
                "choices": [{"finish_reason": "stop", "message": message}],
                "task_metric": {"TOTAL": 1, "FAILED": 0, "SUCCEEDED": 1},
            },
            "usage": {"width": 1328, "image_count": 1, "height": 1328},
            "request_id": "7a270c86-db58-9faf-b403-000000000000",
        }
        self.answers = {
            OURS: _http(200, json.dumps(document).encode()),
            DASHSCOPE: _http(200, json.dumps(document).encode()),
            OPENAI: _http(200, json.dumps({"created": 1, "data": [{"url": link}]}).encode()),
            "/image.png": _http(200, _picture(), "image/png"),
        }

    def control(self, body: bytes) -> bytes:
        """Behave as told, and count anew."""
        told = json.loads(body)
        self.latency, self.fault = told["latency"], told["fault"]
        self.counts |= {"posts": 0, "accepts": 0, "most_at_once": 0}
        return _http(200, b"{}")


class Connection(asyncio.Protocol):
    """One connection: requests in, answers out, in order."""

    def __init__(self, gateway: Gateway) -> None:
        """Belong to a gateway."""
        self._gateway = gateway
        self._data = b""

    def connection_made(self, transport: Any) -> None:
        """Count it."""
        self._transport = transport
        self._gateway.counts["accepts"] += 1

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:end]
            length = _content_length(head)
            if len(self._data) < end + 4 + length:
                return
            body = self._data[end + 4 : end + 4 + length]
            self._data = self._data[end + 4 + length :]
            method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
            self._answer(method, target, body)

    def _answer(self, method: str, target: str, body: bytes) -> None:
        gateway = self._gateway
        if target == "/control":
            self._transport.write(gateway.control(body))
        elif target == "/counts":
            self._transport.write(_http(200, json.dumps(gateway.counts).encode()))
        elif method == "GET":
            self._transport.write(gateway.answers[target])
        else:
            counts = gateway.counts
            counts["posts"] += 1
            counts["at_once"] += 1
            counts["most_at_once"] = max(counts["most_at_once"], counts["at_once"])
            asyncio.get_running_loop().call_later(gateway.latency, self._finish, target)

    def _finish(self, target: str) -> None:
        gateway = self._gateway
        gateway.counts["at_once"] -= 1
        if gateway.fault == "timeout" or self._transport.is_closing():
            return
        if gateway.fault == "reset":
            self._transport.abort()
        elif gateway.fault:
            self._transport.write(_http(int(gateway.fault), b'{"error": "no"}'))
        else:
            self._transport.write(gateway.answers[target])


class Remote:
    """The gateway as the benchmarks see it, from their own process."""

    def __init__(self, base_url: str) -> None:
        """Know where it is."""
        self.base_url = base_url

    def set(self, *, latency: float = 0.0, fault: str | None = None) -> None:
        """Say how it is to behave from now on, and clear its counts; latency in seconds."""
        told = json.dumps({"latency": latency, "fault": fault}).encode()
        urllib.request.urlopen(f"{self.base_url}/control", told, 10).close()

    def counts(self) -> dict[str, int]:
        """Return what it counted: POSTs, connections but for this one, most requests at once."""
        with urllib.request.urlopen(f"{self.base_url}/counts", None, 10) as answer:
            counts: dict[str, int] = json.load(answer)
        counts["accepts"] -= 1
        return counts


@contextlib.contextmanager
def running() -> Iterator[Remote]:
    """Run a gateway in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.gateway"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Remote(process.stdout.readline().strip())
        finally:
            process.terminate()


def _http(status: int, body: bytes, kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status} Said\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line[:15].lower() == b"content-length:":
            return int(line[15:])
    return 0


def _picture() -> bytes:
    return draw_plain(
        "", size=(1328, 1328), watermark=False, seed_text="", weight_bytes=PICTURE_BYTES
    )


async def _serve() -> None:
    gateway = Gateway()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(gateway), "127.0.0.1", 0, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    gateway.serve_at(port)
    print(f"http://127.0.0.1:{port}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve())
