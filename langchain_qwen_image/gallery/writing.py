"""Writing the page: all of it or nothing, and never over a page that is not ours."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from io import TextIOWrapper
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from langchain_qwen_image.gallery.entries import Entry, Found, find_entries
from langchain_qwen_image.gallery.page import Page, Sums
from langchain_qwen_image.gallery.places import place_of
from langchain_qwen_image.gallery.thumbnails import Earlier, thumbnails

Progress = Callable[[int, int], None]
"""Is told how many of how many images are done."""


@dataclass(frozen=True, slots=True)
class Gallery:
    """A page that was written.

    Attributes:
        path: Where it is: a path, or an address of an object store.
        images: How many images it shows.
        sandbox: How many of them are placeholders of the sandbox.
        cost_usd: What they cost, in US dollars, as far as it is known.
        unpriced: Of how many images that is not known.
        others: Images of the folder that it leaves out: they are not ours.
        orphaned: Sidecars of ours whose image is missing.
    """

    path: Path | str
    images: int
    sandbox: int
    cost_usd: Decimal
    unpriced: int
    others: int
    orphaned: int


def write_gallery(
    folder: str | PathLike[str],
    *,
    account: str | PathLike[str] | None = None,
    title: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Gallery:
    """Write `index.html`, which shows a folder's images, and return what it shows.

    Thumbnails of an earlier page are taken over where the image is still the same.

    Args:
        folder: Where the images are saved: a folder, or an address such as `s3://bucket/prefix`.
            Folders below it are left alone.
        account: The account of images that have no sidecar: its file or its `postgresql://`
            address. By default what `QWEN_IMAGE_DATABASE` names. The folder's own is read too.
        title: Heading of the page; by default the folder's name.
        force: Overwrite an `index.html` that is not a gallery.
        progress: Is told how many of how many images are done.

    Raises:
        AccountError: The account that is named cannot be read.
        ConfigurationError: There is no such folder or account, the folder's `index.html` is not a
            gallery, or Pillow is not installed.
        DownloadError: The object store cannot be read or written.
        OSError: The folder cannot be read or written, or the disk is full.
    """
    place = place_of(folder)
    place.check(force=force)
    found = find_entries(place, account)
    sums = add_up(found)
    page = Page(
        " ".join((title or "").split()) or place.title or "Images", sums, now=datetime.now(UTC)
    )
    with (
        place.new_page(force=force) as file,
        Earlier(place.earlier_page()) as earlier,
        closing(thumbnails(place, found.entries, earlier)) as images,
    ):
        _write(file, page, images, progress or _say_nothing)
    return Gallery(
        path=place.page,
        images=sums.images,
        sandbox=sums.sandbox,
        cost_usd=sums.cost_usd,
        unpriced=sums.unpriced,
        others=found.others,
        orphaned=found.orphaned,
    )


def add_up(found: Found) -> Sums:
    """Return what the images come to; a call's price counts once, however many it made."""
    facts = [entry.facts for entry in found.entries if entry.facts]
    calls = Counter(one.call for one in facts)
    prices = {one.call: one.cost_usd for one in facts if one.cost_usd is not None}
    return Sums(
        images=len(found.entries),
        sandbox=sum(one.sandbox for one in facts),
        cost_usd=sum(prices.values(), Decimal(0)),
        unpriced=len(found.entries) - sum(one.cost_usd is not None for one in facts),
        shared={call: count for call, count in calls.items() if count > 1},
        newest=found.entries[0].created_at if found.entries else None,
        oldest=found.entries[-1].created_at if found.entries else None,
    )


def _write(
    file: BinaryIO, page: Page, images: Iterator[tuple[Entry, str | None]], progress: Progress
) -> None:
    text = TextIOWrapper(file, encoding="utf-8", newline="\n", write_through=False)
    try:
        text.write(page.before)
        for done, (entry, thumbnail) in enumerate(images, 1):
            text.write(page.tile(entry, thumbnail))
            progress(done, page.sums.images)
        text.write(page.after)
    finally:
        text.detach()


def _say_nothing(done: int, total: int) -> None:
    """Take the place of a progress that nobody watches."""
