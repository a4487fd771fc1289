"""Read HTTP/1.1 requests from a connection, and write the heads of answers."""

import asyncio
import http
from dataclasses import dataclass

from langchain_qwen_image.sandbox.answer import Answer, text_answer

_LARGEST_BODY_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class IncomingRequest:
    """Hold one request, or the refusal of one whose body cannot be read."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""
    error_body: Answer | None = None

    @property
    def keep_alive(self) -> bool:
        """Return whether another request may follow on this connection."""
        return self.error_body is None and self.headers.get("connection", "").lower() != "close"


async def read_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> IncomingRequest | None:
    """Read one request; return None when the peer has closed or does not speak HTTP."""
    try:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
        return None
    headers = dict(_header(line) for line in lines[1:] if line)
    length = headers.get("content-length", "0")
    if "transfer-encoding" in headers or not (length.isascii() and length.isdigit()):
        error_body = text_answer(411, "The sandbox wants a Content-Length.")
        return IncomingRequest(method, target, headers, error_body=error_body)
    if int(length) > _LARGEST_BODY_BYTES:
        error_body = text_answer(413, "The sandbox takes at most 8 MiB.")
        return IncomingRequest(method, target, headers, error_body=error_body)
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        body = await reader.readexactly(int(length))
    except asyncio.IncompleteReadError:
        return None
    return IncomingRequest(method, target, headers, body)


def head(answer: Answer) -> bytes:
    """Return the status line and the headers of an answer, with the empty line."""
    reason = http.HTTPStatus(answer.status).phrase
    lines = [f"HTTP/1.1 {answer.status} {reason}"]
    lines += [f"{name}: {value}" for name, value in answer.all_headers().items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip().lower(), value.strip()
