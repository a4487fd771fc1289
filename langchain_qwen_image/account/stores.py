"""Which store an account is in: an SQLite file, or PostgreSQL."""

import os
from importlib import import_module
from pathlib import Path

from langchain_qwen_image.account.database import Database
from langchain_qwen_image.account.store import Store

__all__ = ["store_at"]

_URLS = ("postgresql://", "postgres://")


def store_at(location: str | os.PathLike[str]) -> Store:
    """Return this process's store of a path or an address; nothing is opened.

    Raises:
        ConfigurationError: It cannot be one.
    """
    if isinstance(location, str) and location.startswith(_URLS):
        postgres = import_module("langchain_qwen_image.account.postgres")
        store: Store = postgres.PostgresStore.at(location)
        return store
    return Database.at(Path(location))
