"""The saved image of a name, opened: an image with its sidecar, of a known format, and whole."""

import errno
import re
from dataclasses import dataclass
from io import SEEK_END
from typing import BinaryIO

from langchain_qwen_image.download.image_format import (
    HEAD_BYTES,
    DamagedImageError,
    media_type_of,
)
from langchain_qwen_image.storage.image_store import ImageStore

_SHA256 = re.compile(r"[0-9a-f]{64}")
_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG}


@dataclass(frozen=True, slots=True)
class SavedFile:
    """An open image.

    Attributes:
        file: At its beginning; to be closed by who opened it.
        size: Its bytes.
        mime_type: From its first bytes, whatever its name says.
        etag: The same for the same bytes, wherever they are served.
    """

    file: BinaryIO
    size: int
    mime_type: str
    etag: str


def open_saved(store: ImageStore, name: str) -> SavedFile | None:
    """Open a saved image; None if there is none of this name.

    Raises:
        OSError: It exists and cannot be read.
        Exception: What a store of the caller's raises.
    """
    try:
        sidecar = store.read_sidecar(name)
        if sidecar.file != name or not _SHA256.fullmatch(sidecar.sha256 or ""):
            return None
        file = store.open(name)
    except ValueError:  # no name of an image, a link that leads away, or no sidecar of ours
        return None
    except OSError as error:
        if error.errno in _NOT_THERE or isinstance(error, FileNotFoundError):
            return None
        raise
    try:
        head = file.read(HEAD_BYTES)
        size = file.seek(0, SEEK_END)
        file.seek(0)
        mime_type = _media_type_of(head)
    except BaseException:
        file.close()
        raise
    if mime_type is None or size != sidecar.size_bytes:
        file.close()
        return None
    return SavedFile(file, size, mime_type, f'"{sidecar.sha256}"')


def _media_type_of(head: bytes) -> str | None:
    try:
        return media_type_of(head)
    except DamagedImageError:
        return None
