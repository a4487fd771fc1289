"""Which store an account is in: an SQLite file, or PostgreSQL."""

import os
from importlib import import_module
from pathlib import Path

from langchain_qwen_image.account.database import Database
from langchain_qwen_image.account.database_url import is_database_url
from langchain_qwen_image.account.store import Store

__all__ = ["store_at"]


def store_at(location: str | os.PathLike[str]) -> Store:
    """Return this process's store of a path or an address; nothing is opened.

    Raises:
        ConfigurationError: It cannot be one, such as an address that libpq does not read.
    """
    if isinstance(location, str) and is_database_url(location):
        postgres = import_module("langchain_qwen_image.account.postgres")
        store: Store = postgres.PostgresStore.at(location)
        return store
    return Database.at(Path(location))
