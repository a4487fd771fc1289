"""Look closely at the folder where images are to be saved."""

import mmap
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from langchain_qwen_image.account.opening import lock_problem
from langchain_qwen_image.checks.finding import Finding, Level
from langchain_qwen_image.checks.folder import existing, folder_problem, name_problem

_LITTLE_BYTES = 100 * 1024 * 1024
_TOO_LITTLE_BYTES = 16 * 1024 * 1024
_NETWORK = re.compile(
    r"nfs\d?|cifs|smb\d?|9p|virtiofs|fuse\..*|afs|ceph|lustre|gfs2?|vboxsf|prl_fs"
)
"""File systems that other machines may write too, or whose locks have been seen to fail."""
_MOUNTS = Path("/proc/self/mountinfo")


def examine_folder(given: Path) -> Iterator[Finding]:
    """Yield what is found about a folder, which need not exist yet.

    A file is written into it, or into the folder in which it would be made, and removed.
    """
    say = partial(Finding, "Folder")
    folder = given.expanduser().absolute()
    problem = name_problem(given) or folder_problem(folder)
    if problem is not None:
        yield say(Level.BAD, problem)
        return
    there = existing(folder)
    try:
        _write_and_remove(there)
    except OSError as error:
        yield say(Level.BAD, f"A file could not be written and removed in {there}: {error}.")
        return
    what = "can be written" if there == folder else f"can be made in {there}"
    yield say(Level.GOOD, f"{folder} {what}.")
    yield _room(there)
    yield _locks(there)


def disk_problem(folder: Path) -> str | None:
    """Say why no image can be saved in a folder at this moment; None if it can."""
    there = existing(folder)
    try:
        _write_and_remove(there)
        free = shutil.disk_usage(there).free
    except OSError as error:
        return f"Nothing can be written in {there}: {error}."
    if free < _TOO_LITTLE_BYTES:
        return f"Only {free / 1e6:,.0f} MB are free in {there}; an image takes 1 to 2 MB."
    return None


def file_system_of(folder: Path) -> str | None:
    """Return the type of the file system that a folder is on, where Linux tells it."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
        device = folder.stat().st_dev
    except OSError:
        return None
    number = f"{os.major(device)}:{os.minor(device)}"
    found = [line.split() for line in lines if line.split()[2:3] == [number]]
    return found[-1][found[-1].index("-") + 1] if found else None


def _write_and_remove(folder: Path) -> None:
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".qwen-image-doctor-") as file:
        file.write(bytes(64 * 1024))
        file.flush()
        os.fsync(file.fileno())


def _room(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    level = Level.GOOD if free >= _LITTLE_BYTES else Level.UNSURE
    return Finding("Room", level, f"{free / 1e6:,.0f} MB are free; an image takes 1 to 2 MB.")


def _locks(folder: Path) -> Finding:
    say = partial(Finding, "Locks")
    problem = lock_problem(folder)
    if problem is not None:
        return say(Level.BAD, problem)
    kind = file_system_of(folder)
    if kind and _NETWORK.fullmatch(kind):
        return say(
            Level.UNSURE,
            f"The file system is {kind}: files can be locked on this machine, but other machines "
            "may not see the locks. Do not share one account's file between machines.",
        )
    if not _shares_memory(folder):
        return say(
            Level.UNSURE, "Files can be locked; there is no shared memory, so an account is slower."
        )
    return say(Level.GOOD, f"Files can be locked ({kind or 'unknown file system'}).")


def _shares_memory(folder: Path) -> bool:
    """Say whether processes can share a file's memory, as a write-ahead log needs it."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.truncate(mmap.PAGESIZE)
            mmap.mmap(file.fileno(), mmap.PAGESIZE).close()
    except (OSError, ValueError):
        return False
    return True
