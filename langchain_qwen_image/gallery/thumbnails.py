"""Images made small enough to stand inside a page, on all cores, a few in memory at a time."""

import hashlib
import os
import re
import warnings
from base64 import b64encode
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.gallery.entries import Entry

if TYPE_CHECKING:
    from PIL import Image

SIDE = 256
"""Pixels of a thumbnail's longest side; some 8 kB of a photograph."""

_VERSION = 1
"""Another one makes all thumbnails anew."""
_QUALITY = 70
_FORMATS = ("PNG", "JPEG", "WEBP")
_MAX_PIXELS = 64_000_000  # Four bytes each while it is scaled; Qwen-Image draws 1.8 million.
_WORKERS = min(4, os.cpu_count() or 1)
_AHEAD = 4 * _WORKERS
_LINE = re.compile(
    rb'<img data-key="([0-9a-f]{32})" src="(data:image/webp;base64,[A-Za-z0-9+/]+=*)"'
)

_Job = tuple[Entry, Future[str | None] | None]
"""An image, and its thumbnail to come; None where there is one already."""


class Earlier:
    """The thumbnails of an earlier page, read from its file when they are wanted.

    Only what can be nothing else than an image is taken over, whoever wrote the file.
    """

    def __init__(self, page: Path) -> None:
        """Look through a page of ours, if there is one."""
        self._file: BinaryIO | None = None
        self._places: dict[bytes, tuple[int, int]] = {}
        with suppress(OSError):
            self._file = page.open("rb")
            self._look_through(self._file)

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
    folder: Path, entries: Iterable[Entry], earlier: Earlier
) -> Generator[tuple[Entry, str | None]]:
    """Yield each image with its thumbnail as a `data:` URI, None where the file is damaged.

    They come in the order given, a few ahead of their turn.

    Raises:
        ConfigurationError: Pillow is not installed.
    """
    bomb = _bomb_warning()
    jobs: deque[_Job] = deque()
    with warnings.catch_warnings(), ThreadPoolExecutor(_WORKERS) as pool:
        # Set here, once: a thread that sets filters sets them for all. We have a limit of our own.
        warnings.simplefilter("ignore", bomb)
        try:
            for entry in entries:
                known = key_of(entry) in earlier
                jobs.append((entry, None if known else pool.submit(_small, folder / entry.name)))
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


def _small(path: Path) -> str | None:
    from PIL import Image

    try:
        with Image.open(path, formats=_FORMATS) as picture:
            if picture.width * picture.height > _MAX_PIXELS:
                return None
            return f"data:image/webp;base64,{b64encode(_written(picture)).decode('ascii')}"
    except Exception:  # damaged bytes raise whatever they like; the page shows that there are some
        return None


def _written(picture: "Image.Image") -> bytes:
    """Return a copy without any of the metadata, turned as the metadata say."""
    from PIL import ImageOps

    picture.thumbnail((SIDE, SIDE))
    ImageOps.exif_transpose(picture, in_place=True)
    into = BytesIO()
    mode = "RGBA" if picture.has_transparency_data else "RGB"
    picture.convert(mode).save(into, "WEBP", quality=_QUALITY)
    return into.getvalue()


def _bomb_warning() -> type[Warning]:
    try:
        from PIL.Image import DecompressionBombWarning
    except ImportError:
        problem = (
            "The gallery needs Pillow, which is not installed: "
            "pip install 'langchain-qwen-image[cli]'"
        )
    else:
        return DecompressionBombWarning
    raise ConfigurationError(problem)
