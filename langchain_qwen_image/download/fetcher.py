"""Fetching an image by a link that came from a remote answer: hostile input, and paid for.

What goes out is a bare GET: no key, no cookie, no credential of any kind, the link's path and query
byte for byte. Every host is judged on every hop, all of its addresses, when it is connected to.
What comes back is capped, bound to one deadline, and checked as it comes. Fetching is free, so it
is tried again; nothing here can buy anything.

Behind a proxy it is the proxy that resolves names: an address in the link is judged all the same, a
name is not, and the proxy's operator decides what it reaches.
"""

import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from typing import BinaryIO, TypeVar, cast

import httpx

from langchain_qwen_image._version import __version__
from langchain_qwen_image.download.body import Body, check_size, content_length, until
from langchain_qwen_image.download.callers_client import AnyClient
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
    DamagedImageError,
    ImageInfo,
    NotAnImageError,
    media_type_of,
    write_image,
)
from langchain_qwen_image.download.ssrf import UnsafeAddressError
from langchain_qwen_image.download.url import Target, place
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

_T = TypeVar("_T")

_log = logging.getLogger("langchain_qwen_image")


class Fetcher:
    """Fetches images, from any number of threads, tasks and processes at once.

    A few are fetched at a time; the others wait their turn, which the timeout does not count.

    Args:
        max_image_bytes: Largest image that is taken, in bytes.
        allow_loopback: Also allow loopback addresses, and plain http to them.
        loopback_port: The only port of these that is allowed; any by default.
        gateway: Address of the gateway that the links come from; by default the environment's, else
            the public one. It tells whether a fake-IP resolver answers DNS (see `ssrf`).
        clients: HTTP clients of the caller's, for their certificates and proxies and nothing else.
        transport: What answers instead of the network; it resolves no names, so only schemes and
            addresses that stand in the link are judged. Never closed here.
        timeout: Seconds for one fetch with all its attempts.
        attempts: How often one fetch is tried, at least once.
        sleep: Waits the given seconds between attempts.
        random: Gives a number from 0 to 1, for the jitter.
        watch: Is told of each answer: the link asked for, its status and its headers.
    """

    def __init__(
        self,
        *,
        max_image_bytes: int = MAX_IMAGE_BYTES,
        allow_loopback: bool = False,
        loopback_port: int | None = None,
        gateway: str = "",
        clients: Sequence[AnyClient] = (),
        transport: httpx.BaseTransport | None = None,
        timeout: float = 120.0,
        attempts: int = 4,
        sleep: Callable[[float], object] = time.sleep,
        random: Callable[[], float] = random.random,
        watch: Callable[[str, int, Mapping[str, str]], None] | None = None,
    ) -> None:
        """Take the settings; nothing is opened yet."""
        self._max_bytes = max_image_bytes
        self._allow_loopback = allow_loopback
        self._transport = transport
        self._timeout = timeout
        self._attempts = attempts
        self._sleep = sleep
        self._random = random
        self._watch = watch
        connect = partial(
            Connections,
            gateway,
            allow_loopback=allow_loopback,
            loopback_port=loopback_port,
            clients=clients,
        )
        self._connections = ConnectionsOfProcess(self, connect)

    def fetch(self, url: str, into: BinaryIO) -> ImageInfo:
        """Fetch an image into a file, which is rewound and emptied before each attempt.

        The file must be readable and seekable, and buffered or in memory. When the fetch fails,
        what is in it is of no use.

        Raises:
            DownloadError: the image could not be fetched, or was not safe to fetch; its
                `not_an_image` says whether something else came.
            OSError: the file could not be written.
        """
        return self._run(url, lambda pieces: write_image(pieces, into))

    def probe(self, url: str) -> str | None:
        """Look at the first bytes of what a link leads to, and fetch no more of it.

        Returns:
            The media type of an image, or None if the bytes are not an image's.

        Raises:
            DownloadError: it could not be fetched now, or was not safe to fetch.
        """
        return self._run(url, lambda pieces: media_type_of(next(iter(pieces), b"")))

    def close(self) -> None:
        """Close the connections that are saved for the next fetch; never required."""
        self._connections.close()

    def _run(self, url: str, read: Callable[[Iterable[bytes]], _T]) -> _T:
        if is_inline(url):
            outcome = self._attempt(lambda: read(self._decode(url)))
        else:
            with self._connections.turn():
                outcome = self._repeat(url, read)
        if isinstance(outcome, Failure):
            raise to_error(outcome, url, datetime.now(UTC))
        return outcome

    def _repeat(self, url: str, read: Callable[[Iterable[bytes]], _T]) -> _T | Failure:
        call = Call(time.monotonic() + self._timeout)
        attempt = 1
        while True:
            _log.debug("fetching %s, attempt %d", place(url), attempt)
            outcome = self._attempt(lambda: self._follow(url, read, call))
            if not isinstance(outcome, Failure) or not outcome.again:
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

    def _attempt(self, work: Callable[[], _T]) -> _T | Failure:
        """Try once; a failure is returned, so that no traceback leads to a signed link."""
        try:
            return work()
        except FetchError as error:
            return error.failure
        except UnsafeAddressError as error:
            return Failure(f"it is not safe to fetch: {error}", lasting=error.lasting)
        except NotAnImageError as error:
            return Failure(f"the response is {error}", not_an_image=True)
        except DamagedImageError as error:
            return Failure(f"the file is incomplete or damaged: {error}", again=True)
        except httpx.TransportError as error:
            return disturbed(error)

    def _decode(self, uri: str) -> Iterable[bytes]:
        check_size(len(uri) // 3, self._max_bytes)  # a byte takes three characters at most
        try:
            data = decode_inline(uri)
        except ValueError as error:
            raise NotAnImageError(str(error)) from None
        return Body([data], max_bytes=self._max_bytes)

    def _follow(self, url: str, read: Callable[[Iterable[bytes]], _T], call: Call) -> _T:
        target = Target(url, allow_loopback=self._allow_loopback)
        for _ in range(_MAX_REDIRECTS + 1):
            with (
                bound_to(call, is_plain=target.is_plain),
                closing(self._get(target, call)) as answer,
            ):
                if answer.status_code not in _REDIRECTS:
                    return read(self._body(answer, target, call))
                location = answer.headers.get("location", "")
            target = target.redirected(location, allow_loopback=self._allow_loopback)
        raise FetchError(Failure(f"it was redirected more than {_MAX_REDIRECTS} times"))

    def _get(self, target: Target, call: Call) -> httpx.Response:
        waits = _TIMEOUT.as_dict() | {"pool": max(0.0, call.deadline - time.monotonic())}
        headers = _HEADERS | {"Host": target.url.netloc.decode("ascii")}
        request = httpx.Request("GET", target.url, headers=headers, extensions={"timeout": waits})
        request.url = target.url  # the constructor has put it in order
        answer = (self._transport or self._connections.get()).handle_request(request)
        if self._watch is not None:
            self._watch(target.link, answer.status_code, answer.headers)
        return answer

    def _body(self, answer: httpx.Response, target: Target, call: Call) -> Body:
        pieces = iter(cast(httpx.SyncByteStream, answer.stream))
        if answer.status_code != 200:
            body = next(pieces, b"")[:_ERROR_BYTES]
            raise FetchError(
                refused(answer.status_code, answer.headers, body, target.link, datetime.now(UTC))
            )
        return Body(
            until(call, pieces),
            max_bytes=self._max_bytes,
            coding=answer.headers.get("content-encoding", ""),
            length=content_length(answer.headers),
        )
