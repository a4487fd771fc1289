"""Where the books of a call are: in the account that was named, or in a file of the folder's own.

`<folder>.books/account.db` lies beside the folder, where a server of the folder does not reach it,
or in `<folder>/.books/` where the folder is a file system of its own (a container's volume) or
nothing can be written beside it: never where it could be lost while the images stay.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from langchain_qwen_image.defaults import DATABASE_VARIABLE, OLD_ACCOUNT_NAME
from langchain_qwen_image.errors import AccountError, ConfigurationError

__all__ = [
    "Place",
    "Source",
    "books_of",
    "books_to_read",
    "folder_of_books",
    "old_file",
    "own_file",
]

Source: TypeAlias = Literal["argument", "variable", "folder"]
_FILE_NAME = "account.db"
_BESIDE = ".books"
_INSIDE = ".books"
_LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class Place:
    """Where books are.

    Attributes:
        location: A path, or a `postgresql://` address.
        source: Who said so: the argument, the variable, or nobody, and they are the folder's own.
        folder: The folder of images whose marker names the account, if they are saved in one.
        marks: Whether the marker counts. In the sandbox it does not while the variable names an
            account: that may be the one in the marker, and the sandbox does not use it.
    """

    location: str | Path
    source: Source
    folder: Path | None
    marks: bool = True

    @property
    def is_inside(self) -> bool:
        """Whether the books lie in the folder of images: what serves the folder serves them."""
        return (
            self.folder is not None
            and isinstance(self.location, Path)
            and _real(self.location).is_relative_to(_real(self.folder))
        )


def books_of(
    given: str | os.PathLike[str] | None,
    folder: Path | None,
    *,
    sandbox: bool,
    environ: Mapping[str, str] | None = None,
) -> Place | None:
    """Return where the books of a call are; None if it has none. Nothing is made.

    Args:
        given: The `account=` argument.
        folder: Where images are saved, absolute, if in a folder.
        sandbox: The call goes to the sandbox, which ignores the variable.
        environ: The environment; by default that of the process.

    Raises:
        AccountError: The folder has books in two places.
        ConfigurationError: What was given is empty.
    """
    variable = (os.environ if environ is None else environ).get(DATABASE_VARIABLE, "").strip()
    if given is not None:
        named = _checked(given)
        own = None if folder is None else _own_if_named(named, folder)
        return Place(named, "argument", folder) if own is None else Place(own, "folder", folder)
    if variable and not sandbox:
        return Place(_checked(variable), "variable", folder)
    if folder is None:
        return None
    return Place(own_file(folder), "folder", folder, marks=not variable)


def books_to_read(folder: Path) -> Path:
    """Return the folder's own file as it is now: also an old one that was not taken over yet.

    Raises:
        AccountError: The folder has books in two places.
    """
    own, old = own_file(folder), old_file(folder)
    return old if os.path.lexists(old) and not os.path.lexists(own) else own


def own_file(folder: Path) -> Path:
    """Return where a folder's own books are, or will be.

    Raises:
        AccountError: It has books in two places.
    """
    real = _real(folder)
    inside, beside = real / _INSIDE / _FILE_NAME, _beside(real)
    if beside is None:
        return inside
    if os.path.lexists(beside) and os.path.lexists(inside):
        raise AccountError(
            f"The folder {folder} has books in two places: {beside} and {inside}. Nothing was "
            "sent. Pass account=… with the path of one of them, or move the other away."
        )
    if os.path.lexists(inside):
        return inside
    return beside if os.path.lexists(beside) or _can_be_beside(real) else inside


def old_file(folder: Path) -> Path:
    """Return where earlier versions saved the account of a folder."""
    return folder / OLD_ACCOUNT_NAME


def folder_of_books(file: Path) -> Path:
    """Return the folder of images that books belong to, by their place; else their own folder."""
    place = file.parent
    if file.name != _FILE_NAME or not place.name.endswith(_BESIDE):
        return place
    name = place.name.removesuffix(_BESIDE)
    return place.with_name(name) if name else place.parent


def _own_if_named(given: str | Path, folder: Path) -> Path | None:
    """Return the folder's own file if it is what was given, as a limited account or budget."""
    if isinstance(given, str) and "://" in given:
        return None
    try:
        own = own_file(folder)
    except AccountError:
        return None
    return own if _real(Path(given)) == own else None


def _checked(given: str | os.PathLike[str]) -> str | Path:
    if not os.fspath(given):
        raise ConfigurationError("account must be a path or a postgresql:// address; it is empty.")
    return given if isinstance(given, str) else Path(given)


def _beside(real: Path) -> Path | None:
    """Return the file beside a folder; None if there can be none, or somebody else prepared it."""
    if not real.name or len(os.fsencode(real.name + _BESIDE)) > _LONGEST_NAME:
        return None
    place = real.with_name(real.name + _BESIDE)
    try:
        found = place.lstat()
    except FileNotFoundError:
        return place / _FILE_NAME
    except OSError:
        return None
    is_ours = not place.is_symlink() and place.is_dir() and found.st_uid in _trusted(real)
    return place / _FILE_NAME if is_ours else None


def _trusted(real: Path) -> set[int]:
    """Return who may have made the place of the books: we, root, or who made the folder."""
    user = os.geteuid() if hasattr(os, "geteuid") else 0
    return {user, 0, real.stat().st_uid} if real.is_dir() else {user, 0}


def _can_be_beside(real: Path) -> bool:
    """Say whether a file beside a folder can be written, and is lost only when the folder is."""
    folder, around = _existing(real), _existing(real.parent)
    place = real.with_name(real.name + _BESIDE)
    target = place if place.is_dir() else around
    try:
        is_one_system = folder.stat().st_dev == target.stat().st_dev and not os.path.ismount(real)
    except OSError:
        return False
    effective = os.access in os.supports_effective_ids
    return is_one_system and os.access(target, os.W_OK | os.X_OK, effective_ids=effective)


def _existing(path: Path) -> Path:
    """Return the path, or what is nearest above it and exists."""
    return next((one for one in (path, *path.parents) if one.exists()), path)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
