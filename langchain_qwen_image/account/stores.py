"""Which store an account is in: an SQLite file, or PostgreSQL."""

import os
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

from langchain_qwen_image.account.database import Database
from langchain_qwen_image.account.database_url import is_database_url
from langchain_qwen_image.account.store import Store
from langchain_qwen_image.environment import on_event_loop

__all__ = ["store_at", "store_finder"]


def store_finder(location: str | os.PathLike[str]) -> Callable[[], Store]:
    """Return what gives the store of a path or an address.

    It is found now, so that a relative path means what it means now. On an event loop it is found
    at first use, in a thread: to resolve a path reads the disk.

    Raises:
        ConfigurationError: It cannot be one.
    """
    if on_event_loop() and not (isinstance(location, str) and is_database_url(location)):
        return partial(store_at, location)
    store = store_at(location)
    return lambda: store


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
