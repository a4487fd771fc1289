"""Which files of a folder are its images, newest first.

An image is ours when it has a sidecar, when an account knows it, or when its name is one that only
we give.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePath

from langchain_qwen_image.gallery.facts import (
    Facts,
    facts_of,
    read_sidecar,
    sidecars_of_accounts,
)
from langchain_qwen_image.storage.filenames import OUR_STEM

_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}


@dataclass(frozen=True, slots=True)
class Entry:
    """An image of the folder.

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
    """What is in a folder.

    Attributes:
        entries: The images, newest first.
        others: How many images are left out, because they are not ours.
        orphaned: Number of sidecars of ours whose image is missing.
    """

    entries: list[Entry]
    others: int
    orphaned: int


def find_entries(folder: Path, account: str | os.PathLike[str] | None = None) -> Found:
    """Look through a folder; folders below it, links and hidden files are left out.

    Args:
        folder: The folder.
        account: Where images without a sidecar are looked up, besides in the folder's own.

    Raises:
        AccountError: The account that is named cannot be read.
        ConfigurationError: It does not exist.
        OSError: the folder cannot be read.
    """
    files = _regular_files(folder)
    images = {name: stat for name, stat in files.items() if _suffix(name) in _SUFFIXES}
    sidecars = {_stem(name): name for name in files if name.endswith(".json")}
    noted = {name: _noted(folder, name, sidecars.get(_stem(name)), images) for name in images}
    told = {name: facts for name, (facts, _) in noted.items() if facts}
    untold = {name: stat.st_size for name, stat in images.items() if name not in told}
    booked = sidecars_of_accounts(folder, untold, account)
    entries = [
        Entry(
            name,
            stat.st_size,
            stat.st_mtime_ns,
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


def _regular_files(folder: Path) -> dict[str, os.stat_result]:
    files = {}
    with os.scandir(folder) as found:
        for one in found:
            if not one.name.startswith(".") and one.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):  # deleted just now
                    files[one.name] = one.stat(follow_symlinks=False)
    return files


def _noted(
    folder: Path, name: str, sidecar: str | None, images: Mapping[str, object]
) -> tuple[Facts | None, bool]:
    """Return what is noted beside an image, and whether the image is ours.

    A sidecar that names another image of the folder belongs to that one. One that is damaged
    says nothing, and leaves no doubt whose image it is.
    """
    is_ours = bool(OUR_STEM.fullmatch(_stem(name)))
    if sidecar is None:
        return None, is_ours
    beside = read_sidecar(folder / sidecar)
    if beside is None:
        return None, True
    if beside.file != name and beside.file in images:
        return None, is_ours
    facts = facts_of(beside)
    return facts, is_ours or facts is not None


def _at(nanoseconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(nanoseconds / 1e9, UTC)
    except (OverflowError, ValueError, OSError):  # a file system may say anything
        return datetime.fromtimestamp(0, UTC)


def _stem(name: str) -> str:
    return PurePath(name).stem


def _suffix(name: str) -> str:
    return PurePath(name).suffix.lower()
