"""Keeping pictures: each with its sidecar, whole or not at all, never over another one.

A sidecar is JSON: what was asked for, what it cost, and what the picture's bytes say.
"""

import os
from pathlib import Path

from langchain_core.stores import BaseStore, ByteStore

from langchain_qwen_image._atomic import finish, part_file, publish, sync_folder
from langchain_qwen_image._folder_store import FolderStore
from langchain_qwen_image._image_store import Fetch, ImageStore, Kept
from langchain_qwen_image._key_store import KeyStore
from langchain_qwen_image._threads import in_thread
from langchain_qwen_image.errors import ConfigurationError

__all__ = [
    "Fetch",
    "FolderStore",
    "ImageStore",
    "Kept",
    "KeyStore",
    "awrite_new_file",
    "open_store",
    "write_new_file",
]


def open_store(save_to: str | os.PathLike[str] | ByteStore) -> ImageStore:
    """Return the store for a folder's path or a `ByteStore`.

    Raises:
        ConfigurationError: it is neither, or a file stands where the folder should be.
    """
    if isinstance(save_to, BaseStore):
        return KeyStore(save_to)
    if isinstance(save_to, str | os.PathLike) and os.fspath(save_to):
        return FolderStore(save_to)
    raise ConfigurationError(
        f"save_to must be a folder's path or a ByteStore, not {type(save_to).__name__}."
    )


def write_new_file(path: Path, content: bytes) -> Path:
    """Write a file, whole or not at all, and return its path; its folder is made when missing.

    Raises:
        FileExistsError: the name is taken; it is never overwritten.
        OSError: the disk is full, or the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with part_file(path.parent) as (part, file):
        file.write(content)
        finish(file)
        publish(part, path)
    sync_folder(path.parent)
    return path


async def awrite_new_file(path: Path, content: bytes) -> Path:
    """Async twin of `write_new_file`."""
    return await in_thread(write_new_file, path, content)
