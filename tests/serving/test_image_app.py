"""`image_app`: what it serves, to whom, and that it serves nothing else."""

import asyncio
import hashlib
import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import httpx
import pytest
from books import books
from langchain_core.stores import InMemoryByteStore
from PIL import Image
from waiting import PATIENCE, wait_until

from langchain_qwen_image import QwenImageGenerator, QwenImageTool
from langchain_qwen_image.download.image_format import write_image
from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.serving import ImageApp, image_app
from langchain_qwen_image.storage.opening import ImageStore, open_store
from langchain_qwen_image.storage.sidecar import Sidecar

PROMPT = "Ein Füchslein im Schnee"


@dataclass
class Answer:
    """What an ASGI app sent."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)


def ask(
    app: Any,
    path: str,
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    **scope: Any,
) -> Answer:
    """Ask an app as a server does, without one."""
    answer = Answer()

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()  # the reader stays
        raise AssertionError

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            assert all(name == name.lower() for name in answer.headers)
        else:
            answer.pieces.append(message.get("body", b""))

    given = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    asked = {"type": "http", "method": method, "path": path, "headers": given, **scope}
    asyncio.run(app(asked, receive, send))
    return answer


@pytest.fixture(params=["folder", "store", "bucket"])
def save_to(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Save images in a folder, in a store, and in a bucket."""
    if request.param == "bucket":
        return request.getfixturevalue("bucket")
    return tmp_path / "images" if request.param == "folder" else InMemoryByteStore()


def save(save_to: Any, content: bytes, prompt: str = PROMPT) -> str:
    """Save an image as the package does, and return its name."""
    sidecar = Sidecar(image_id=f"k3v9q2{len(prompt):02}", prompt=prompt)
    saved = open_store(save_to).save(partial(_write, content), sidecar)
    return Path(saved.path).name


def _write(content: bytes, file: Any) -> Any:
    return write_image([content], file)


def drawn(form: str = "PNG", size: int = 64, **options: Any) -> bytes:
    """Return an image of a format."""
    content = BytesIO()
    Image.new("RGB", (size, size), "teal").save(content, form, **options)
    return content.getvalue()


@pytest.mark.parametrize(
    ("form", "mime_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")]
)
def test_a_saved_image_is_served(form: str, mime_type: str, save_to: Any) -> None:
    """Its bytes as they are, with the type that they have; HEAD says the same without them."""
    content = drawn(form)
    name = save(save_to, content)
    app = image_app(save_to)
    got, head = ask(app, f"/{name}"), ask(app, f"/{name}", method="HEAD")
    assert (got.status, got.body) == (200, content)
    assert got.headers["content-type"] == mime_type
    assert got.headers["content-length"] == str(len(content))
    assert got.headers["x-content-type-options"] == "nosniff"
    assert "immutable" in got.headers["cache-control"]
    assert (head.status, head.headers, head.body) == (200, got.headers, b"")


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("{etag}", 304),
        ("W/{etag}", 304),
        ('"other", W/{etag} , "more"', 304),
        ("*", 304),
        ('"other"', 200),
        ("other", 200),
        ("", 200),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_a_browser_has_is_not_sent_again(
    given: str, status: int, method: str, save_to: Any
) -> None:
    """`If-None-Match` is understood as RFC 9110 has it."""
    name = save(save_to, drawn())
    app = image_app(save_to, cache_control="private, max-age=60")
    etag = ask(app, f"/{name}").headers["etag"]
    answer = ask(app, f"/{name}", method=method, headers={"if-none-match": given.format(etag=etag)})
    assert answer.status == status
    assert answer.headers["etag"] == etag
    assert answer.headers["cache-control"] == "private, max-age=60"
    assert answer.headers["x-content-type-options"] == "nosniff"
    if status == 304:
        assert not answer.body
        assert "content-length" not in answer.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get", "TRACE"])
def test_nothing_can_be_changed(method: str, save_to: Any) -> None:
    """Other methods are 405, in plain text, and say which are possible."""
    name = save(save_to, drawn())
    answer = ask(image_app(save_to), f"/{name}", method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    assert answer.headers["content-type"].startswith("text/plain")


def _html(folder: Path, name: str) -> None:
    page = b"<html><script>alert(1)</script></html>"
    (folder / f"{name}.png").write_bytes(page)
    _forge(folder, name, page)


def _svg(folder: Path, name: str) -> None:
    page = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    (folder / f"{name}.png").write_bytes(page)
    _forge(folder, name, page)


def _forge(folder: Path, name: str, content: bytes, **facts: Any) -> None:
    told = {
        "file": f"{name}.png",
        "id": "k3v9q2xd",
        "prompt": "x",
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        **facts,
    }
    (folder / f"{name}.json").write_text(json.dumps(told))


def _foreign(folder: Path, name: str) -> None:
    (folder / f"{name}.png").write_bytes(drawn())


def _link_out(folder: Path, name: str) -> None:
    outside = folder.parent / "outside.png"
    outside.write_bytes(drawn())
    (folder / f"{name}.png").symlink_to(outside)
    _forge(folder, name, drawn())


def _link_in(folder: Path, name: str) -> None:
    (folder / f"{name}.png").symlink_to(next(folder.glob("2*.png")))
    _forge(folder, name, next(folder.glob("2*.png")).read_bytes())


def _half(folder: Path, name: str) -> None:
    (folder / f"{name}.png").write_bytes(drawn()[:-9])
    _forge(folder, name, drawn())


def _empty(folder: Path, name: str) -> None:
    (folder / f"{name}.png").touch()
    _forge(folder, name, drawn())


def _pipe(folder: Path, name: str) -> None:
    os.mkfifo(folder / f"{name}.png")
    _forge(folder, name, drawn())


def _subfolder(folder: Path, name: str) -> None:
    (folder / f"{name}.png").mkdir()
    _forge(folder, name, drawn())


def _damaged_sidecar(folder: Path, name: str) -> None:
    (folder / f"{name}.png").write_bytes(drawn())
    (folder / f"{name}.json").write_text("[" * 100_000)


def _strange_hash(folder: Path, name: str) -> None:
    (folder / f"{name}.png").write_bytes(drawn())
    _forge(folder, name, drawn(), sha256="ü\r\nset-cookie:x")


def _of_another(folder: Path, name: str) -> None:
    (folder / f"{name}.png").write_bytes(drawn())
    _forge(folder, name, drawn(), file="2026-11-29-another-k3v9q2xd.png")


@pytest.mark.parametrize(
    "make",
    [
        _html,
        _svg,
        _foreign,
        _link_out,
        _link_in,
        _half,
        _empty,
        _pipe,
        _subfolder,
        _damaged_sidecar,
        _strange_hash,
        _of_another,
    ],
)
def test_what_this_package_did_not_save_is_not_served(
    make: Callable[[Path, str], None], tmp_path: Path
) -> None:
    """A name of ours and a sidecar are not enough: it must be a whole image, and in the folder."""
    folder = tmp_path / "images"
    save(folder, drawn())
    name = "2026-11-29-another-fox-abcdefgh"
    make(folder, name)
    answer = ask(image_app(folder), f"/{name}.png")
    assert (answer.status, answer.body) == (404, b"Not Found")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "//{name}",
        "/./{name}",
        "/{name}/",
        "/x/../{name}",
        "/../images/{name}",
        "/..\\images\\{name}",
        "\\{name}",
        "/{name}\0",
        "/{name}\0.png",
        "/{name}.",
        "/{name} ",
        "/{name}::$DATA",
        "/C:{name}",
        "/{upper}",
        "/{stem}.json",
        "/{stem}.PNG",
        "/{stem}.svg",
        "/{stem}",
        "/.qwen-image-account",
        "/.books/account.db",
        "/CON.png",
        "/*.png",
        "/" + "n" * 300 + ".png",
        "/" + "n/" * 3000 + "x.png",
        "/\ud800.png",
        "/{folder}/{name}",
        "/images/{name}",
    ],
)
def test_no_other_path_is_an_image(path: str, save_to: Any, tmp_path: Path) -> None:
    """Listings, sidecars, ways out and the names of other systems are 404, in plain text."""
    name = save(save_to, drawn())
    stem = name.removesuffix(".png")
    asked = path.format(name=name, stem=stem, upper=name.upper(), folder=tmp_path / "images")
    answer = ask(image_app(save_to), asked)
    assert (answer.status, answer.body) == (404, b"Not Found")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["cache-control"] == "no-store"


def test_only_the_images_of_a_folder_can_be_reached(tmp_path: Path) -> None:
    """Of all files around, and by all ways to write their names, only images are served."""
    folder = tmp_path / "images"
    generator = QwenImageGenerator(sandbox=True, save_to=folder, size="512*512")
    generator.invoke(PROMPT)
    (folder / ".qwen-image-0123456789abcdef.part").write_bytes(drawn())
    (folder / ".hidden.png").write_bytes(drawn())
    (folder / "index.html").write_text("<html>")
    (folder / "sub").mkdir()
    save(folder / "sub", drawn(), "in a folder of its own")
    app = image_app(folder)
    served = set()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert books(folder) in files
    for file in files:
        relative = os.path.relpath(file, folder)
        for way in (file.name, relative, f"../images/{relative}", str(file), quote(relative)):
            if ask(app, f"/{way}").status == 200:
                served.add(file)
    assert served == set(folder.glob("2*.png"))
    assert len(served) == 1


def test_no_book_is_reachable_where_the_folder_is_served_as_files(tmp_path: Path) -> None:
    """Starlette's StaticFiles on `save_to` reaches no file of the books."""
    from starlette.staticfiles import StaticFiles

    folder = tmp_path / "images"
    generator = QwenImageGenerator(sandbox=True, save_to=folder, size="512*512")
    generator.invoke(PROMPT)
    static = StaticFiles(directory=folder, html=True)
    around = [path for path in books(folder).parent.rglob("*") if path.is_file()]
    assert around
    for file in around:
        relative = os.path.relpath(file, folder)
        for way in (relative, f".books/{file.name}", file.name, str(file), f"x/../{relative}"):
            for path in (way, quote(way), quote(way, safe=""), way.replace("..", "%2e%2e")):
                assert _served(static, unquote(path)) is None
    within = {path.name: _served(static, path.name) for path in folder.iterdir()}
    assert not [name for name, content in within.items() if content and b"SQLite" in content]
    assert any(content and PROMPT.encode() in content for content in within.values())  # documented


def _served(app: Any, path: str) -> bytes | None:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    app = Starlette(routes=[Mount("/images", app)])
    with httpx.Client(transport=_InProcess(app), base_url="http://server") as client:
        answer = client.get(f"/images/{path}" if "?" not in path else "/")
        return answer.content if answer.status_code == 200 else None


class _InProcess(httpx.BaseTransport):
    def __init__(self, app: Any) -> None:
        self._app = app

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        scope = {"root_path": "", "query_string": b"", "scheme": "http", "server": ("server", 80)}
        answer = ask(self._app, path, method=request.method, **scope)
        return httpx.Response(answer.status, headers=answer.headers, content=answer.body)


@contextmanager
def served(app: Any, **options: Any) -> Iterator[str]:
    """Serve an app by uvicorn, on loopback, as a person would; give its address."""
    import uvicorn

    config = uvicorn.Config(app, port=0, log_level="warning", ws="none", **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
    assert not thread.is_alive()


def _alone(app: ImageApp) -> tuple[Any, str]:
    return app, ""


def _in_starlette(app: ImageApp) -> tuple[Any, str]:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    return Starlette(routes=[Mount("/images", app)]), "/images"


def _in_fastapi(app: ImageApp) -> tuple[Any, str]:
    from fastapi import FastAPI

    api = FastAPI()
    api.mount("/our images", app)
    return api, "/our%20images"


def _deep(app: ImageApp) -> tuple[Any, str]:
    from fastapi import FastAPI
    from starlette.applications import Starlette
    from starlette.routing import Mount

    inner = FastAPI()
    inner.mount("/a/b", app)
    return Starlette(routes=[Mount("/v1", inner)]), "/v1/a/b"


def _behind_middleware(app: ImageApp) -> tuple[Any, str]:
    from fastapi import FastAPI, Request
    from starlette.middleware.gzip import GZipMiddleware

    api = FastAPI()
    api.add_middleware(GZipMiddleware)

    @api.middleware("http")
    async def pass_on(request: Request, call_next: Callable[[Request], Any]) -> Any:
        return await call_next(request)

    api.mount("/images", app)
    return api, "/images"


@pytest.mark.parametrize("mount", [_alone, _in_starlette, _in_fastapi, _deep, _behind_middleware])
@pytest.mark.parametrize("options", [{}, {"root_path": "/proxy"}], ids=["", "root_path"])
def test_a_browser_sees_the_image_at_the_address_that_the_model_gives(
    mount: Any, options: dict[str, Any], tmp_path: Path
) -> None:
    """Tool, address and app together, over HTTP, mounted by real frameworks."""
    folder = tmp_path / "images"
    app, prefix = mount(image_app(folder))
    with served(app, **options) as base:
        tool = QwenImageTool(
            sandbox=True, save_to=folder, size="512*512", public_url=f"{base}{prefix}"
        )
        call = {
            "name": "generate_image",
            "args": {"prompt": PROMPT},
            "id": "c",
            "type": "tool_call",
        }
        message = tool.invoke(call)
        image = message.artifact["images"][0]
        assert f"({image['public_url']})" in message.content
        with httpx.Client(trust_env=False) as client:
            got = client.get(image["public_url"])
            assert (got.status_code, len(got.content)) == (200, image["size_bytes"])
            assert got.headers["content-type"] == image["mime_type"]
            again = client.get(image["public_url"], headers={"if-none-match": got.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
            for path in (f"{image['public_url'].removesuffix('png')}json", f"{base}{prefix}/"):
                assert client.get(path).status_code == 404
            for dots in ("../images.books/account.db", "%2e%2e%2fimages.books%2faccount.db"):
                assert client.get(f"{base}{prefix}/{dots}").status_code == 404


@pytest.mark.parametrize(
    ("path", "root_path"),
    [
        ("/{name}", ""),
        ("/{name}", "/images"),  # Starlette before 0.33, and servers that leave the root out
        ("/images/{name}", "/images"),  # the specification
        ("/images/{name}", "/images/"),
        ("/a/b/{name}", "/a/b"),
        ("/images/{name}", "/api/images"),  # FastAPI(root_path="/api") behind a proxy
    ],
)
def test_the_place_where_it_is_mounted_is_taken_off(
    path: str, root_path: str, tmp_path: Path
) -> None:
    """Both readings of `root_path` lead to the image."""
    name = save(tmp_path, drawn())
    answer = ask(image_app(tmp_path), path.format(name=name), root_path=root_path)
    assert answer.status == 200


@pytest.mark.parametrize("path", ["/ages/{name}", "/api/{name}", "/api/images/x/{name}"])
def test_another_place_than_that_is_not_taken_off(path: str, tmp_path: Path) -> None:
    """Only whole parts at its end are."""
    name = save(tmp_path, drawn())
    answer = ask(image_app(tmp_path), path.format(name=name), root_path="/api/images")
    assert answer.status == 404


def test_a_store_of_the_package_is_taken(tmp_path: Path) -> None:
    """An ImageStore is served as it is."""
    store: ImageStore = open_store(tmp_path)
    name = save(store, drawn())
    assert ask(image_app(store), f"/{name}").status == 200


@pytest.mark.parametrize("given", [None, "", 3, "ftp://bucket/images", b""])
def test_what_is_no_place_is_refused(given: Any) -> None:
    """The mistake is found when the app is made, not when somebody asks."""
    with pytest.raises(ConfigurationError):
        image_app(given)


def test_a_header_that_cannot_be_is_refused(tmp_path: Path) -> None:
    """A line end would begin another header."""
    with pytest.raises(ConfigurationError, match="cache_control"):
        image_app(tmp_path, cache_control="private\r\nset-cookie: a=b")


def test_a_folder_that_comes_later_is_served(tmp_path: Path) -> None:
    """The app is made before the first image, and so before its folder."""
    app = image_app(tmp_path / "later")
    assert ask(app, "/2026-11-29-x-k3v9q2xd.png").status == 404
    name = save(tmp_path / "later", drawn())
    assert ask(app, f"/{name}").status == 200


def test_a_store_that_fails_is_for_the_operator(tmp_path: Path) -> None:
    """A store that is down is no missing image: the server logs it and answers 500."""

    class Down(InMemoryByteStore):
        def mget(self, keys: Any) -> Any:
            raise ConnectionError("no route")

    with pytest.raises(ConnectionError):
        ask(image_app(Down()), "/2026-11-29-x-k3v9q2xd.png")


def _large() -> bytes:
    """Return an image of several pieces."""
    return drawn("PNG", 1000, compress_level=0)


def test_a_large_image_is_sent_in_pieces(save_to: Any) -> None:
    """Few bytes are in memory at a time, and all arrive."""
    content = _large()
    name = save(save_to, content)
    answer = ask(image_app(save_to), f"/{name}")
    assert answer.body == content
    assert max(map(len, answer.pieces)) <= 1 << 18
    assert len(answer.pieces) > 5


@pytest.mark.parametrize("how", ["send fails", "receive says so"])
def test_a_reader_who_goes_stops_the_sending(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is read for nobody, no error is logged for it, and the file is closed."""
    name = save(tmp_path, _large())
    opened: list[Any] = []
    store = open_store(tmp_path)
    real = store.open
    monkeypatch.setattr(store, "open", lambda key: opened.append(real(key)) or opened[-1])
    sent: list[Any] = []

    async def run() -> None:
        gone = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if gone.is_set():
                await asyncio.sleep(0)
                if how == "send fails":
                    raise OSError("closed")
                return
            sent.append(message)
            if message.get("body"):
                gone.set()

        scope = {"type": "http", "method": "GET", "path": f"/{name}", "headers": []}
        await image_app(store)(scope, receive, send)

    asyncio.run(run())
    assert len(sent) == 2
    (file,) = opened
    assert file.closed


def test_a_browser_that_leaves_is_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A real server logs nothing for it, and goes on."""
    name = save(tmp_path, drawn("PNG", 2000, compress_level=0))
    with served(image_app(tmp_path), log_config=None) as base:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", int(base.rpartition(":")[2]))) as browser:
                browser.sendall(f"GET /{quote(name)} HTTP/1.1\r\nHost: server\r\n\r\n".encode())
                assert browser.recv(1000).startswith(b"HTTP/1.1 200")
        with httpx.Client(trust_env=False) as client:
            assert len(client.get(f"{base}/{name}").content) > 12_000_000
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING] == []


async def test_the_loop_goes_on_while_a_disk_is_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening and reading happen beside the event loop."""
    name = save(tmp_path, drawn())
    store = open_store(tmp_path)
    ticked, real = threading.Event(), store.open

    def slow(key: str) -> Any:
        assert ticked.wait(PATIENCE)
        return real(key)

    monkeypatch.setattr(store, "open", slow)
    app = image_app(store)
    statuses = []

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        statuses.append(message.get("status"))

    scope = {"type": "http", "method": "GET", "path": f"/{name}", "headers": []}
    task = asyncio.create_task(app(scope, receive, send))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(ticked.set)
    await task
    assert statuses[0] == 200


async def test_a_server_may_run_it_alone() -> None:
    """Lifespan is answered, websockets are refused, and what is unknown is an error."""
    app = image_app(InMemoryByteStore())
    asked = iter(["lifespan.startup", "lifespan.shutdown"])
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": next(asked)}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await app({"type": "lifespan"}, receive, send)
    await app({"type": "websocket", "path": "/"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete", "websocket.close"]
    with pytest.raises(ValueError, match="telnet"):
        await app({"type": "telnet"}, receive, send)
