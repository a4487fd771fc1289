"""A call that this machine would make fail for certain ends before its POST, on both twins."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Call

from langchain_qwen_image import QwenImageGenerator
from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.sandbox import SandboxServer


def refused(call: Call, generator: QwenImageGenerator) -> str:
    """Return what is said against a call."""
    with pytest.raises(ConfigurationError) as caught:
        call(generator, "invoke", "a fox")
    assert not caught.value.may_have_been_billed
    return str(caught.value)


def at(server: SandboxServer, folder: Path) -> QwenImageGenerator:
    """Return a generator that saves into a folder."""
    return QwenImageGenerator(
        base_url=server.base_url, api_key="k", save_to=folder, size="512*512", max_retries=0
    )


def test_a_file_that_came_into_the_way(server: SandboxServer, call: Call, tmp_path: Path) -> None:
    """A folder that became a file after the generator was made costs nothing; nor does a repeat."""
    generator = at(server, tmp_path / "images")
    (tmp_path / "images").touch()
    assert "is a file" in refused(call, generator)
    assert "is a file" in refused(call, generator)
    assert server.gateway.post_count == 0
    (tmp_path / "images").unlink()
    assert call(generator, "invoke", "a fox").image.path is not None
    assert server.gateway.post_count == 1


@pytest.mark.parametrize("below", ["", "new"])
def test_a_read_only_file_system(
    server: SandboxServer, call: Call, mounted: Callable[[str], Path], below: str
) -> None:
    """A folder on a file system that is mounted read-only costs nothing."""
    assert "read-only" in refused(call, at(server, mounted("ro") / below))
    assert server.gateway.post_count == 0


def test_a_full_disk(server: SandboxServer, call: Call, mounted: Callable[[str], Path]) -> None:
    """A disk without room for an image costs nothing."""
    folder = mounted("size=1m")
    (folder / "filler").write_bytes(bytes(1024 * 1024 - 24 * 1024))
    assert "full" in refused(call, at(server, folder))
    assert server.gateway.post_count == 0


def test_an_old_sqlite(
    server: SandboxServer, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A SQLite that cannot hold the account costs nothing."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 20, 1))
    assert "SQLite 3.20.1" in refused(call, at(server, tmp_path))
    assert server.gateway.post_count == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SSL_CERT_FILE", "/no/such/ca.pem"),
        ("SSL_CERT_DIR", "/no/such/folder"),
        ("HTTPS_PROXY", "ftp://proxy.test"),
        ("ALL_PROXY", "http://"),
    ],
)
def test_the_environment(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str
) -> None:
    """A variable that lets nothing be reached is named before anything is connected."""
    for other in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, value)
    generator = QwenImageGenerator(
        base_url="https://gateway.invalid", api_key="k", save_to=tmp_path, max_retries=0
    )
    assert name in refused(call, generator)
