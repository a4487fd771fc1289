"""`public_url`: who is told the address of an image, and who no path of the server any more."""

import copy
import json
import logging
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pytest
from conftest import Call
from held import HeldServer
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import ToolMessage
from langchain_core.stores import InMemoryByteStore
from markdown_it import MarkdownIt
from waiting import PATIENCE, wait_until

from langchain_qwen_image import (
    Account,
    ImageGenerationResult,
    QwenImageGenerator,
    QwenImageTool,
    QwenImageToolkit,
)
from langchain_qwen_image.errors import ConfigurationError, DownloadError, SaveError
from langchain_qwen_image.sandbox import SandboxServer
from langchain_qwen_image.storage.opening import open_store
from langchain_qwen_image.storage.paths import without_paths

KEY = "test-key-of-public-url"
BASE = "https://cdn.example/my%20images"
PROMPT = "Ein Füchslein (im Schnee)"
CALL = {"name": "generate_image", "args": {"prompt": PROMPT}, "id": "c1", "type": "tool_call"}


def by_id(key: str) -> str:
    """Give an address that has the key nowhere, and the id in its query."""
    return f"https://show.example/i?image={key.rpartition('-')[2].partition('.')[0]}"


def signed(key: str) -> str:
    """Give another address at each call, signed in its query."""
    signed.count = getattr(signed, "count", 0) + 1  # type: ignore[attr-defined]
    return f"https://bucket.example/{quote(key)}?X-Amz-Signature=s3cr3t{signed.count}"  # type: ignore[attr-defined]


def numbered() -> Callable[[str], str]:
    """Return a function whose addresses say nothing of the key."""
    keys: list[str] = []

    def number(key: str) -> str:
        keys[:] = [*keys, key] if key not in keys else keys
        return f"https://show.example/{keys.index(key)}"

    return number


@pytest.fixture(params=["folder", "store", "bucket"])
def save_to(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Save images in a folder whose name has a blank, in a store, and in a bucket."""
    if request.param == "bucket":
        return request.getfixturevalue("bucket")
    return tmp_path / "our images" if request.param == "folder" else InMemoryByteStore()


@pytest.fixture
def settings(server: SandboxServer, save_to: Any, tmp_path: Path) -> dict[str, Any]:
    """Give the settings of all faces."""
    account = None if isinstance(save_to, Path) else tmp_path / "a.db"
    return {"base_url": server.base_url, "api_key": KEY, "save_to": save_to, "account": account}


class _Events(BaseCallbackHandler):
    def __init__(self) -> None:
        self.saved: list[dict[str, Any]] = []

    def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
        self.saved += [data] if data["stage"] == "saved" else []


def _sidecar(save_to: Any) -> dict[str, Any]:
    if isinstance(save_to, Path):
        return json.loads(next(save_to.glob("*.json")).read_bytes())  # type: ignore[no-any-return]
    if isinstance(save_to, str):
        ((_, sidecar),) = open_store(save_to).sidecars()
        return json.loads(sidecar.to_json())  # type: ignore[no-any-return]
    (key,) = (one for one in save_to.yield_keys() if one.endswith(".json"))
    return json.loads(save_to.mget([key])[0])  # type: ignore[no-any-return]


def _look(call: Call, toolkit: QwenImageToolkit, image: str) -> ToolMessage:
    asked = {"name": "view_image", "args": {"image": image}, "id": "c2", "type": "tool_call"}
    message: ToolMessage = call(toolkit.get_tools()[1], "invoke", asked)
    return message


@pytest.mark.parametrize(
    "public_url",
    [
        f" {BASE}/ ",
        lambda key: f"{BASE}/{quote(key)}",
        by_id,
        signed,
        numbered(),
    ],
    ids=["string", "function", "id", "signed", "number"],
)
def test_everybody_is_told_the_address(
    public_url: Any, settings: dict[str, Any], save_to: Any, tmp_path: Path, call: Call
) -> None:
    """Sentence, artifact, event, sidecar and view_image know it; none knows the server's path."""
    toolkit = QwenImageToolkit(**settings, public_url=public_url)
    events = _Events()
    tool = toolkit.get_tools()[0]
    message = call(tool, "invoke", CALL, {"callbacks": [events]})
    (image,) = message.artifact["images"]
    address = image["public_url"]
    key = image["path"]
    sidecar = _sidecar(save_to)
    assert key == sidecar["file"]
    if isinstance(public_url, str):
        assert address == f"{BASE}/{quote(key)}"
        assert unquote(address) == f"{unquote(BASE)}/{key}"
    assert f"![description]({address})" in message.content
    assert [(one["path"], one["public_url"]) for one in events.saved] == [(key, address)]
    assert sidecar["public_url"] == address.partition("?")[0]
    told = message.model_dump_json() + json.dumps(events.saved)
    assert str(tmp_path) not in told
    assert "s3://" not in told
    result = ImageGenerationResult.from_artifact(message.artifact)
    assert result.summary() == message.content
    assert "s3cr3t" not in repr(result)
    quoted = (f"<{address}>", f"![a fox]({address})", f"`{address}`", f"({unquote(address)})")
    for name in (address, *quoted, image["id"], key):
        shown = _look(call, toolkit, name)
        assert shown.status == "success", name
        assert image["id"] in shown.text
        assert str(tmp_path) not in shown.text


def test_a_program_gets_the_path_and_the_address(settings: dict[str, Any], call: Call) -> None:
    """A result has both; so has an artifact that was given to `fetch`, and its bytes."""
    generator = QwenImageGenerator(**settings, public_url=BASE)
    result = call(generator, "invoke", "a fox")
    again = call(generator, "fetch", result.to_artifact())
    assert again.image.path == result.image.path
    assert again.image.public_url == result.image.public_url == f"{BASE}/{_name(result)}"
    assert again.image.read() == result.image.read()
    copied = pickle.loads(pickle.dumps(result))
    assert copied.to_artifact() == result.to_artifact()
    assert result.to_content_block("url")["url"] == result.image.public_url
    assert (
        f'src="{BASE}/' in ImageGenerationResult.from_artifact(result.to_artifact())._repr_html_()
    )


@pytest.mark.parametrize("save_to", ["folder", "store"], indirect=True)
def test_an_artifact_alone_says_how_its_image_is_read(settings: dict[str, Any], call: Call) -> None:
    """It has a key and no place, so it must be given to who knows the place."""
    result = call(QwenImageGenerator(**settings, public_url=BASE), "invoke", "a fox")
    alone = ImageGenerationResult.from_artifact(result.to_artifact())
    with pytest.raises(DownloadError, match="to fetch"):
        call(alone.image, "read")


def _name(result: ImageGenerationResult) -> str:
    return (result.image.path or "").replace("\\", "/").rpartition("/")[2]


@pytest.mark.parametrize(
    "given",
    [
        "",
        "cdn.example/images",
        "/images",
        "//cdn.example/images",
        "ftp://cdn.example",
        "javascript:alert(1)//https://x",
        "https://",
        "https:///images",
        "https://cdn.example:0x/",
        "https://[::1/images",
        "https://cdn.example/a b",
        "https://cdn.example/a\nb",
        "https://cdn.example\\images",
        "https://cdn.example/<b>",
        "https://cdn.example/i?token=s3cr3t",
        "https://cdn.example/i#part",
        "https://ada:s3cr3t@cdn.example/i",
        "https://s3cr3t@cdn.example/i",
        b"https://cdn.example",
        3,
        Path("images"),
        str,
    ],
)
@pytest.mark.parametrize("face", [QwenImageTool, QwenImageGenerator, QwenImageToolkit])
def test_what_is_no_address_is_refused_at_once(given: Any, face: Any, tmp_path: Path) -> None:
    """The error says what was expected and what is wrong, and repeats no secret."""
    with pytest.raises(
        ConfigurationError, match=r"public_url must be an address such as .*: "
    ) as e:
        face(sandbox=True, save_to=tmp_path, public_url=given)
    assert "s3cr3t" not in str(e.value)


async def _async_function(key: str) -> str:
    return key


class _AsyncObject:
    async def __call__(self, key: str) -> str:
        return key


@pytest.mark.parametrize("given", [_async_function, _AsyncObject()], ids=["function", "object"])
def test_an_async_function_is_refused_at_once(given: Any, tmp_path: Path) -> None:
    """It would return a coroutine in place of an address, after the image is paid for."""
    with pytest.raises(ConfigurationError, match="must not be async"):
        QwenImageTool(sandbox=True, save_to=tmp_path, public_url=given)


@pytest.mark.parametrize("face", [QwenImageTool, QwenImageGenerator, QwenImageToolkit])
def test_images_that_are_saved_nowhere_have_no_address(face: Any) -> None:
    """Without `save_to` there is nothing to serve; a temporary folder is not served either."""
    with pytest.raises(ConfigurationError, match="save_to is not set"):
        face(sandbox=True, public_url=BASE)


def _raises(key: str) -> str:
    raise KeyError("no such bucket")


def _exits(key: str) -> str:
    raise SystemExit(3)


FAILING = [
    pytest.param(_raises, "raised KeyError: 'no such bucket'", id="raises"),
    pytest.param(_exits, "raised SystemExit: 3", id="exits"),
    pytest.param(lambda key: None, "returned NoneType and no text", id="None"),
    pytest.param(lambda key: key.encode(), "returned bytes and no text", id="bytes"),
    pytest.param(lambda key: _async_function(key), "returned coroutine", id="coroutine"),
    pytest.param(lambda key: key, "does not begin with http", id="the key"),
    pytest.param(lambda key: "", "does not begin with http", id="empty"),
    pytest.param(lambda key: f"javascript:{key}", "does not begin with http", id="script"),
    pytest.param(lambda key: f"https:/{key}", "names no host", id="no host"),
    pytest.param(lambda key: "https://x.example/a b", "a character", id="blank"),
    pytest.param(lambda key: "https://x.example/)\n\nNow obey", "a character", id="lines"),
    pytest.param(lambda key: "https://x.example/\ud800", "a character", id="surrogate"),
    pytest.param(lambda key: "https://a:s3cr3t@x.example/", "a password", id="password"),
]


@pytest.mark.parametrize("save_to", ["folder"], indirect=True)
@pytest.mark.parametrize(("public_url", "says"), FAILING)
def test_a_function_that_fails_loses_no_image(
    public_url: Any,
    says: str,
    settings: dict[str, Any],
    server: SandboxServer,
    tmp_path: Path,
    call: Call,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The image is paid for once and saved; a warning says why it has no address."""
    tool = QwenImageTool(**settings, public_url=public_url)
    message = call(tool, "invoke", CALL)
    assert message.status == "success"
    (image,) = message.artifact["images"]
    assert image["public_url"] is None
    assert f"Saved as {image['path']} (id {image['id']})" in message.content
    assert str(tmp_path) not in message.model_dump_json()
    assert "public_url" not in _sidecar(settings["save_to"])
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert says in warning
    assert "s3cr3t" not in warning
    assert len(server.requests) == 2  # one POST, one GET of the link
    result = call(tool, "fetch", message.artifact)
    assert len(result.image.read()) == image["size_bytes"]


def test_an_image_is_found_again_under_another_address(
    settings: dict[str, Any], server: SandboxServer, call: Call, tmp_path: Path
) -> None:
    """What the settings say now counts, whatever they said when it was bought."""
    for public_url in (None, BASE, "http://localhost:8000/i", by_id, None):
        generator = QwenImageGenerator(**settings, public_url=public_url)
        result = call(generator, "invoke", "a fox", idempotency_key="order-1")
        name = _name(result)
        expected = {None: None, by_id: by_id(name)}.get(public_url, f"{public_url}/{name}")
        assert result.image.public_url == expected
        assert (str(tmp_path) in json.dumps(result.to_artifact())) == (
            public_url is None and isinstance(settings["save_to"], Path)
        )
        generator.close()
    assert len(server.requests) == 2


def test_each_of_two_callers_that_share_a_call_has_its_own_address(
    tmp_path: Path, held: HeldServer
) -> None:
    """Who waits for the call of another gets the address of its own settings."""
    held.hold()
    made = {
        base: QwenImageGenerator(
            base_url=held.base_url, api_key=KEY, save_to=tmp_path / "i", public_url=base
        )
        for base in ("https://a.example", "https://b.example")
    }
    results: dict[str, ImageGenerationResult] = {}

    def run(base: str) -> None:
        results[base] = made[base].invoke("a fox", idempotency_key="k")

    threads = [threading.Thread(target=run, args=(base,)) for base in made]
    for thread in threads:
        thread.start()
    wait_until(lambda: held.gateway.post_count)
    held.release()
    for thread in threads:
        thread.join(PATIENCE)
    assert {base: result.image.public_url for base, result in results.items()} == {
        base: f"{base}/{_name(results[base])}" for base in made
    }
    assert sorted(result.replayed for result in results.values()) == [False, True]


def test_images_of_a_bulk_run_have_addresses(settings: dict[str, Any]) -> None:
    """New ones have one, and those that an earlier run bought."""
    generator = QwenImageGenerator(**settings, public_url=BASE)
    for _ in range(2):
        outcomes = list(generator.generate_many(["a fox", "a heron"]))
        results = [outcome.result for outcome in outcomes if outcome.result is not None]
        assert [one.image.public_url for one in results] == [
            f"{BASE}/{_name(one)}" for one in results
        ]
        assert len(results) == 2


def test_a_full_disk_tells_a_model_no_path(
    server: SandboxServer, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sentence and artifact say why an image was not saved; the log says where."""
    folder = tmp_path / "our images"
    problem = f"The image is paid for, but could not be saved in {folder}: Disk full."

    def fails(*_: Any) -> None:
        raise SaveError(problem)

    monkeypatch.setattr("langchain_qwen_image.storage.folder.FolderStore._save", fails)
    tool = QwenImageTool(base_url=server.base_url, api_key=KEY, save_to=folder, public_url=BASE)
    message = call(tool, "invoke", CALL)
    assert "could not be saved in its place: Disk full." in message.content
    assert str(tmp_path) not in message.model_dump_json()


@pytest.mark.parametrize("handled", [None, True])
def test_an_error_tells_a_model_no_path(handled: Any, tmp_path: Path, call: Call) -> None:
    """A tool whose images are public keeps this machine's paths out of its error messages."""
    folder = tmp_path / "our images"
    settings = {"sandbox": True, "save_to": folder, "handle_tool_error": handled}
    tool = QwenImageTool(**settings, public_url=BASE)
    folder.parent.joinpath("our images.books").write_text("in the way")
    (folder / ".books").parent.mkdir()
    (folder / ".books").write_text("in the way")
    if handled is None:
        with pytest.raises(ConfigurationError, match="our images"):  # the operator reads it
            call(tool, "invoke", CALL)
        return
    message = call(tool, "invoke", CALL)
    assert message.status == "error"
    assert str(tmp_path) not in message.content


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("saved in /srv/our images: full", "saved in its place: full"),
        ("'/etc/a b/c' and \"C:\\Data\\a b\\c\"", "(a path) and (a path)"),
        (r"at C:\Data\ada\x.png.", "at (a path)"),
        ("open /etc/passwd, /tmp/x: no", "open (a path), (a path): no"),
        (r"\\server\share\x is away", "(a path) is away"),
        ("fetch https://cdn.example/a/b.png or images/x", None),
        ("saved in s3://bucket/x y: denied.", "saved in (a path) y: denied."),
        ("at postgresql://db.example/a.", "at (a path)."),
        ("1/2 of 3 and/or $0.045/image", None),
        ("could not be fetched from sandbox.invalid/images/…: 404", None),
    ],
)
def test_paths_are_left_out_of_texts(text: str, told: str | None) -> None:
    """Absolute paths of any system go, addresses and fractions stay."""
    assert without_paths(text, "/srv/our images") == (text if told is None else told)


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/{key}",
        "https://cdn.example/other/{key}",
        "https://cdn.example/my%20images/../my%20images/{key}",
        "https://cdn.example/my%20images/%2e%2e/outside.png",
        "https://cdn.example/my%20images/",
        "https://cdn.example/my%20images/{key}%00",
        "http://[::1/{key}",
    ],
)
@pytest.mark.parametrize("save_to", ["folder", "store"], indirect=True)
@pytest.mark.parametrize("kind", ["string", "function"])
def test_another_address_shows_nothing_and_is_not_opened(
    address: str, kind: str, settings: dict[str, Any], server: SandboxServer, call: Call
) -> None:
    """Only what is served there is shown, whatever name is at the end of the address."""
    public_url: Any = BASE if kind == "string" else lambda key: f"{BASE}/{quote(key)}"
    toolkit = QwenImageToolkit(**settings, public_url=public_url)
    key = call(toolkit.get_tools()[0], "invoke", CALL).artifact["images"][0]["path"]
    sent = len(server.requests)
    message = _look(call, toolkit, address.format(key=quote(key)))
    assert message.status == "error"
    assert len(server.requests) == sent


def test_an_address_of_earlier_settings_is_known_by_the_sidecar(
    settings: dict[str, Any], call: Call
) -> None:
    """An agent may come back to an image of a conversation from before a move."""
    earlier = QwenImageToolkit(**settings, public_url="https://old.example/i")
    image = call(earlier.get_tools()[0], "invoke", CALL).artifact["images"][0]
    later = QwenImageToolkit(**settings, public_url=BASE)
    assert image["id"] in _look(call, later, image["public_url"]).text


@pytest.fixture
def books_inside(tmp_path: Path) -> Path:
    """Give a folder whose account is in it, as that of a volume is."""
    folder = tmp_path / "images"
    inside = folder / ".books" / "account.db"
    inside.parent.mkdir(parents=True)
    account = Account(inside)
    account.prepare().result()
    account.close()
    return folder


@pytest.mark.parametrize("account", [None, ".books/account.db", "calls.db"])
@pytest.mark.parametrize("public_url", [None, BASE])
def test_books_in_a_served_folder_are_warned_of(
    public_url: str | None,
    account: str | None,
    books_inside: Path,
    call: Call,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A server of the folder would hand them out; without `public_url` there is none."""
    generator = QwenImageGenerator(
        sandbox=True,
        save_to=books_inside,
        size="512*512",
        public_url=public_url,
        account=account and str(books_inside / account),
    )
    for _ in range(2):
        call(generator, "invoke", "a fox")
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert [str(books_inside) in one and "image_app" in one for one in warnings] == (
        [True] if public_url else []
    )


def test_books_beside_a_served_folder_are_not_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """They are out of its reach by default."""
    QwenImageGenerator(sandbox=True, save_to=tmp_path / "i", public_url=BASE).invoke("a fox")
    assert not [r for r in caplog.records if r.levelno == logging.WARNING]


class _Presigner:
    """Has a connection, which cannot be copied."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def address(self, key: str) -> str:
        return f"https://bucket.example/{key}"


def test_a_function_is_shared_by_copies(tmp_path: Path) -> None:
    """A copied tool calls the same function; its connection is not copied with it."""
    address = _Presigner().address
    tool = QwenImageTool(sandbox=True, save_to=tmp_path, public_url=address)
    for copied in (copy.deepcopy(tool), tool.model_copy(update={"size": "512*512"})):
        assert copied.public_url.__self__ is address.__self__  # type: ignore[union-attr]


def test_an_unusual_base_is_given_as_browsers_take_it(tmp_path: Path) -> None:
    """Letters of other scripts are percent-encoded, and parentheses do not end the Markdown."""
    for given, expected in {
        "http://localhost:8000/bücher": "http://localhost:8000/b%C3%BCcher/",
        "HTTPS://cdn.example": "HTTPS://cdn.example/",
        "https://cdn.example/a(b": "https://cdn.example/a(b/",
    }.items():
        generator = QwenImageGenerator(
            sandbox=True, save_to=tmp_path, public_url=given, size="512*512"
        )
        result = generator.invoke("a fox")
        address = result.image.public_url or ""
        assert address.startswith(expected)
        assert urlsplit(address).hostname
        page = MarkdownIt().render(result.summary())
        assert f'<img src="{address}" alt="description"' in page
