"""Keeping images: each with its sidecar, whole or not at all, never over another one.

A sidecar is JSON: what was asked for, what it cost, and what the image's bytes say.
"""

import os

from langchain_core.stores import BaseStore, ByteStore

from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.storage.byte_store import KeyStore
from langchain_qwen_image.storage.folder import FolderStore
from langchain_qwen_image.storage.image_store import Fetch, ImageStore, SavedImage

__all__ = [
    "Fetch",
    "FolderStore",
    "ImageStore",
    "KeyStore",
    "SavedImage",
    "open_store",
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
