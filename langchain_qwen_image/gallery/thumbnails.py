"""Images made small enough to be part of a page, on all cores, a few in memory at a time."""

import hashlib
import os
import re
from base64 import b64encode
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import BinaryIO, Self

from langchain_qwen_image.errors import ConfigurationError, QwenImageError
from langchain_qwen_image.gallery.entries import Entry
from langchain_qwen_image.gallery.places import Place
from langchain_qwen_image.rendering.thumbnail import thumbnail

SIDE = 256
"""Pixels of a thumbnail's longest side; some 8 kB of a photograph."""

_VERSION = 1
"""Another one makes all thumbnails anew."""
_WORKERS = min(4, os.cpu_count() or 1)
_AHEAD = 4 * _WORKERS
_LINE = re.compile(
    rb'<img data-key="([0-9a-f]{32})" src="(data:image/webp;base64,[A-Za-z0-9+/]+=*)"'
)

_Job = tuple[Entry, Future[str | None] | None]
"""An image, and its thumbnail to come; None where there is one already."""


class Earlier:
    """The thumbnails of an earlier page, read from its file when they are wanted.

    Only what can be nothing else than an image is taken over: the file may be forged.
    """

    def __init__(self, page: BinaryIO | None) -> None:
        """Look through a page, if there is one; it is closed at the end."""
        self._file = page
        self._places: dict[bytes, tuple[int, int]] = {}
        if page is not None:
            with suppress(OSError):
                self._look_through(page)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def __contains__(self, key: str) -> bool:
        return key.encode() in self._places

    def read(self, key: str) -> str:
        """Return the `data:` URI of a thumbnail that is there."""
        assert self._file is not None  # noqa: S101 - for the type checker: nothing else has keys
        start, length = self._places[key.encode()]
        self._file.seek(start)
        return self._file.read(length).decode("ascii")

    def _look_through(self, file: BinaryIO) -> None:
        start = 0
        for line in file:
            found = _LINE.search(line)
            if found:
                self._places[found[1]] = (start + found.start(2), len(found[2]))
            start += len(line)


def thumbnails(
    place: Place, entries: Iterable[Entry], earlier: Earlier
) -> Generator[tuple[Entry, str | None]]:
    """Yield each image with its thumbnail as a `data:` URI, None where the file is damaged.

    They come in the order given, a few ahead of their turn.

    Raises:
        ConfigurationError: Pillow is not installed.
    """
    _check_pillow()
    jobs: deque[_Job] = deque()
    with ThreadPoolExecutor(_WORKERS) as pool:
        try:
            for entry in entries:
                known = key_of(entry) in earlier
                jobs.append((entry, None if known else pool.submit(_small, place, entry.name)))
                if len(jobs) > _AHEAD:
                    yield _done(jobs.popleft(), earlier)
            while jobs:
                yield _done(jobs.popleft(), earlier)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def key_of(entry: Entry) -> str:
    """Return what a thumbnail is known by: another image, or another file, has another key."""
    told = f"{_VERSION} {entry.size_bytes} {entry.modified_ns} {entry.name}"
    return hashlib.sha256(told.encode(errors="surrogatepass")).hexdigest()[:32]


def _done(
    job: tuple[Entry, Future[str | None] | None], earlier: Earlier
) -> tuple[Entry, str | None]:
    entry, made = job
    return entry, earlier.read(key_of(entry)) if made is None else made.result()


def _small(place: Place, name: str) -> str | None:
    try:
        content, mime_type = thumbnail(place.image(name), max_side=SIDE, format="WEBP")
    except QwenImageError:  # the place cannot be read
        raise
    except Exception:  # damaged bytes raise whatever they like; the page shows that there are some
        return None
    return f"data:{mime_type};base64,{b64encode(content).decode('ascii')}"


def _check_pillow() -> None:
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        problem = (
            "The gallery needs Pillow, which is not installed: "
            "pip install 'langchain-qwen-image[cli]'"
        )
    else:
        return
    raise ConfigurationError(problem)
