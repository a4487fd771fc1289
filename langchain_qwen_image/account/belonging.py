"""See to it that a folder of images and the books of its calls belong together, before paying."""

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from langchain_qwen_image.account.marker import (
    MARKER_NAME,
    BadMarkerError,
    read_marker,
    write_marker,
)
from langchain_qwen_image.account.network_disk import network_file_system
from langchain_qwen_image.account.places import Place, books_to_read, old_file
from langchain_qwen_image.account.takeover import conflict, take_over
from langchain_qwen_image.errors import AccountError, ConfigurationError

if TYPE_CHECKING:
    from langchain_qwen_image.account.account import Account

__all__ = ["Belonging", "check_marker"]

AnyAccount = TypeVar("AnyAccount", bound="Account")
_Seen = tuple[tuple[int, ...] | None, ...]

logger = logging.getLogger("langchain_qwen_image")


class Belonging:
    """Makes the books ready before each call; where nothing changed it costs microseconds."""

    def __init__(
        self,
        place: Place,
        has_paid_images: Callable[[Path], bool] = lambda folder: False,
        *,
        is_served: bool = False,
    ) -> None:
        """Take where the books are, and what looks for sidecars of paid calls in a folder.

        With `is_served` browsers see the folder's images, so that books in it are warned of.
        """
        self._place = place
        self._is_served = is_served
        self._has_paid_images = has_paid_images
        self._passed: _Seen | None = None

    @property
    def is_named(self) -> bool:
        """Whether an argument names the books, and not the environment or the folder."""
        return self._place.source == "argument"

    def is_due(self, account: "Account") -> bool:
        """Say whether something is to be done, or changed since it was: a look at three names."""
        return self._passed is None or self._passed != self._seen(account)

    def ready(self, account: "Account") -> None:
        """Take an old file over, make the books if there are none, and mark the folder with them.

        Raises:
            AccountError: The folder was moved, renamed or copied away from its books, or they
                cannot be read or written. Nothing was sent.
            ConfigurationError: A file is not one of ours.
        """
        place, folder = self._place, self._place.folder
        if place.source == "folder" and folder is not None:
            _take_over(folder, Path(place.location))
            if place.marks:
                self._check(folder, account, Path(place.location))
        if self._passed is None:
            _warn_of_network(account.path)
            if self._is_served and place.is_inside:
                _warn_of_server(place)
        account_id = account.prepare().result()
        if folder is not None and place.marks:
            _mark(folder, account_id)
        self._passed = self._seen(account)

    def ready_if_possible(self, account: "Account") -> None:
        """Do what `ready` does, before an image is saved that another account has paid for.

        In a folder without books it would look as if it was copied away from its own. What is wrong
        is told by the next call that pays, and holds up nothing that is free.
        """
        with suppress(AccountError, ConfigurationError):
            self.ready(account)

    def to_read(self, account: AnyAccount) -> AnyAccount:
        """Return the account to read before a call is made; nothing is moved, made or marked.

        Raises:
            AccountError: The folder was moved, renamed or copied away from its books.
        """
        place, folder = self._place, self._place.folder
        if place.source != "folder" or folder is None:
            return account
        file = books_to_read(folder)
        if file != place.location:
            return type(account)(file)
        if place.marks:
            self._check(folder, account, file)
        return account

    def _check(self, folder: Path, account: "Account", books: Path) -> None:
        check_marker(folder, account, books)
        if os.path.lexists(folder / MARKER_NAME) or account.id is not None:
            return
        if self._has_paid_images(folder) and account.id is None:  # nobody made them meanwhile
            raise AccountError(
                f"{folder} has images that were paid for, and there is no account of them at "
                f"{books}. They were copied without it. Nothing was sent, because images could be "
                f"paid for again. {_ways_out(folder)}"
            )

    def _seen(self, account: "Account") -> _Seen:
        """Return what would be another if files were moved, deleted or replaced."""
        folder = self._place.folder
        beside = () if folder is None else (folder / MARKER_NAME, old_file(folder))
        return (os.getpid(),), *map(_state, (*beside, account.path))


def check_marker(folder: Path, account: "Account", books: Path) -> None:
    """Refuse a folder whose marker names another account than its books are, if it has one.

    Args:
        folder: The folder of images.
        account: The books; they may not be made yet.
        books: Where they are, or would be.

    Raises:
        AccountError: They do not belong together; the message names the ways out.
    """
    try:
        marker = read_marker(folder)
    except BadMarkerError as error:
        raise AccountError(
            f"{folder / MARKER_NAME} does not say which account has the images: {error}. Nothing "
            f"was sent, because images could be paid for again. {_ways_out(folder)}"
        ) from None
    # Asked after the marker was read: another call, which makes the books just now, marks last.
    account_id = None if marker is None else account.id
    if marker == account_id:
        return
    found = "there is no file" if account_id is None else "there is another account"
    raise AccountError(
        f"The images in {folder} are recorded in the account {marker}, and {found} at {books}. The "
        "folder was moved, renamed or copied, or it was used with account=…. Nothing was sent, "
        f"because images could be paid for again. {_ways_out(folder)}"
    )


def _ways_out(folder: Path) -> str:
    return (
        "Move the account's file with the folder, or pass account=… with its place, or make a new "
        f"account from the files in the folder: qwen-image recover --rebuild {folder}"
    )


def _take_over(folder: Path, books: Path) -> None:
    old = old_file(folder)
    if not os.path.lexists(old):
        return
    if os.path.lexists(folder / MARKER_NAME):  # taken over before, and made again since
        raise conflict(old, books)
    take_over(old, books)


def _mark(folder: Path, account_id: str) -> None:
    if os.path.lexists(folder / MARKER_NAME):
        return
    try:
        write_marker(folder, account_id)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise AccountError(
            f"{folder / MARKER_NAME} cannot be written: {reason}. Nothing was sent."
        ) from None


def _warn_of_network(path: Path | None) -> None:
    kind = None if path is None else network_file_system(Path(os.path.realpath(path)))
    if kind is not None:
        logger.warning(
            "%s is on a network file system (%s). Use it from one machine only: SQLite's locks may "
            "not hold between machines, and images could be paid for twice. For several machines, "
            "use an account in PostgreSQL.",
            path,
            kind,
        )


def _warn_of_server(place: Place) -> None:
    logger.warning(
        "public_url is set, and the account of the images is in their folder: %s. It holds prompts "
        "and signed links, and a server of the folder's files serves it too. Serve the images with "
        "langchain_qwen_image.serving.image_app, or move the account elsewhere with account=….",
        place.location,
    )


def _state(path: Path | None) -> tuple[int, ...] | None:
    try:
        found = None if path is None else path.lstat()
    except OSError:
        return None
    return None if found is None else (found.st_dev, found.st_ino)
