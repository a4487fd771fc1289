"""A `ByteStore` of the caller's as a place for images."""

from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path

from langchain_core.stores import ByteStore

from langchain_qwen_image.storage.image_store import (
    SUFFIXES,
    Fetch,
    ImageStore,
    SavedImage,
    names,
)
from langchain_qwen_image.storage.paths import TooLargeError
from langchain_qwen_image.storage.sidecar import Sidecar

_AT_ONCE = 100


class KeyStore(ImageStore):
    """A `ByteStore` of the caller's; sidecar and image go there in one `mset`, in this order.

    Keys are like file names, of ASCII characters only: some stores refuse others.
    """

    _ascii_only = True

    def __init__(self, store: ByteStore) -> None:
        """Take the store; an image goes through memory on its way there."""
        self._store = store

    def __repr__(self) -> str:
        return f"KeyStore({type(self._store).__name__})"

    def _save(self, fetch: Fetch, first_name: str, sidecar: Sidecar) -> SavedImage:
        buffer = BytesIO()
        info = fetch(buffer)
        for name in names(first_name):
            keys = [f"{name}.json", f"{name}{info.suffix}"]
            if any(value is not None for value in self._store.mget(keys)):
                if self._holds(keys[1], sidecar, info):
                    return SavedImage(keys[1], info)
                continue
            values = [sidecar.beside(name, info).to_json(), buffer.getvalue()]
            self._store.mset(list(zip(keys, values, strict=True)))
            return SavedImage(keys[1], info)
        raise FileExistsError("no free key was found in the store")

    def read(self, path: str, *, max_bytes: int | None = None) -> bytes:
        """Read an image as `ImageStore.read` says."""
        if Path(path).suffix not in SUFFIXES:
            raise ValueError(f"{path!r} is not the key of an image")
        value = self._store.mget([path])[0]
        if value is None:
            raise FileNotFoundError(f"there is no {path!r} in the store")
        if max_bytes is not None and len(value) > max_bytes:
            raise TooLargeError(f"it has more than {max_bytes:,} bytes")
        return value

    def read_sidecar(self, path: str) -> Sidecar:
        """Return what `ImageStore.read_sidecar` says."""
        value = self._store.mget([str(Path(path).with_suffix(".json"))])[0]
        if value is None:
            raise FileNotFoundError(f"there is no sidecar of {path!r} in the store")
        return Sidecar.from_json(value)

    def _all_names(self) -> Iterator[str]:
        return iter(self._store.yield_keys())

    def sidecars(self) -> Iterator[tuple[str | None, Sidecar]]:
        """Yield as `ImageStore.sidecars` says; every key of the store is looked at."""
        keys = set(self._store.yield_keys())
        names = sorted(key for key in keys if key.endswith(".json"))
        for start in range(0, len(names), _AT_ONCE):
            for value in self._store.mget(names[start : start + _AT_ONCE]):
                with suppress(ValueError):  # not ours
                    sidecar = Sidecar.from_json(value or b"")
                    is_there = sidecar.file in keys and Path(sidecar.file or "").suffix in SUFFIXES
                    yield sidecar.file if is_there else None, sidecar

    def locate(self, path: str) -> str | None:
        """Return what `ImageStore.locate` says, judged by the sidecar, which is short."""
        return path if self._store.mget([str(Path(path).with_suffix(".json"))])[0] else None
