"""Fetching an image by a link that came from a remote answer: hostile input, and paid for.

What goes out is a bare GET: no key, no cookie, no credential of any kind, the link's path and query
byte for byte. Every host is judged on every hop, all of its addresses, when it is connected to.
What comes back is capped, bound to one deadline, and checked as it comes. Fetching is free, so it
is tried again; nothing here can buy anything.

Behind a proxy of the environment it is the proxy that resolves names: an address that stands in the
link is judged all the same, a name is not, and whoever runs the proxy decides what it reaches.
"""

import hashlib
import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO, cast

import httpx

from langchain_qwen_image._version import __version__
from langchain_qwen_image.concurrency.threads import in_thread
from langchain_qwen_image.download.connections import Connections, ConnectionsOfProcess, bound_to
from langchain_qwen_image.download.data_uri import decode_inline
from langchain_qwen_image.download.failures import (
    Failure,
    FetchError,
    disturbed,
    refused,
    to_error,
)
from langchain_qwen_image.download.image_format import (
    DamagedPictureError,
    Inspector,
    NotAnImageError,
)
from langchain_qwen_image.download.ssrf import UnsafeAddressError
from langchain_qwen_image.download.target import Target, place
from langchain_qwen_image.transport.call import Call
from langchain_qwen_image.wire.links import is_inline

__all__ = ["MAX_IMAGE_BYTES", "Fetcher", "ImageInfo"]

MAX_IMAGE_BYTES = 32 * 1024 * 1024

_HEADERS = {
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "User-Agent": f"langchain-qwen-image/{__version__}",
}
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_MAX_REDIRECTS = 3
_REDIRECTS = {301, 302, 303, 307, 308}
_BACKOFF_FIRST = 0.5
_BACKOFF_LONGEST = 8.0
_ERROR_BYTES = 4096

_log = logging.getLogger("langchain_qwen_image")


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """An image that arrived whole: what its bytes say of it; width and height in pixels."""

    mime_type: str
    suffix: str
    width: int
    height: int
    size_bytes: int
    sha256: str


class Fetcher:
    """Fetches images, from any number of threads, tasks and processes at once.

    A few are fetched at a time; the others wait their turn, which the timeout does not count.

    Args:
        max_image_bytes: Largest image that is taken, in bytes.
        allow_loopback: Also allow loopback addresses, and plain http to them.
        transport: What answers instead of the network; it resolves no names, so only schemes and
            addresses that stand in the link are judged. Never closed here.
        timeout: Seconds for one fetch with all its attempts.
        attempts: How often one fetch is tried, at least once.
        sleep: Waits the given seconds between attempts.
        random: Gives a number from 0 to 1, for the jitter.
    """

    def __init__(
        self,
        *,
        max_image_bytes: int = MAX_IMAGE_BYTES,
        allow_loopback: bool = False,
        transport: httpx.BaseTransport | None = None,
        timeout: float = 120.0,
        attempts: int = 4,
        sleep: Callable[[float], object] = time.sleep,
        random: Callable[[], float] = random.random,
    ) -> None:
        """Keep the settings; nothing is opened yet."""
        self._max_bytes = max_image_bytes
        self._allow_loopback = allow_loopback
        self._transport = transport
        self._timeout = timeout
        self._attempts = attempts
        self._sleep = sleep
        self._random = random
        self._connections = ConnectionsOfProcess(self, allow_loopback=allow_loopback)

    def fetch(self, url: str, into: BinaryIO) -> ImageInfo:
        """Fetch an image into a file, which is rewound and emptied before each attempt.

        The file must be seekable, and buffered or in memory. When the fetch fails, what stands in
        it is of no use.

        Raises:
            DownloadError: the image could not be fetched, or was not safe to fetch.
            OSError: the file could not be written.
        """
        if is_inline(url):
            outcome = self._attempt(lambda: self._decode(url, into))
        else:
            with self._connections.turn():
                outcome = self._fetch(url, into)
        if isinstance(outcome, Failure):
            raise to_error(outcome, url, datetime.now(UTC))
        return outcome

    async def afetch(self, url: str, into: BinaryIO) -> ImageInfo:
        """Fetch as `fetch` does, beside the event loop; a cancelled fetch goes on to its end."""
        return await in_thread(self.fetch, url, into)

    def close(self) -> None:
        """Close the connections that are saved for the next fetch; never required."""
        self._connections.close()

    def _fetch(self, url: str, into: BinaryIO) -> ImageInfo | Failure:
        call = Call(time.monotonic() + self._timeout)
        attempt = 1
        while True:
            _log.debug("fetching %s, attempt %d", place(url), attempt)
            outcome = self._attempt(lambda: self._follow(url, into, call))
            if isinstance(outcome, ImageInfo) or not outcome.again:
                return outcome
            pause = self._pause(attempt, outcome)
            if attempt >= self._attempts or time.monotonic() + pause >= call.deadline:
                return outcome
            _log.info("fetching %s again in %.1f s: %s", place(url), pause, outcome.what)
            self._sleep(pause)
            attempt += 1

    def _pause(self, attempt: int, failure: Failure) -> float:
        """Return the seconds before the next attempt: full jitter, and what the host asks for."""
        longest = min(_BACKOFF_LONGEST, _BACKOFF_FIRST * 2.0 ** (attempt - 1))
        return max(longest * self._random(), failure.retry_after or 0.0)

    def _attempt(self, work: Callable[[], ImageInfo]) -> ImageInfo | Failure:
        """Try once; trouble is returned, so that no traceback leads to a signed link."""
        try:
            return work()
        except FetchError as error:
            return error.failure
        except UnsafeAddressError as error:
            return Failure(f"it is not safe to fetch: {error}", lasting=True)
        except NotAnImageError as error:
            return Failure(f"what came is {error}")
        except DamagedPictureError as error:
            return Failure(f"what came is not whole: {error}", again=True)
        except httpx.TransportError as error:
            return disturbed(error)

    def _decode(self, uri: str, into: BinaryIO) -> ImageInfo:
        self._check_size(len(uri) // 3)  # a byte takes three characters at most
        try:
            data = decode_inline(uri)
        except ValueError as error:
            raise NotAnImageError(str(error)) from None
        return self._take([data], into)

    def _follow(self, url: str, into: BinaryIO, call: Call) -> ImageInfo:
        target = Target(url, allow_loopback=self._allow_loopback)
        for _ in range(_MAX_REDIRECTS + 1):
            with (
                bound_to(call, is_plain=target.is_plain),
                closing(self._get(target, call)) as answer,
            ):
                if answer.status_code not in _REDIRECTS:
                    return self._receive(answer, target, into, call)
                location = answer.headers.get("location", "")
            target = target.redirected(location, allow_loopback=self._allow_loopback)
        raise FetchError(Failure(f"it was redirected more than {_MAX_REDIRECTS} times"))

    def _get(self, target: Target, call: Call) -> httpx.Response:
        waits = _TIMEOUT.as_dict() | {"pool": max(0.0, call.deadline - time.monotonic())}
        request = httpx.Request("GET", target.url, headers=_HEADERS, extensions={"timeout": waits})
        request.url = target.url  # the constructor has put it in order
        return self._line().handle_request(request)

    def _line(self) -> httpx.BaseTransport | Connections:
        try:
            return self._transport or self._connections.get()
        except (ImportError, ValueError, httpx.InvalidURL):
            failure = Failure("the environment names a proxy that cannot be used")
        raise FetchError(failure)

    def _receive(
        self, answer: httpx.Response, target: Target, into: BinaryIO, call: Call
    ) -> ImageInfo:
        pieces = iter(cast(httpx.SyncByteStream, answer.stream))
        if answer.status_code != 200:
            body = next(pieces, b"")[:_ERROR_BYTES]
            raise FetchError(
                refused(answer.status_code, answer.headers, body, target.link, datetime.now(UTC))
            )
        if answer.headers.get("content-encoding", "identity").lower() != "identity":
            raise FetchError(Failure("the host compressed it, although asked not to"))
        expected = _content_length(answer)
        self._check_size(expected or 0)
        picture = self._take(_until(call, pieces), into)
        if expected is not None and picture.size_bytes != expected:
            raise DamagedPictureError(f"{picture.size_bytes} of {expected} bytes came")
        return picture

    def _take(self, pieces: Iterable[bytes], into: BinaryIO) -> ImageInfo:
        """Write, check and count the bytes of one image as they come."""
        into.seek(0)
        into.truncate()
        size, digest, inspector = 0, hashlib.sha256(), Inspector()
        for piece in pieces:
            size += len(piece)
            self._check_size(size)
            inspector.feed(piece)
            into.write(piece)
            digest.update(piece)
        facts = inspector.finish()
        return ImageInfo(
            facts.mime_type, facts.suffix, facts.width, facts.height, size, digest.hexdigest()
        )

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise FetchError(
                Failure(f"it is larger than the {self._max_bytes:,} bytes of max_image_bytes")
            )


def _content_length(answer: httpx.Response) -> int | None:
    value = answer.headers.get("content-length", "")
    return int(value) if value.isascii() and value.isdigit() else None


def _until(call: Call, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Pass the pieces on as long as the deadline has not passed, whatever the transport."""
    for piece in pieces:
        if time.monotonic() > call.deadline:
            raise httpx.ReadTimeout("the deadline of the whole fetch has passed")
        yield piece
