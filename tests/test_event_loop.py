"""Nothing blocks an event loop: neither making the objects, nor a call from its start to its end.

`langgraph dev` refuses blocking calls on its loop, and finds them with blockbuster.
"""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockBuster, BlockingError

from langchain_qwen_image import (
    Account,
    Budget,
    QwenImageClient,
    QwenImageGenerator,
    QwenImageTool,
    QwenImageToolkit,
)
from langchain_qwen_image.concurrency.interrupts import Gate
from langchain_qwen_image.environment import on_event_loop
from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.sandbox import SandboxServer
from langchain_qwen_image.serving import image_app

KEY = "test-key-in-a-file"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a new folder, temporary ones in it too, with the key in its file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)  # to look for it again tries the disk
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / ".pixazo" / "api-key"
    file.parent.mkdir()
    file.touch(0o600)
    file.write_text(KEY)
    return tmp_path


@pytest.fixture
def no_blocking(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let each blocking call on an event loop raise an error, and our own waits for threads too.

    Left out are other locks, since whether one is held for a moment depends on the machine, and
    `os.stat`: before a call three names are looked up, and langgraph dev allows that.
    """
    wait = Gate.wait

    def wait_off_the_loop(gate: Gate, seconds: float | None = None) -> bool:
        if on_event_loop():
            raise BlockingError("Gate.wait")
        return wait(gate, seconds)

    monkeypatch.setattr(Gate, "wait", wait_off_the_loop)
    guard = BlockBuster()
    for name in ("threading.Lock.acquire", "threading.Lock.acquire_lock", "os.stat"):
        del guard.functions[name]
    guard.activate()
    yield
    guard.deactivate()


MAKERS: dict[str, Callable[[], Any]] = {
    "toolkit": QwenImageToolkit,
    "toolkit-in-a-folder": lambda: QwenImageToolkit(save_to="images").get_tools(),
    "toolkit-with-an-account": lambda: QwenImageToolkit(save_to="images", account="books.db"),
    "tool": lambda: QwenImageTool(save_to="images", budget=Budget(max_usd=1)),
    "tool-with-a-budget-of-its-account": lambda: QwenImageTool(
        account="books.db", budget=Budget.file("./books.db", max_usd=1)
    ),
    "generator": lambda: QwenImageGenerator(save_to="images", account=Account("books.db")),
    "generator-with-parameters": lambda: QwenImageGenerator(save_to="images").with_parameters(
        size="512*512"
    ),
    "image-app": lambda: image_app("images"),
    "account": lambda: Account("books.db", max_usd=1),
    "client": QwenImageClient,
    "client-with-an-account": lambda: QwenImageClient(account="books.db"),
}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.usefixtures("no_blocking")
async def test_making_one_blocks_nothing(name: str) -> None:
    """A factory may make it on the loop, with a relative folder, books and the key file."""
    made = MAKERS[name]()
    assert KEY not in repr(made)


@pytest.mark.usefixtures("no_blocking")
async def test_what_is_guarded() -> None:
    """The guard sees what was done here before: a folder made, a file read, a path resolved."""
    for block in (
        lambda: Path("x").mkdir(),
        lambda: Path(".pixazo/api-key").read_text(),
        lambda: Path("x").resolve(),
        lambda: Gate().wait(0.1),
    ):
        with pytest.raises(BlockingError):
            block()


def _address(key: str) -> str:
    """Do what would block a loop."""
    Path("addresses").mkdir(exist_ok=True)
    return f"https://app.example/{key}"


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(dict, id="temporary-folder"),
        pytest.param(lambda: {"save_to": "images"}, id="folder"),
        pytest.param(lambda: {"save_to": "images", "account": "books.db"}, id="account"),
        pytest.param(
            lambda: {
                "save_to": "images",
                "account": Account("books.db", max_usd=1),
                "budget": Budget(max_images=9),
            },
            id="limits",
        ),
        pytest.param(
            lambda: {"save_to": "images", "public_url": "https://app.example/i"}, id="address"
        ),
        pytest.param(lambda: {"save_to": "images", "public_url": _address}, id="function"),
        pytest.param(
            lambda: {"save_to": "images", "budget": Budget.file("books.db", max_usd=1)},
            id="budget-of-an-account",
        ),
    ],
)
async def test_a_whole_call_blocks_nothing(
    settings: Callable[[], dict[str, Any]], server: SandboxServer, no_blocking: None
) -> None:
    """Generate, save, look, fetch again, close: all beside the loop, with the key of its file."""
    toolkit = QwenImageToolkit(base_url=server.base_url, **settings())
    generate, view = toolkit.get_tools()
    call: Any = {"args": {"prompt": "a fox"}, "id": "1", "type": "tool_call"}
    made = await generate.ainvoke({"name": "generate_image", **call})
    assert made.status == "success"
    image = made.artifact["images"][0]
    for name in filter(None, (image["id"], image["public_url"])):
        seen = await view.ainvoke({**call, "name": "view_image", "args": {"image": name}})
        assert seen.status == "success"
    again = await generate.afetch(made.artifact)
    assert len(await again.image.aread()) > 100
    await generate.aclose()
    await toolkit.aclose()
    assert [request.method for request in server.requests].count("POST") == 1


@pytest.mark.usefixtures("no_blocking")
async def test_the_other_faces_block_nothing(server: SandboxServer) -> None:
    """So do the generator, with and without a key of the call, and the client."""
    generator = QwenImageGenerator(base_url=server.base_url, save_to="images")
    results = [
        await generator.with_parameters(size="512*512").ainvoke("a fox", idempotency_key="1")
        for _ in range(2)
    ]
    assert [result.replayed for result in results] == [False, True]
    async with QwenImageClient(base_url=server.base_url, account=Account("books.db")) as client:
        result = await client.agenerate("an owl", idempotency_key="2")
        assert len(await result.image.aread()) > 100
        await result.image.asave("owl.png")
    await generator.aclose()


@pytest.mark.slow
async def test_an_account_in_postgresql_blocks_nothing(
    server: SandboxServer, database_url: str, no_blocking: None
) -> None:
    """Neither naming an account in PostgreSQL nor a call that it books blocks the loop."""
    account = Account(database_url, max_usd=1)
    tool = QwenImageTool(base_url=server.base_url, save_to="images", account=account)
    made = await tool.ainvoke("a fox")
    assert made.startswith("Done")
    assert repr(tool)
    await tool.aclose()


async def test_two_accounts_are_refused_by_the_first_call(server: SandboxServer) -> None:
    """What can only be told by the disk is told before anything is sent."""
    tool = QwenImageTool(
        base_url=server.base_url, account="one.db", budget=Budget.file("two.db", max_usd=1)
    )
    with pytest.raises(ConfigurationError, match="Give both the same path"):
        await tool.ainvoke("a fox")
    assert not server.requests


def test_a_relative_account_means_what_it_meant(place: Path, monkeypatch: Any) -> None:
    """Off a loop a relative path is resolved at once, whatever folder is the current one later."""
    account = Account("books.db")
    (place / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert account.path == place.resolve() / "books.db"


def test_a_temporary_folder_is_private_and_shared(place: Path, monkeypatch: Any) -> None:
    """It is made at first use, for its owner alone; both tools have the same."""
    toolkit = QwenImageToolkit(sandbox=True)
    tools = toolkit.get_tools()
    monkeypatch.setattr("tempfile.tempdir", str(place / "none"))
    with pytest.raises(ConfigurationError, match=r"Set save_to=…"):
        tools[0].invoke("a fox")
    monkeypatch.setattr("tempfile.tempdir", str(place))
    asyncio.run(tools[0].ainvoke("a fox"))
    (folder,) = place.glob("qwen-image-????????????????")
    assert folder == toolkit.folder
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {tool.save_to for tool in tools} == {toolkit.save_to}
