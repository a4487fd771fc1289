"""Which files of a place are its images, newest first.

An image is ours when it has a sidecar, when an account knows it, or when its name is one that only
we give.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import PurePath

from langchain_qwen_image.gallery.facts import (
    Facts,
    facts_of,
    sidecars_of_accounts,
)
from langchain_qwen_image.gallery.places import Place
from langchain_qwen_image.storage.filenames import OUR_STEM
from langchain_qwen_image.storage.sidecar import Sidecar

_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}


@dataclass(frozen=True, slots=True)
class Entry:
    """An image of the place.

    Attributes:
        name: Its file name.
        size_bytes: Its size in bytes.
        modified_ns: When its file was written last, in nanoseconds since 1970.
        facts: What is known of it, if anything.
    """

    name: str
    size_bytes: int
    modified_ns: int
    facts: Facts | None

    @property
    def created_at(self) -> datetime:
        """When the image came, in UTC; the time of its file where nothing says it."""
        told = self.facts.created_at if self.facts else None
        return told or _at(self.modified_ns)


@dataclass(frozen=True, slots=True)
class Found:
    """What is in a place.

    Attributes:
        entries: The images, newest first.
        others: How many images are left out, because they are not ours.
        orphaned: Number of sidecars of ours whose image is missing.
    """

    entries: list[Entry]
    others: int
    orphaned: int


def find_entries(place: Place, account: str | os.PathLike[str] | None = None) -> Found:
    """Look through a place; folders below it, links and hidden files are left out.

    Args:
        place: The folder, or the place in an object store.
        account: Where images without a sidecar are looked up, besides in the folder's own.

    Raises:
        AccountError: The account that is named cannot be read.
        ConfigurationError: It does not exist.
        OSError: the folder cannot be read.
    """
    files = place.files()
    images = {name: stat for name, stat in files.items() if _suffix(name) in _SUFFIXES}
    sidecars = {_stem(name): name for name in files if name.endswith(".json")}
    look = partial(_noted, place, sidecars, images)
    noted = dict(zip(images, place.each(look, images), strict=True))
    told = {name: facts for name, (facts, _) in noted.items() if facts}
    untold = {name: stat.size_bytes for name, stat in images.items() if name not in told}
    booked = sidecars_of_accounts(place.folder, untold, account)
    entries = [
        Entry(
            name,
            stat.size_bytes,
            stat.modified_ns,
            told.get(name) or (facts_of(booked[name]) if name in booked else None),
        )
        for name, stat in images.items()
        if noted[name][1] or name in booked
    ]
    entries.sort(key=lambda entry: (entry.created_at, entry.name), reverse=True)
    orphaned = sidecars.keys() - {_stem(name) for name in images}
    return Found(
        entries,
        others=len(images) - len(entries),
        orphaned=sum(bool(OUR_STEM.fullmatch(stem)) for stem in orphaned),
    )


def _noted(
    place: Place, sidecars: Mapping[str, str], images: Mapping[str, object], name: str
) -> tuple[Facts | None, bool]:
    """Return what is noted beside an image, and whether the image is ours.

    A sidecar that names another image of the folder belongs to that one. One that is damaged
    says nothing, and leaves no doubt whose image it is.
    """
    is_ours = bool(OUR_STEM.fullmatch(_stem(name)))
    sidecar = sidecars.get(_stem(name))
    if sidecar is None:
        return None, is_ours
    beside = _read(place, sidecar)
    if beside is None:
        return None, True
    if beside.file != name and beside.file in images:
        return None, is_ours
    facts = facts_of(beside)
    return facts, is_ours or facts is not None


def _read(place: Place, sidecar: str) -> Sidecar | None:
    """Return the sidecar in a file; None if there is none, or it is damaged or far too long."""
    try:
        return Sidecar.from_json(place.sidecar(sidecar))
    except (OSError, ValueError):
        return None


def _at(nanoseconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(nanoseconds / 1e9, UTC)
    except (OverflowError, ValueError, OSError):  # a file system may say anything
        return datetime.fromtimestamp(0, UTC)


def _stem(name: str) -> str:
    return PurePath(name).stem


def _suffix(name: str) -> str:
    return PurePath(name).suffix.lower()
