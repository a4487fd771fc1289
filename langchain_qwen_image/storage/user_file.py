"""A file, or a folder for one, that a user named for an image that is paid for.

What cannot work is found before anything is fetched. A name that is taken loses no image: the
error comes first, and the bytes stay where they are.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR, S_ISLNK, S_ISREG

from langchain_qwen_image.download.image_format import HEAD_BYTES, media_type_of
from langchain_qwen_image.errors import FileAlreadyExistsError, SaveError
from langchain_qwen_image.storage.addresses import scheme_of
from langchain_qwen_image.storage.atomic import replace_file, write_new_file
from langchain_qwen_image.storage.failures import with_cause
from langchain_qwen_image.storage.image_store import names
from langchain_qwen_image.storage.paths import nearest_existing

_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}


@dataclass(frozen=True, slots=True)
class UserFile:
    """Where an image goes: a path that was judged, and how it was given."""

    given: str
    path: Path
    is_folder: bool
    overwrite: bool

    def write(self, content: bytes, name: str) -> Path:
        """Write an image, whole or not at all, and return its path.

        Args:
            content: The image.
            name: Its name without suffix, should the user have named a folder.

        Raises:
            FileAlreadyExistsError: The name was taken meanwhile.
            SaveError: The disk is full, or the folder cannot be written.
        """
        try:
            if self.is_folder:
                return self._write_into_folder(content, name)
            if self.overwrite:
                replace_file(self.path.resolve(), content)  # a link keeps leading to its file
            else:
                write_new_file(self.path, content)
        except OSError as error:
            is_taken = isinstance(error, FileExistsError) and os.path.lexists(self.path)
            problem = _exists(self.given) if is_taken else _failed(self.given, error)
        else:
            return self.path
        raise problem

    def _write_into_folder(self, content: bytes, name: str) -> Path:
        suffix = _SUFFIXES.get(media_type_of(content[:HEAD_BYTES]) or "", "")
        for one in names(name):
            with suppress(FileExistsError):
                return write_new_file(self.path / f"{one}{suffix}", content)
        raise OSError(f"no free name was found in {self.path}")


def open_user_file(given: str | os.PathLike[str], *, overwrite: bool = False) -> UserFile:
    """Judge a path that a user named; nothing is written yet.

    A folder, or a path that ends in a separator, is for an image of a name of ours. Folders that
    are missing are made when the image is written.

    Raises:
        FileAlreadyExistsError: There is a file of that name, and `overwrite` is not set.
        SaveError: Nothing can be written there.
    """
    text = os.fsdecode(given)
    if not text or "\0" in text:
        raise _cannot(text, "it is not the path of a file")
    if scheme_of(text):
        raise _cannot(text, "it is an address; give a path of this machine")
    is_folder = text.endswith(tuple(filter(None, ("/", os.sep, os.altsep))))
    try:
        path = Path(text).expanduser()
        problem = _problem(text, path, is_folder=is_folder, overwrite=overwrite)
        is_folder = is_folder or path.is_dir()
    except OSError as error:
        problem = _failed(text, error)
    except RuntimeError as error:  # that user has no home
        problem = _cannot(text, str(error))
    if problem is not None:
        raise problem
    return UserFile(text, path, is_folder, overwrite)


def _problem(given: str, path: Path, *, is_folder: bool, overwrite: bool) -> SaveError | None:
    """Return what speaks against a path, as far as looking at it tells."""
    try:
        is_link = S_ISLNK(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        above = nearest_existing(path.parent)
        return None if above.is_dir() else _cannot(given, f"{above} is not a folder")
    mode = 0 if is_link and not path.exists() else path.stat().st_mode
    if S_ISDIR(mode):
        return None
    if is_folder:
        return _cannot(given, "it is not a folder")
    if not overwrite:
        return _exists(given)
    if mode and not S_ISREG(mode):  # a device or a pipe is never replaced by a file
        return _cannot(given, "it is not a regular file")
    return None


def _exists(given: str) -> FileAlreadyExistsError:
    return FileAlreadyExistsError(
        f"{given!r} exists already, and was left as it is. The image is paid for and not lost: "
        "save it under another name, or with overwrite=True."
    )


def _cannot(given: str, reason: str) -> SaveError:
    return SaveError(
        f"The image cannot be saved as {given!r}: {reason}. It is paid for and not lost: save it "
        "elsewhere."
    )


def _failed(given: str, error: OSError) -> SaveError:
    return with_cause(_cannot(given, error.strerror or str(error)), error)
