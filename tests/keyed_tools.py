"""A tool with an account in each store, and programs that run graphs with it."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from graphs import Program
from held import HeldServer

from langchain_qwen_image import QwenImageTool


class Stores(NamedTuple):
    """Where a program keeps what it knows.

    Attributes:
        account: A path, or the address of a database.
        checkpoints: A file; None for the memory.
    """

    account: str
    checkpoints: Path | None


@pytest.fixture(
    params=[
        pytest.param(("sqlite", False), id="sqlite-memory"),
        pytest.param(("postgres", True), id="postgres-file"),
        pytest.param(("sqlite", True), id="sqlite-file", marks=pytest.mark.long),
        pytest.param(("postgres", False), id="postgres-memory", marks=pytest.mark.long),
    ]
)
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    """Choose a store for the account, and one for the checkpoints."""
    account, in_file = request.param
    is_sqlite = account == "sqlite"
    location = str(tmp_path / "a.db") if is_sqlite else request.getfixturevalue("database_url")
    return Stores(location, tmp_path / "checkpoints.db" if in_file else None)


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def program_of(stores: Stores, request: pytest.FixtureRequest) -> Callable[..., Program]:
    """Return what makes a program of a graph, in each world."""
    return partial(Program, is_async=request.param, file=stores.checkpoints)


@pytest.fixture
def held() -> Iterator[HeldServer]:
    """Serve a gateway that answers at once until it is told to hold its answers back."""
    with HeldServer() as server:
        server.release()
        yield server


@pytest.fixture
def make_tool(
    held: HeldServer, stores: Stores, tmp_path: Path
) -> Iterator[Callable[..., QwenImageTool]]:
    """Return what makes tools with an account, of any settings."""
    made: list[QwenImageTool] = []

    def make(**settings: Any) -> QwenImageTool:
        given = {"account": stores.account, "save_to": tmp_path / "images", "api_key": "test-key"}
        made.append(QwenImageTool(base_url=held.base_url, **given | settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def keyed_tool(make_tool: Callable[..., QwenImageTool]) -> QwenImageTool:
    """Return a tool with an account."""
    return make_tool()
