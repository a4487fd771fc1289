"""A folder of images and its books stay together, or nothing is paid for."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from books import books
from old_accounts import make_old

from langchain_qwen_image import Budget, QwenImageGenerator
from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.marker import MARKER_NAME, read_marker
from langchain_qwen_image.bulk.estimate import estimate_cost
from langchain_qwen_image.errors import AccountError
from langchain_qwen_image.recovery import recover
from langchain_qwen_image.sandbox import SandboxServer

Call = Callable[..., Any]
_KEY = "test-key-0123456789abcdef"


def _generator(server: SandboxServer, folder: Path, **settings: Any) -> QwenImageGenerator:
    return QwenImageGenerator(
        base_url=server.base_url, api_key=_KEY, size="512*512", save_to=folder, **settings
    )


@pytest.fixture
def bought(server: SandboxServer, tmp_path: Path) -> Path:
    """Give a folder with one image that was paid for."""
    folder = tmp_path / "images"
    _generator(server, folder).invoke("a fox")
    return folder


def test_the_first_call_marks_the_folder_with_its_account(bought: Path) -> None:
    """The marker has the id of the books, which lie beside the folder."""
    assert read_marker(bought) == Account(books(bought)).id
    assert books(bought).parent == bought.with_name("images.books")
    assert not [file for file in bought.iterdir() if ".db" in file.name]


def _move(folder: Path) -> Path:
    return folder.rename(folder.with_name("renamed"))


def _copy(folder: Path) -> Path:
    return Path(shutil.copytree(folder, folder.with_name("copy")))


def _copy_beside_other_books(folder: Path) -> Path:
    other = Account(books(folder.with_name("copy")))
    other.prepare().result()
    return _copy(folder)


def _lose_books(folder: Path) -> Path:
    shutil.rmtree(books(folder).parent)
    return folder


def _spoil_marker(folder: Path) -> Path:
    (folder / MARKER_NAME).write_text("no account")
    return folder


def _files(folder: Path) -> list[Path]:
    """Return all files but those that SQLite has while a database is open."""
    return sorted(path for path in folder.rglob("*") if "account.db-" not in path.name)


@pytest.mark.parametrize(
    "part", [_move, _copy, _copy_beside_other_books, _lose_books, _spoil_marker]
)
def test_a_folder_without_its_books_is_refused_before_anything_is_paid(
    server: SandboxServer, bought: Path, part: Callable[[Path], Path], call: Call
) -> None:
    """Moved, copied, next to other books: nothing is sent, made or changed, and the ways are said.

    The same way a dry run, which would announce that all is to be paid for.
    """
    folder = part(bought)
    before = _files(folder.parent)
    with pytest.raises(AccountError, match=r"account=….*qwen-image recover --rebuild"):
        call(_generator(server, folder), "invoke", "a fox")
    with pytest.raises(AccountError, match="Nothing was sent"):
        list(_generator(server, folder).generate_many(["a fox"]))
    with pytest.raises(AccountError, match="Nothing was sent"):
        estimate_cost(_generator(server, folder), ["a fox"])
    assert server.gateway.post_count == 1
    after = _files(folder.parent)
    assert after == before


def _copy_files(folder: Path) -> Path:
    new = folder.with_name("new")
    new.mkdir()
    for file in folder.glob("[!.]*"):
        shutil.copy(file, new)
    return new


def test_images_that_were_copied_without_marker_are_not_paid_for_again(
    server: SandboxServer, bought: Path, call: Call
) -> None:
    """`cp images/* new/` leaves the marker out; a rebuilt account is the way out."""
    folder = _copy_files(bought)
    with pytest.raises(AccountError, match=r"account=….*qwen-image recover --rebuild"):
        call(_generator(server, folder), "invoke", "a fox")
    with pytest.raises(AccountError, match="Nothing was sent"):
        list(_generator(server, folder).generate_many(["a fox"]))
    with pytest.raises(AccountError, match="Nothing was sent"):
        estimate_cost(_generator(server, folder), ["a fox"])
    assert (server.gateway.post_count, read_marker(folder)) == (1, None)
    list(recover(folder, rebuild=True, base_url=server.base_url))
    call(_generator(server, folder), "invoke", "a heron")
    assert [one.prompt for one in Account(books(folder)).calls()] == ["a fox", "a heron"]


@pytest.mark.parametrize(
    "record",
    [
        pytest.param({"prompt": "a fox", "call_id": "c1", "sandbox": True}, id="sandbox"),
        pytest.param({"prompt": "a fox", "request_id": "r1"}, id="before call ids"),
        pytest.param({"name": "a fox"}, id="not ours"),
    ],
)
def test_other_files_do_not_stop_a_first_call(
    server: SandboxServer, tmp_path: Path, record: dict[str, Any]
) -> None:
    """Placeholders, sidecars that name no call and files of others are no reason to refuse."""
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "2026-11-23-a-fox-k3v9q2xd.json").write_text(json.dumps(record))
    (folder / "owl.png").write_bytes(b"an image of generate -o")
    _generator(server, folder).invoke("a heron")
    assert server.gateway.post_count == 1


def test_books_that_are_named_may_be_anywhere(server: SandboxServer, bought: Path) -> None:
    """`account=` is a way out, and the marker stays what it was."""
    marker = read_marker(bought)
    file = books(bought)
    _generator(server, _move(bought), account=file).invoke("a heron")
    assert read_marker(bought.with_name("renamed")) == marker
    assert len(list(Account(file).calls())) == 2


def test_a_folder_that_an_account_was_named_for_is_not_used_without_it(
    server: SandboxServer, tmp_path: Path
) -> None:
    """Where the argument is forgotten once, new books would pay for all of it again."""
    named = tmp_path / "all.db"
    _generator(server, tmp_path / "images", account=named).invoke("a fox")
    with pytest.raises(AccountError, match="used with account=…"):
        _generator(server, tmp_path / "images").invoke("a fox")
    assert server.gateway.post_count == 1


def test_books_that_go_while_a_program_runs_are_missed(server: SandboxServer, bought: Path) -> None:
    """It is looked at before each call, and not once for a process."""
    generator = _generator(server, bought)
    generator.invoke("a heron")
    shutil.rmtree(books(bought).parent)
    with pytest.raises(AccountError, match="there is no file"):
        generator.invoke("a bittern")
    assert server.gateway.post_count == 2


def test_the_sandbox_uses_the_folders_own_books(
    bought: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable is for what is paid; where it may name the marker's account, both go on."""
    monkeypatch.setenv("QWEN_IMAGE_DATABASE", str(tmp_path / "all.db"))
    (bought / MARKER_NAME).write_text(f"account {'f' * 32}\n")
    QwenImageGenerator(sandbox=True, size="512*512", save_to=bought).invoke("a heron")
    assert [call.prompt for call in Account(books(bought)).calls()] == ["a fox", "a heron"]
    assert not (tmp_path / "all.db").exists()


@pytest.mark.parametrize("version", [1, 2])
def test_an_old_file_is_taken_over_before_the_first_call(
    server: SandboxServer, tmp_path: Path, version: int, call: Call
) -> None:
    """Its calls come first in the new books, and a dry run has read them where they were."""
    folder = tmp_path / "images"
    folder.mkdir()
    old = {"state": "saved", "base_url": server.base_url, "batch": "bulk", "batch_item": "1"}
    make_old(folder / ".qwen-image.db", version, calls=[{**old, "prompt": "a heron"}])
    assert estimate_cost(_generator(server, folder), ["a fox"]).to_generate == 1
    assert (folder / ".qwen-image.db").is_file()
    call(_generator(server, folder), "invoke", "a fox")
    assert not (folder / ".qwen-image.db").exists()
    assert [one.prompt for one in Account(books(folder)).calls()] == ["a heron", "a fox"]
    assert Account(books(folder)).images == 2


def test_a_budget_in_the_folders_own_books_changes_nothing(
    server: SandboxServer, bought: Path, tmp_path: Path
) -> None:
    """The folder is checked as without it, and an old file is taken over."""
    renamed = _move(bought)
    budget = Budget.file(books(renamed), max_usd=1)
    with pytest.raises(AccountError, match="there is no file"):
        _generator(server, renamed, budget=budget).invoke("a fox")
    folder = tmp_path / "old"
    folder.mkdir()
    make_old(folder / ".qwen-image.db", calls=[{}])
    _generator(server, folder, budget=Budget.file(books(folder), max_usd=1)).invoke("a fox")
    assert not (folder / ".qwen-image.db").exists()
    assert len(list(Account(books(folder)).calls())) == 2


def test_an_old_file_in_use_stops_the_run_before_paying(
    server: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process of the earlier version still pays by it."""
    monkeypatch.setattr("langchain_qwen_image.account.takeover._PATIENCE_SECONDS", 0.05)
    folder = tmp_path / "images"
    folder.mkdir()
    make_old(folder / ".qwen-image.db")
    with closing(sqlite3.connect(folder / ".qwen-image.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(AccountError, match="another process has it open"):
            _generator(server, folder).invoke("a fox")
    assert server.gateway.post_count == 0


def test_an_old_file_that_comes_again_stops_the_run(server: SandboxServer, bought: Path) -> None:
    """A process of the earlier version has made it: its calls are in no books."""
    make_old(bought / ".qwen-image.db")
    with pytest.raises(AccountError, match="two records"):
        _generator(server, bought).invoke("a heron")
    assert server.gateway.post_count == 1
