"""Read HTTP/1.1 requests from a connection, and write the heads of answers.

What cannot be read is answered, not cut off: a person who tries something out should see why.
"""

import asyncio
import contextlib
import http
import ipaddress
import re
from dataclasses import dataclass, field, replace
from email.utils import formatdate

from langchain_qwen_image.sandbox.answer import Answer, text_answer

_LARGEST_BODY_BYTES = 1024 * 1024
"""A request of the API is a few KiB."""
_LARGEST_REFUSED_BYTES = 64 * 1024 * 1024
_REFUSED_SECONDS = 5.0
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9.-]*)(?::[0-9]*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class IncomingRequest:
    """Hold one request, or the refusal of one that cannot be read."""

    method: str = ""
    target: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    refusal: Answer | None = None

    @property
    def keep_alive(self) -> bool:
        """Return whether another request may follow on this connection."""
        return self.refusal is None and self.headers.get("connection", "").lower() != "close"


async def read_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> IncomingRequest | None:
    """Read one request; return None when the peer has closed."""
    try:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except asyncio.LimitOverrunError:
        return _refused(431, "The head of the request is longer than 64 KiB.")
    except asyncio.IncompleteReadError as error:
        return _refused(400, "The request ends in its head.") if error.partial else None
    request = _read_head(lines)
    length = int(request.headers.get("content-length", "0")) if request.refusal is None else 0
    if request.headers.get("expect", "").lower() == "100-continue" and length:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        body = await reader.readexactly(length)
    except asyncio.IncompleteReadError:
        return None
    return IncomingRequest(request.method, request.target, request.headers, body, request.refusal)


async def discard(reader: asyncio.StreamReader) -> None:
    """Take in the rest of a refused request: a peer that is cut off loses the answer too."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_REFUSED_SECONDS):
            left = _LARGEST_REFUSED_BYTES
            while left > 0 and (piece := await reader.read(64 * 1024)):
                left -= len(piece)


def head(answer: Answer, now: float) -> bytes:
    """Return the status line and the headers of an answer; `now` is Unix seconds."""
    reason = http.HTTPStatus(answer.status).phrase
    lines = [f"HTTP/1.1 {answer.status} {reason}", f"Date: {formatdate(now, usegmt=True)}"]
    lines += [f"{name}: {value}" for name, value in answer.all_headers().items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _read_head(lines: list[str]) -> IncomingRequest:
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/"):
        return _refused(400, "The first line is no request of HTTP/1.1.")
    if not words[2].startswith("HTTP/1."):
        return _refused(505, "The sandbox speaks HTTP/1.1 only.")
    pairs = [_header(line) for line in lines[1:] if line]
    headers = dict(pairs)
    refusal = _check_head(pairs, headers)
    return IncomingRequest(words[0], words[1], headers, refusal=refusal)


def _check_head(pairs: list[tuple[str, str]], headers: dict[str, str]) -> Answer | None:
    """Return the refusal that a head deserves, or None."""
    names = [name for name, _ in pairs]
    if not all(names) or names.count("host") > 1 or names.count("content-length") > 1:
        return _refusal(400, "A header has no name, or there are two of one.")
    if not _is_this_machine(headers.get("host", "localhost")):
        # A web page whose name was made to lead here (DNS rebinding) says its own name.
        return _refusal(403, "The sandbox answers as 127.0.0.1, ::1 and localhost only.")
    length = headers.get("content-length", "0")
    if "transfer-encoding" in headers or not (length.isascii() and length.isdigit()):
        return _refusal(411, "The sandbox wants a Content-Length.")
    if len(length) > 18 or int(length) > _LARGEST_BODY_BYTES:
        return _refusal(413, "The sandbox takes at most 1 MiB.")
    return None


def _is_this_machine(host: str) -> bool:
    found = _HOST.fullmatch(host)
    name = found[1].lower().rstrip(".") if found else ""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _refused(status: int, reason: str) -> IncomingRequest:
    return IncomingRequest(refusal=_refusal(status, reason))


def _refusal(status: int, reason: str) -> Answer:
    answer = text_answer(status, reason)
    return replace(answer, headers={**answer.headers, "Connection": "close"})


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    return name.strip().lower() if colon else "", value.strip()
