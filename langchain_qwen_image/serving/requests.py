"""What a request of the ASGI protocol asks for: which image, and whether the reader has it."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

_LONGEST_NAME = 255
"""Bytes of a file's name, on every common file system."""
_FORBIDDEN = set('\\:*?"<>|')


def name_in(scope: Scope) -> str | None:
    """Return the name of the file that a request asks for; None if none of ours can have it.

    The server has decoded the path. Where the app is mounted, `root_path` is where, and `path`
    begins with all of it (the specification), with none of it (Starlette before 0.33), or with its
    end (FastAPI with a `root_path` of its own, behind a proxy that takes that off).
    """
    place, _, name = str(scope["path"]).rpartition("/")
    if not str(scope.get("root_path") or "").rstrip("/").endswith(place):
        return None
    is_name = name.isprintable() and not name.startswith((".", " ")) and not _FORBIDDEN & set(name)
    return name if is_name and 0 < len(name.encode()) <= _LONGEST_NAME else None


def is_known(scope: Scope, etag: str) -> bool:
    """Say whether the reader has the image already, by `If-None-Match` (RFC 9110, 13.1.2)."""
    given = b",".join(
        value for name, value in scope.get("headers", ()) if name.lower() == b"if-none-match"
    )
    known = {one.strip().removeprefix("W/") for one in given.decode("latin-1").split(",")}
    return "*" in known or etag in known
