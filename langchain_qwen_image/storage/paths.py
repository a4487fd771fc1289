"""Paths that a person gives: what is refused before anything is paid for."""

import os
import re
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.storage.addresses import KNOWN, is_bucket_address, scheme_of

_ONE_SLASH = re.compile(r"^\s*[A-Za-z0-9+.-]+:/(?=[^/])")
_ABSOLUTE = re.compile(
    r"""(?P<quote>['"])(?:/|[A-Za-z]:[\\/]|\\\\).*?(?P=quote)"""
    r"""|(?<![\w/:.%~)\]])(?:/|[A-Za-z]:[\\/]|\\\\)[^\s'"<>,;:()]+"""
    r"""|\b(?!https?:)[A-Za-z][A-Za-z0-9+.-]*://[^\s'"<>,;()]*[^\s'"<>,;:().]"""
)
"""An absolute path in a text, in quotation marks or as far as its blank; or a bucket's address."""
_LONGEST_NAME = "n" * 142
"""As long as a name of ours with its suffix gets."""


class TooLargeError(ValueError):
    """A file has more bytes than its reader takes."""


def check_name(folder: str | os.PathLike[str], option: str = "save_to") -> str:
    """Return a folder's name, judged without looking at the disk.

    Args:
        folder: What was given.
        option: The setting or the option of a command that it was given as, for messages.

    Raises:
        ConfigurationError: It is an address, or has what no file name can have.
    """
    given = os.fsdecode(folder)
    scheme = scheme_of(given)
    if scheme is not None:
        raise ConfigurationError(_address(given, scheme, option))
    if "\0" in given:
        raise _cannot_be(given, "a name cannot have a null character", option)
    _check_encoding(given, given, option)
    return given


def checked_folder(folder: str | os.PathLike[str], option: str = "save_to") -> Path:
    """Return the absolute path of a folder for images, which need not exist yet.

    Args:
        folder: What was given.
        option: The setting or the option of a command that it was given as, for messages.

    Raises:
        ConfigurationError: `check_name` refuses it, it is too long, or something else is in its
            place.
    """
    given = check_name(folder, option)
    try:
        path = Path(os.path.abspath(Path(given).expanduser()))  # noqa: PTH100, no symlink is followed
        existing = nearest_existing(path / _LONGEST_NAME)
        is_folder = existing.is_dir()
    except (OSError, RuntimeError) as error:  # RuntimeError: that user has no home
        raise _cannot_be(given, getattr(error, "strerror", None) or str(error), option) from None
    _check_encoding(given, str(path), option)
    if not is_folder:
        what = "is a file" if existing.is_file() else "is not a folder"
        raise _cannot_be(given, f"{existing} {what}", option)
    return path


def nearest_existing(path: Path) -> Path:
    """Return the path, or what exists nearest above it.

    Raises:
        OSError: It is too long, or its symbolic links lead in a circle.
    """
    for one in (path, *path.parents):
        try:
            one.lstat()
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        return one
    return path


def file_name(path: str) -> str:
    """Return the name at the end of a path of any system."""
    return re.split(r"[/\\]", path)[-1]


def without_paths(text: str, folder: str | os.PathLike[str] | None = None) -> str:
    """Return a text without absolute paths and addresses of buckets, for models and browsers.

    Args:
        text: What is said to an operator.
        folder: The place of the images; a name with blanks is found whole by it.
    """
    if folder is not None:
        text = text.replace(os.fspath(folder), "its place")
    return _ABSOLUTE.sub("(a path)", text)


def open_regular(path: Path, *, follows: bool = True) -> BinaryIO:
    """Open a regular file to read, and nothing that could block or never end.

    Args:
        path: Its path.
        follows: Whether it may be a symbolic link.

    Raises:
        ValueError: It is a pipe, a device, a socket or, unless it may be, a symbolic link.
        OSError: It cannot be read.
    """
    if not follows and path.is_symlink():
        raise ValueError(f"{path} is a symbolic link")
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    flags |= getattr(os, "O_BINARY", 0) | getattr(os, "O_NOCTTY", 0)
    flags |= 0 if follows else getattr(os, "O_NOFOLLOW", 0)  # it may have become one meanwhile
    file = os.fdopen(os.open(path, flags), "rb")
    if not S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ValueError(f"{path} is not a regular file")
    return file


def read_regular(path: Path, *, max_bytes: int | None = None) -> bytes:
    """Read a regular file, and nothing that could block or never end.

    Raises:
        TooLargeError: It has more than `max_bytes` bytes.
        ValueError: It is a pipe, a device or a socket.
        OSError: It cannot be read.
    """
    with open_regular(path) as file:
        if max_bytes is not None and os.fstat(file.fileno()).st_size > max_bytes:
            raise TooLargeError(f"it has more than {max_bytes:,} bytes")
        return file.read(-1 if max_bytes is None else max_bytes)


def _check_encoding(given: str, path: str, option: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        problem = "its path is not UTF-8, so no sidecar, account or message can name it"
    else:
        return
    raise _cannot_be(given, problem, option)


def _address(given: str, scheme: str, option: str) -> str:
    given = _ONE_SLASH.sub(f"{scheme}://", given)
    named = f"{option} {given!r:.80}" if option.startswith("-") else f"{option}={given!r:.80}"
    if scheme == "file":
        return f"{named} is an address: give the folder's plain path."
    if is_bucket_address(given):
        return f"{named} is an address, and only a folder of this machine can be used here."
    return (
        f"{named} is an address. Images are saved in a folder of this machine, in an object store "
        f"({KNOWN}) or in a LangChain ByteStore. For a folder of that name, give its absolute "
        "path."
    )


def _cannot_be(given: str, reason: str, option: str) -> ConfigurationError:
    return ConfigurationError(
        f"{option} must be a folder for images, and {given!r:.80} cannot be one: {reason}."
    )
