"""One prefix of a bucket, as `obstore` writes, reads and lists it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, BinaryIO

from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.storage.bucket_errors import OVERWRITES, BucketError, asked
from langchain_qwen_image.storage.paths import TooLargeError

if TYPE_CHECKING:
    from obstore.store import ObjectStore as AnyStore

__all__ = ["Bucket", "BucketError", "Listed"]

MISSING = (
    "Images in an object store need obstore, which is not installed: "
    "pip install 'langchain-qwen-image[objects]'"
)
_MARK = ".qwen-image"
"""Name of a small object that shows that images can be saved; hidden, as in a folder."""
_MARK_TEXT = b"Images of langchain-qwen-image are saved here.\n"
_QUICK: Any = {"max_retries": 2, "retry_timeout": timedelta(seconds=10)}


@dataclass(frozen=True, slots=True)
class Listed:
    """An object that a listing names.

    Attributes:
        name: Its name below the prefix.
        size_bytes: Its size.
        modified_at: When it was written, in UTC.
    """

    name: str
    size_bytes: int
    modified_at: datetime


class Bucket:
    """One prefix of a bucket, for any number of threads; opened when it is first needed.

    Credentials, region and endpoint are those that `obstore` finds in the environment. They are in
    no attribute of this object, and it is pickled as its address.
    """

    def __init__(self, address: str) -> None:
        """Take an address in its one spelling; nothing is opened.

        Raises:
            ConfigurationError: `obstore` is not installed.
        """
        try:
            import obstore  # noqa: F401
        except ImportError:
            problem = MISSING
        else:
            self.address = address
            self._opened: tuple[int, AnyStore] | None = None
            return
        raise ConfigurationError(problem)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Bucket, (self.address,))

    def put_new(self, name: str, content: bytes, content_type: str) -> bool:
        """Write an object, whole, unless one has that name; say whether it was written.

        Nothing is looked at before: the store itself refuses a name that is taken.

        Raises:
            BucketError: It could not be written.
        """
        return self._put_new(self._store(), name, content, content_type)

    def put(self, name: str, content: bytes | BinaryIO, content_type: str) -> None:
        """Write an object, whole, in the place of one that has its name.

        Raises:
            BucketError: It could not be written; the old one is still there.
        """
        store, attributes = self._store(), {"Content-Type": content_type}
        asked(lambda: store.put(name, content, attributes=attributes))

    def start_of(self, name: str, length: int) -> bytes | None:
        """Return the beginning of an object, as long as it has one; None if there is none.

        Raises:
            BucketError: It could not be read.
        """
        store = self._store()
        try:
            found = asked(lambda: store.get(name), looks_up=True)
        except FileNotFoundError:
            return None
        parts = found.stream(min_chunk_size=length)
        return asked(lambda: bytes(next(iter(parts), b"")))[:length]

    def get(self, name: str, *, max_bytes: int | None = None) -> bytes:
        """Return an object's bytes.

        Raises:
            FileNotFoundError: There is none of that name.
            TooLargeError: It has more than `max_bytes` bytes.
            BucketError: It could not be read.
        """
        store = self._store()
        found = asked(lambda: store.get(name), looks_up=True)
        if max_bytes is not None and found.meta["size"] > max_bytes:
            raise TooLargeError(f"it has more than {max_bytes:,} bytes")
        return asked(lambda: bytes(found.bytes()))

    def has(self, name: str) -> bool:
        """Say whether there is an object of that name.

        Raises:
            BucketError: It could not be asked.
        """
        store = self._store()
        try:
            asked(lambda: store.head(name), looks_up=True)
        except FileNotFoundError:
            return False
        return True

    def listed(self) -> Iterator[Listed]:
        """Yield the objects directly below the prefix; hidden ones are left out.

        Raises:
            BucketError: It could not be listed.
        """
        store = self._store()
        pages = asked(lambda: iter(store.list()))
        while (page := asked(lambda: next(pages, None))) is not None:
            for one in page:
                name = str(one["path"])
                if "/" not in name and not name.startswith("."):
                    yield Listed(name, int(one["size"]), one["last_modified"])

    def try_to_write(self) -> None:
        """See whether images can be saved, by a small object that stays there.

        Where it is written newly, it is written once more: a store that then says so again would
        let one image overwrite another.

        Raises:
            BucketError: They cannot; it was tried for some ten seconds.
        """
        store = self._open(retry_config=_QUICK)
        if self._put_new(store, _MARK, _MARK_TEXT, "text/plain") and self._put_new(
            store, _MARK, _MARK_TEXT, "text/plain"
        ):
            raise BucketError(OVERWRITES)

    def _put_new(self, store: "AnyStore", name: str, content: bytes, content_type: str) -> bool:
        from obstore.exceptions import AlreadyExistsError

        attributes: Any = {"Content-Type": content_type}

        def put() -> bool:
            try:
                store.put(name, content, mode="create", attributes=attributes)
            except AlreadyExistsError:
                return False
            return True

        return asked(put)

    def _store(self) -> "AnyStore":
        """Return the store of this process."""
        opened = self._opened
        if opened is None or opened[0] != os.getpid():
            opened = self._opened = (os.getpid(), self._open())
        return opened[1]

    def _open(self, **options: Any) -> "AnyStore":
        from obstore.store import from_url

        _note_use()
        return asked(lambda: from_url(self.address, **options))


_using_process: int | None = None
_is_forked = False


def _note_use() -> None:
    """Remember the process whose threads `obstore` has; a child of it would wait for ever.

    Raises:
        BucketError: This process was forked from one that used an object store.
    """
    global _using_process
    if _is_forked:
        raise BucketError(
            "this process was forked from one that had used an object store, and obstore cannot "
            "go on there. Start processes by spawn or forkserver, or use the store in them only"
        )
    _using_process = os.getpid()


def _after_fork() -> None:
    global _is_forked
    _is_forked = _is_forked or _using_process is not None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
