"""An account is put right by the sidecars in its folder, and by nothing that somebody prepared."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from account_steps import entry
from books import books

from langchain_qwen_image import QwenImageGenerator
from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.marker import MARKER_NAME, read_marker
from langchain_qwen_image.account.spend import spend_by_day
from langchain_qwen_image.errors import AccountError, ConfigurationError
from langchain_qwen_image.recovery import Finding, recover
from langchain_qwen_image.sandbox import SandboxServer

_KEY = "test-key-0123456789abcdef"
_PRICE = Decimal("0.045")


@pytest.fixture(autouse=True)
def _configured(server: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXAZO_BASE_URL", server.base_url)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give the place of the images."""
    return tmp_path / "images"


@pytest.fixture
def generator(folder: Path) -> QwenImageGenerator:
    """Generate into the folder."""
    return QwenImageGenerator(api_key=_KEY, size="512*512", save_to=folder)


def _run(folder: Path, sql: str, *values: object) -> None:
    with closing(sqlite3.connect(books(folder))) as connection, connection:
        connection.execute(sql, values)


def _unbook(folder: Path, state: str) -> None:
    """Let the account have lost all that came after the POST, as if its disk had been full."""
    _run(folder, "DELETE FROM links")
    _run(folder, "DELETE FROM images")
    over = 1_000_000 if state == "sent" else None
    _run(folder, "UPDATE calls SET state = ?, lease_micros = 1, lease_until = ?", state, over)
    column = "reserved" if state == "sent" else "spent"
    _run(folder, "UPDATE totals SET spent_usd = '0', spent_images = 0 WHERE purse = 'gateway'")
    if state in ("sent", "unknown"):
        sql = f"UPDATE totals SET {column}_usd = '0.045', {column}_images = 1"
        _run(folder, f"{sql} WHERE purse = 'gateway'")


def _outcomes(found: list[Finding]) -> list[str]:
    return [one.outcome for one in found]


def _states(folder: Path) -> list[tuple[str, int]]:
    calls = Account(books(folder)).calls()
    return [(call.state, sum(image.path is not None for image in call.images)) for call in calls]


@pytest.mark.parametrize("state", ["sent", "unknown", "asked", "refused"])
def test_a_call_whose_image_is_in_the_folder_is_booked_once(
    folder: Path, generator: QwenImageGenerator, server: SandboxServer, state: str
) -> None:
    """C15: what could not be booked after the POST is put right, with its money, and said."""
    image = generator.invoke("a fox").image
    _unbook(folder, state)
    [dry] = recover(folder, dry_run=True)
    assert (dry.outcome, dry.call.state, dry.path) == ("booked", state, image.path)
    [finding] = recover(folder)
    assert (finding.outcome, finding.path, finding.is_settled) == ("booked", image.path, True)
    assert _states(folder) == [("saved", 1)]
    account = Account(books(folder))
    assert (account.spent_usd, account.reserved_usd, account.images) == (_PRICE, 0, 1)
    assert list(recover(folder)) == []
    assert account.spent_usd == _PRICE
    assert server.gateway.post_count == 1


def test_a_call_that_the_account_does_not_know_is_entered(
    folder: Path, generator: QwenImageGenerator
) -> None:
    """An account that was restored from a backup learns what was bought since."""
    generator.invoke("a heron")
    backup = books(folder).with_name("backup.db")
    Account(books(folder)).close()
    generator.close()
    shutil.copyfile(books(folder), backup)
    generator.invoke("a fox")
    generator.close()
    backup.replace(books(folder))
    [finding] = recover(folder)
    assert (finding.outcome, finding.call.prompt) == ("booked", "a fox")
    assert _states(folder) == [("saved", 1)] * 2
    assert Account(books(folder)).spent_usd == 2 * _PRICE


def test_a_call_under_way_is_left_alone(folder: Path, generator: QwenImageGenerator) -> None:
    """Its lease is not over: the process that sent it books it."""
    generator.invoke("a fox")
    _unbook(folder, "sent")
    later = (datetime.now(UTC) + timedelta(minutes=4)).timestamp() * 1e6
    _run(folder, "UPDATE calls SET lease_until = ?, lease_micros = 300000000", int(later))
    for dry_run in (True, False):
        assert _outcomes(list(recover(folder, dry_run=dry_run))) == ["running"]
    assert _states(folder) == [("sent", 0)]


def test_images_of_another_account_are_not_entered(
    folder: Path, generator: QwenImageGenerator, tmp_path: Path
) -> None:
    """A folder whose marker names another account costs this one nothing."""
    generator.invoke("a fox")
    other = Account(tmp_path / "other.db")
    other.prepare().result()
    assert list(recover(folder, account=tmp_path / "other.db")) == []
    assert other.spent_usd == 0


def _spoil(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    [beside] = folder.glob("*.json")
    record = json.loads(beside.read_bytes())
    change(record)
    beside.write_text(json.dumps(record))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda record: record.update(cost_usd=999_999), id="a price"),
        pytest.param(lambda record: record.update(cost_usd=-1), id="a negative price"),
        pytest.param(lambda record: record.update(key=["x"], run={}, gateway=7), id="types"),
        pytest.param(lambda record: record.update(gateway="http://10.0.0.1"), id="a gateway"),
    ],
)
def test_a_prepared_sidecar_does_not_change_what_the_account_knows(
    folder: Path, generator: QwenImageGenerator, change: Callable[[dict[str, Any]], object]
) -> None:
    """Price and gateway of a call that is in the books are those of the books."""
    generator.invoke("a fox")
    before = next(Account(books(folder)).calls())
    _unbook(folder, "unknown")
    _spoil(folder, change)
    assert _outcomes(list(recover(folder))) == ["booked"]
    [call] = Account(books(folder)).calls()
    assert (call.cost_usd, call.base_url, call.key) == (_PRICE, before.base_url, before.key)
    assert Account(books(folder)).spent_usd == _PRICE


@pytest.mark.parametrize("name", ["../secret.png", "/etc/hostname", "", "a\0b.png", "x.txt"])
def test_a_prepared_sidecar_names_no_file_elsewhere(
    folder: Path, generator: QwenImageGenerator, tmp_path: Path, name: str
) -> None:
    """A path out of the folder is no image of it."""
    (tmp_path / "secret.png").write_bytes(b"x")
    generator.invoke("a fox")
    _unbook(folder, "unknown")
    _spoil(folder, lambda record: record.update(file=name, size_bytes=1))
    assert _outcomes(list(recover(folder))) == ["unanswered"]


def test_prepared_files_neither_block_nor_are_followed(
    folder: Path, generator: QwenImageGenerator
) -> None:
    """Pipes, links and huge files named as sidecars are left out."""
    generator.invoke("a fox")
    os.mkfifo(folder / "pipe.json")
    (folder / "link.json").symlink_to("/dev/zero")
    with (folder / "huge.json").open("wb") as file:
        file.truncate(1 << 40)
    (folder / "deep.json").write_text("[" * 100_000)
    (folder / "folder.json").mkdir()
    assert list(recover(folder)) == []


def _lose(folder: Path) -> None:
    shutil.rmtree(books(folder).parent)


def test_a_folder_that_lost_its_account_gets_a_new_one(
    folder: Path, generator: QwenImageGenerator, server: SandboxServer
) -> None:
    """`rebuild` enters each image's call and money, marks the folder, and calls go on."""
    generator.invoke("a fox")
    generator.invoke("a heron")
    old = read_marker(folder)
    _lose(folder)
    with pytest.raises(AccountError, match="--rebuild"):
        list(recover(folder))
    found = list(recover(folder, rebuild=True))
    assert _outcomes(found) == ["booked"] * 2
    account = Account(books(folder))
    assert read_marker(folder) == account.id != old
    assert (account.spent_usd, account.images) == (2 * _PRICE, 2)
    assert {call.state for call in account.calls()} == {"saved"}
    days = {f"{one.call.created_at:%Y-%m-%d}" for one in found}
    assert {day.day for day in spend_by_day(account)} == days
    assert list(recover(folder, rebuild=True)) == []
    generator.invoke("a bittern")
    assert server.gateway.post_count == 3


def test_a_resumed_run_finds_its_images_in_a_rebuilt_account(
    folder: Path, generator: QwenImageGenerator, server: SandboxServer
) -> None:
    """Sidecars name run and key, so that nothing is paid for twice."""
    prompts = ["a fox", "a fox", "a heron"]
    assert [one.status for one in generator.generate_many(prompts)] == ["saved"] * 3
    _lose(folder)
    assert _outcomes(list(recover(folder, rebuild=True))) == ["booked"] * 3
    assert [one.status for one in generator.generate_many(prompts)] == ["reused"] * 3
    assert server.gateway.post_count == 3


def test_what_is_paid_for_and_missing_is_rebuilt_as_lost(
    folder: Path, generator: QwenImageGenerator
) -> None:
    """A sidecar alone says that its call was paid for."""
    Path(generator.invoke("a fox").image.path or "").unlink()
    _lose(folder)
    list(recover(folder, rebuild=True))
    assert _states(folder) == [("answered", 0)]
    assert Account(books(folder)).spent_usd == _PRICE


def test_a_copy_is_rebuilt_into_the_account_beside_it(
    folder: Path, generator: QwenImageGenerator
) -> None:
    """Where another folder's account lies in its place, that one goes on with these images."""
    generator.invoke("a fox")
    copy = folder.with_name("copy")
    other = Account(books(copy))
    other.prepare().result()
    shutil.copytree(folder, copy)
    assert _outcomes(list(recover(copy, rebuild=True))) == ["booked"]
    assert read_marker(copy) == other.id
    assert read_marker(folder) == Account(books(folder)).id
    assert other.spent_usd == _PRICE


def test_a_prepared_marker_is_replaced_by_a_rebuild(
    folder: Path, generator: QwenImageGenerator, tmp_path: Path
) -> None:
    """A link is replaced, and what it led to is not written."""
    generator.invoke("a fox")
    (folder / MARKER_NAME).unlink()
    (folder / MARKER_NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AccountError):
        list(recover(folder))
    list(recover(folder, rebuild=True))
    assert read_marker(folder) == Account(books(folder)).id
    assert not (tmp_path / "elsewhere").exists()


def test_a_dry_run_rebuilds_nothing(folder: Path) -> None:
    """The two exclude each other."""
    with pytest.raises(ConfigurationError, match="dry run"):
        list(recover(folder, rebuild=True, dry_run=True))


def test_only_the_configured_gateway_is_asked(
    folder: Path, server: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F8: what only the account names as gateway or link gets no request, and no key."""
    monkeypatch.setenv("PIXAZO_API_KEY", _KEY)
    monkeypatch.setenv("PIXAZO_BASE_URL", "https://gateway.example")
    account = Account(books(folder))
    folder.mkdir()
    for number, step in enumerate(("queued", "answered")):
        call = entry(f"c{number}", base_url=server.base_url)
        account.asked(call).result()
        account.sent(call.id, lease_seconds=300).result()
        if step == "queued":
            account.queued(call.id, polling_path="/v2/requests/status/1", request_id="q").result()
        else:
            link = (f"i{number}", f"{server.base_url}/image.png", None)
            paid = {"request_id": None, "cost_usd": _PRICE}
            account.answered(call.id, images=[link], **paid).result()  # type: ignore[arg-type]
    queued, failed = recover(folder)
    assert (queued.outcome, failed.outcome) == ("queued", "failed")
    assert "PIXAZO_BASE_URL" in (queued.reason or "")
    assert "non-public address" in (failed.reason or "") or "https" in (failed.reason or "")
    assert server.requests == []


def test_links_reach_this_machine_only_at_the_gateways_port(
    folder: Path, server: SandboxServer
) -> None:
    """F8: a local gateway opens its own port, and not those of other services."""
    account = Account(books(folder))
    folder.mkdir()
    with SandboxServer() as other:
        call = entry(base_url=server.base_url)
        account.asked(call).result()
        account.sent(call.id, lease_seconds=300).result()
        link = ("i1", f"{other.base_url}/image.png", None)
        paid = {"request_id": None, "cost_usd": _PRICE}
        account.answered(call.id, images=[link], **paid).result()  # type: ignore[arg-type]
        [finding] = recover(folder)
        assert finding.outcome == "failed"
        assert other.requests == []
