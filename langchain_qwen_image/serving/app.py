"""An ASGI app that serves saved images, and nothing else."""

from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from os import PathLike
from typing import TypeVar

from anyio import CancelScope, CapacityLimiter, create_task_group
from anyio.lowlevel import RunVar
from anyio.to_thread import run_sync
from langchain_core.stores import ByteStore

from langchain_qwen_image.environment import on_event_loop
from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.serving.requests import (
    Message,
    Receive,
    Scope,
    Send,
    is_known,
    name_in,
)
from langchain_qwen_image.serving.saved import SavedFile, open_saved
from langchain_qwen_image.storage.opening import ImageStore, SaveTo, open_store

CACHE_CONTROL = "public, max-age=31536000, immutable"
"""A saved image never changes, and no other one gets its name."""

_CHUNK = 1 << 18
_THREADS = 8
"""Of each event loop, beside those of the web framework, which may all wait for an agent."""
_NOSNIFF = ("x-content-type-options", "nosniff")
_PLAIN = {404: "Not Found", 405: "Method Not Allowed"}

_T = TypeVar("_T")
_limiters: RunVar[CapacityLimiter] = RunVar("qwen_image_serving")


class ImageApp:
    """An ASGI app; `image_app` makes it. It may be mounted, or be served alone."""

    def __init__(self, save_to: SaveTo, cache_control: str) -> None:
        """Take where the images are, and the header that says how long they may be kept."""
        self._save_to = save_to
        self._cache_control = cache_control
        if not on_event_loop():  # there the first request does it, in a thread: it asks the disk
            self._save_to = open_store(save_to)

    def __repr__(self) -> str:
        return f"ImageApp({self._save_to!r})"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what the server asks."""
        match scope["type"]:
            case "http":
                with suppress(_GoneError):
                    await self._answer(scope, receive, _to_reader(send))
            case "lifespan":
                await _live(receive, send)
            case "websocket":
                await send({"type": "websocket.close", "code": 1000})
            case other:
                raise ValueError(f"ImageApp answers http requests, and no {other!r} ones.")

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, name = scope["method"], name_in(scope)
        if method not in {"GET", "HEAD"}:
            await _plain(send, 405, method, ("allow", "GET, HEAD"))
            return
        saved = None if name is None else await _in_thread(partial(self._open, name))
        if saved is None:
            await _plain(send, 404, method)
            return
        with closing(saved.file):
            if is_known(scope, saved.etag):
                await _start(send, 304, *self._lasting(saved))
                await send({"type": "http.response.body"})
                return
            await _start(
                send,
                200,
                ("content-type", saved.mime_type),
                ("content-length", str(saved.size)),
                ("accept-ranges", "none"),
                *self._lasting(saved),
            )
            if method == "HEAD":
                await send({"type": "http.response.body"})
            else:
                await _send_file(saved, receive, send)

    def _open(self, name: str) -> SavedFile | None:
        self._save_to = store = open_store(self._save_to)
        return open_saved(store, name)

    def _lasting(self, saved: SavedFile) -> list[tuple[str, str]]:
        return [("etag", saved.etag), ("cache-control", self._cache_control), _NOSNIFF]


def image_app(
    save_to: str | PathLike[str] | ByteStore | ImageStore, *, cache_control: str = CACHE_CONTROL
) -> ImageApp:
    """Make an ASGI app that serves the images of a `save_to`, each by its file name.

    FastAPI, Starlette and others mount it: `app.mount("/images", image_app("images"))`. Served are
    images that this package saved, whole, with their `.json` file beside them; never that file,
    the account, unfinished files, a listing, or what a link leads to. Anyone who knows a name can
    open the image: put what asks who somebody is before it.

    Args:
        save_to: The folder, bucket or store where a tool or generator saves images; it need not
            exist yet.
        cache_control: Value of the header `Cache-Control` of an image.

    Raises:
        ConfigurationError: `save_to` cannot be a place for images, or the header has characters
            that it cannot have.
    """
    if not (cache_control.isascii() and cache_control.isprintable()):
        raise ConfigurationError(
            f"cache_control must be the value of a header, such as {CACHE_CONTROL!r}; got "
            f"{cache_control[:80]!r}."
        )
    return ImageApp(save_to, cache_control)


class _GoneError(Exception):
    """The reader closed the connection."""


def _to_reader(send: Send) -> Send:
    """Return `send`, with an error of its own for a reader that has gone (ASGI 2.4: `OSError`)."""

    async def to_reader(message: Message) -> None:
        try:
            await send(message)
        except OSError:
            raise _GoneError from None

    return to_reader


async def _send_file(saved: SavedFile, receive: Receive, send: Send) -> None:
    """Send a file in pieces, until its end or until the reader has gone."""
    async with create_task_group() as tasks:
        tasks.start_soon(_watch, receive, tasks.cancel_scope)
        with suppress(_GoneError):  # a group of tasks would wrap it
            left = saved.size
            while left:
                piece = await _in_thread(partial(saved.file.read, min(left, _CHUNK)))
                if not piece:
                    raise EOFError("the image became shorter while it was sent")
                left -= len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": left > 0})
        tasks.cancel_scope.cancel()


async def _watch(receive: Receive, sending: CancelScope) -> None:
    """Stop sending when the reader goes: not every server says so when something is sent."""
    while (await receive())["type"] != "http.disconnect":
        pass
    sending.cancel()


async def _plain(send: Send, status: int, method: str, *headers: tuple[str, str]) -> None:
    text = _PLAIN[status].encode()
    await _start(
        send,
        status,
        ("content-type", "text/plain; charset=utf-8"),
        ("content-length", str(len(text))),
        ("cache-control", "no-store"),
        _NOSNIFF,
        *headers,
    )
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else text})


async def _start(send: Send, status: int, *headers: tuple[str, str]) -> None:
    encoded = [(name.encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": encoded})


async def _live(receive: Receive, send: Send) -> None:
    """Answer a server that runs the app alone; there is nothing to start or to stop."""
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


async def _in_thread(work: Callable[[], _T]) -> _T:
    try:
        limiter = _limiters.get()
    except LookupError:
        limiter = CapacityLimiter(_THREADS)
        _limiters.set(limiter)
    return await run_sync(work, limiter=limiter)
