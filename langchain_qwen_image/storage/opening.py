"""What `save_to` accepts, and the store that it means.

Images are saved each with its sidecar, whole or not at all, never over another one.
"""

import os
from pathlib import Path
from typing import Annotated, TypeAlias

from langchain_core.stores import BaseStore
from pydantic import AfterValidator, InstanceOf

from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.storage.addresses import bucket_address, is_bucket_address, parent_of
from langchain_qwen_image.storage.byte_store import KeyStore
from langchain_qwen_image.storage.folder import FolderStore
from langchain_qwen_image.storage.image_store import Fetch, ImageStore, SavedImage
from langchain_qwen_image.storage.object_store import ObjectStore
from langchain_qwen_image.storage.paths import check_name

__all__ = [
    "Fetch",
    "FolderStore",
    "ImageStore",
    "KeyStore",
    "ObjectStore",
    "SaveTo",
    "SavedImage",
    "folder_of",
    "open_store",
    "store_around",
]

_Place: TypeAlias = (
    str | os.PathLike[str] | InstanceOf[BaseStore[str, bytes]] | InstanceOf[ImageStore]
)


def open_store(save_to: _Place) -> ImageStore:
    """Return the store for a folder's path, an address, a `ByteStore` or an `ImageStore`.

    Raises:
        ConfigurationError: it is none of them, cannot be a folder, or needs an extra that is not
            installed.
    """
    if isinstance(save_to, ImageStore):
        return save_to
    if isinstance(save_to, BaseStore):
        return KeyStore(save_to)
    if is_bucket_address(save_to):
        return ObjectStore(save_to)
    if isinstance(save_to, str | os.PathLike) and os.fspath(save_to):
        return FolderStore(save_to)
    raise ConfigurationError(
        "save_to must be a folder's path, an address such as s3://bucket/prefix or a ByteStore, "
        f"not {type(save_to).__name__}."
    )


def store_around(path: str) -> ImageStore | None:
    """Return the place that a saved image is in, by its path; None if the path does not say it."""
    if is_bucket_address(path):
        return ObjectStore(parent_of(path))
    folder = Path(path).parent
    return FolderStore(folder) if folder.is_absolute() else None


def folder_of(save_to: _Place | None) -> Path | None:
    """Return the folder where images are saved, absolute; None if they are saved elsewhere.

    Raises:
        ConfigurationError: it cannot be a folder.
    """
    return None if save_to is None else open_store(save_to).folder


def _check(save_to: _Place) -> _Place:
    """Judge a setting without touching the disk: settings may be made on an event loop."""
    if is_bucket_address(save_to):
        return bucket_address(save_to)
    if isinstance(save_to, str | os.PathLike):
        check_name(save_to)
    return save_to


SaveTo: TypeAlias = Annotated[_Place, AfterValidator(_check)]
"""The type of a `save_to` setting; an address that cannot be used is refused when it is set."""
