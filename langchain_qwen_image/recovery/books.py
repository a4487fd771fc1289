"""Which account a folder, a file or an address means, for those who look into it."""

import os
from dataclasses import dataclass
from pathlib import Path

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.belonging import check_marker
from langchain_qwen_image.account.database_url import is_database_url
from langchain_qwen_image.account.marker import BadMarkerError, read_marker
from langchain_qwen_image.account.places import (
    books_of,
    books_to_read,
    folder_of_books,
    old_file,
    own_file,
)
from langchain_qwen_image.account.takeover import take_over
from langchain_qwen_image.defaults import DATABASE_VARIABLE
from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.storage.addresses import bucket_address, is_bucket_address

__all__ = ["Opened", "account_at", "open_books"]


@dataclass(frozen=True, slots=True)
class Opened:
    """An account, and the folder of images that was meant with it, if any.

    Attributes:
        account: The account.
        folder: The folder.
        is_own: Whether the account is in the folder's own file.
        address: The place in an object store that was meant with it, if any.
    """

    account: Account
    folder: Path | None
    is_own: bool = False
    address: str | None = None

    @property
    def has_folder(self) -> bool:
        """Whether the folder's images are this account's, as its marker says."""
        if self.folder is None:
            return False
        try:
            marker = read_marker(self.folder)
        except BadMarkerError:
            return False
        return self.is_own if marker is None else marker == self.account.id


def account_at(path: str | os.PathLike[str]) -> Account:
    """Return the account that a folder, a file or an address means, to read it.

    Raises:
        AccountError: A folder has books in two places.
        ConfigurationError: There is no such file.
    """
    return open_books(path, changes=False).account


def open_books(
    path: str | os.PathLike[str],
    account: str | os.PathLike[str] | None = None,
    *,
    changes: bool,
    rebuilds: bool = False,
) -> Opened:
    """Return the account that a folder, a file or an address means.

    For a folder it is the one that a call would use: `account`, the variable, the folder's own. For
    a place in an object store it is `account` or the variable.

    Args:
        path: The folder, or an account: its file or address.
        account: The account of the folder.
        changes: Take an old file of the folder over, as a call does. Otherwise nothing is changed.
        rebuilds: The folder's own books may be missing, or another folder's.

    Raises:
        AccountError: The folder was moved away from its books, or has some in two places.
        ConfigurationError: There is no account.
    """
    if isinstance(path, str) and is_database_url(path):
        return Opened(Account(path), None)
    if is_bucket_address(path):
        return _books_of_bucket(bucket_address(path, "DIR"), account, rebuilds=rebuilds)
    given = Path(path).expanduser()
    if not given.is_dir():
        return Opened(_existing(given), folder_of_books(given.absolute()))
    folder = Path(os.path.abspath(given))  # noqa: PTH100, no symlink is followed
    place = books_of(account, folder, sandbox=False)
    if place is None or place.source != "folder":
        return Opened(Account(folder if place is None else place.location), folder)
    if changes and read_marker_or_none(folder) is None:
        take_over(old_file(folder), own_file(folder))
    file = books_to_read(folder)
    if rebuilds:
        return Opened(Account(file), folder, is_own=True)
    if read_marker_or_none(folder) is not None:
        check_marker(folder, Account(file), file)
    return Opened(_existing(file), folder, is_own=True)


def _books_of_bucket(
    address: str, account: str | os.PathLike[str] | None, *, rebuilds: bool
) -> Opened:
    place = books_of(account, None, sandbox=False)
    if place is None:
        raise ConfigurationError(
            f"An account cannot be in an object store. Name the one of {address}: account=… "
            f"(--account), a file or a postgresql:// address, or set {DATABASE_VARIABLE}."
        )
    found = Account(place.location)
    if found.path is not None and not rebuilds:
        _existing(found.path)
    return Opened(found, None, address=address)


def read_marker_or_none(folder: Path) -> str | None:
    """Return what a marker says; a prepared one counts as some marker."""
    try:
        return read_marker(folder)
    except BadMarkerError:
        return ""


def _existing(file: Path) -> Account:
    if not file.is_file():
        raise ConfigurationError(f"There is no account at {file}.")
    return Account(file)
