"""What the doctor says of a machine that is not at hand: file systems, fonts, fake-IP resolvers."""

import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from langchain_qwen_image.checks import disk, doctor, reach
from langchain_qwen_image.checks.finding import Finding, Level


def said(topic: str, **settings: object) -> Finding:
    """Return the finding about a topic."""
    (found,) = [one for one in doctor.examine(sandbox=True, **settings) if one.topic == topic]
    return found


@pytest.mark.parametrize(
    ("kind", "level"),
    [
        ("ext4", Level.GOOD),
        ("tmpfs", Level.GOOD),
        ("nfs4", Level.UNSURE),
        ("9p", Level.UNSURE),
        ("virtiofs", Level.UNSURE),
        ("fuse.sshfs", Level.UNSURE),
        (None, Level.GOOD),
    ],
)
def test_file_systems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str | None, level: Level
) -> None:
    """A file system that other machines may write is unsure, though it locks."""
    monkeypatch.setattr(disk, "file_system_of", lambda _: kind)
    assert said("Locks", place=tmp_path).level is level


def test_the_type_of_a_file_system(mounted: Callable[[str], Path], tmp_path: Path) -> None:
    """Linux says of which type a folder's file system is."""
    assert disk.file_system_of(mounted("size=1m")) == "tmpfs"
    assert disk.file_system_of(tmp_path / "missing") is None


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without locks there is no account: that fails, and says what to do."""
    monkeypatch.setattr(disk, "lock_problem", lambda _: "No locks: give account=… another path.")
    found = said("Locks", place=tmp_path)
    assert found.level is Level.BAD
    assert "account=" in found.text


def test_a_file_system_without_shared_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without shared memory an account is slower: unsure."""

    def refuse(*_: object) -> None:
        raise OSError(19, "No such device")

    monkeypatch.setattr(disk.mmap, "mmap", refuse)
    assert said("Locks", place=tmp_path).level is Level.UNSURE


def test_little_room(mounted: Callable[[str], Path]) -> None:
    """Where little room is left it is unsure; where there is none it fails."""
    folder = mounted("size=1m")
    assert said("Room", place=folder).level is Level.UNSURE
    (folder / "filler").write_bytes(bytes(1024 * 1024 - 16 * 1024))
    assert said("Folder", place=folder).level is Level.BAD


@pytest.mark.parametrize("options", ["ro"])
def test_a_read_only_folder(mounted: Callable[[str], Path], options: str) -> None:
    """A folder that cannot be written fails, and nothing more is said of it."""
    folder = mounted(options)
    found = list(doctor.examine(place=folder, sandbox=True))
    assert said("Folder", place=folder).level is Level.BAD
    assert not {"Room", "Locks"} & {one.topic for one in found}


def test_an_old_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old SQLite fails where a folder's account needs it, and is unsure elsewhere."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 20, 1))
    assert said("SQLite", place=tmp_path).level is Level.BAD
    assert said("SQLite").level is Level.UNSURE


@pytest.mark.parametrize(
    ("font", "level"), [("/fonts/wqy-zenhei.ttc", Level.GOOD), (None, Level.UNSURE)]
)
def test_fonts(monkeypatch: pytest.MonkeyPatch, font: str | None, level: Level) -> None:
    """A machine without a Chinese font is unsure: only the sandbox wants one."""
    monkeypatch.setattr("langchain_qwen_image.sandbox.lettering.chinese_font", lambda: font)
    assert said("Fonts").level is level


def test_without_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Pillow it is unsure, names the extra, and says nothing of fonts."""
    monkeypatch.setitem(__import__("sys").modules, "langchain_qwen_image.sandbox.lettering", None)
    found = said("Pillow")
    assert found.level is Level.UNSURE
    assert "langchain-qwen-image[sandbox]" in found.text
    assert not [one for one in doctor.examine(sandbox=True) if one.topic == "Fonts"]


@pytest.mark.parametrize(
    ("addresses", "fake"),
    [
        (["198.18.0.7"], True),
        (["198.19.255.255", "198.18.3.1"], True),
        (["198.18.0.7", "203.0.113.5"], False),
        (["203.0.113.5", "2001:db8::1"], False),
        ([], False),
    ],
)
def test_fake_addresses(monkeypatch: pytest.MonkeyPatch, addresses: list[str], fake: bool) -> None:
    """A resolver is a fake-IP one when all that it says of a name is in their range."""

    def resolve(*_: object) -> list[tuple[object, ...]]:
        if not addresses:
            raise socket.gaierror(-2, "Name or service not known")
        return [(2, 1, 6, "", (address, 443)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert reach.has_fake_address("gateway.test") is fake
