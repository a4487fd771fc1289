"""What makes a call fail for certain is said before it: cause and way out, once, and cheaply."""

import os
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from waiting import PATIENCE

from langchain_qwen_image.checks import folder as folder_module
from langchain_qwen_image.checks import preflight as preflight_module
from langchain_qwen_image.checks.preflight import preflight
from langchain_qwen_image.errors import ConfigurationError

Look = Callable[..., None]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start without anything that passed, and without variables that matter."""
    monkeypatch.setattr(preflight_module, "_passed", set())
    for name in preflight_module.ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)


def look(folder: Path | None = None, **settings: Any) -> None:
    """Look at a folder with the account in it, as a call with `save_to` does."""
    account = None if folder is None else folder / ".qwen-image.db"
    usual = {"folder": folder, "account": account, "sandbox": False, "own_http_client": False}
    preflight(**{**usual, **settings})


def refusal(folder: Path | None = None, **settings: Any) -> str:
    """Return what is said against a setting."""
    with pytest.raises(ConfigurationError) as caught:
        look(folder, **settings)
    return str(caught.value)


@pytest.mark.parametrize(
    "name", ["new", "new/and/deeper", "画 папка", "with space", "a'b\"c", "n" * 255]
)
@pytest.mark.parametrize("made", [False, True], ids=["missing", "there"])
def test_a_good_folder_passes_untouched(tmp_path: Path, name: str, made: bool) -> None:
    """A folder that can be written passes, is not made, and nothing is left in it."""
    folder = tmp_path / name
    if made:
        folder.mkdir(parents=True)
    look(folder)
    assert folder.exists() == made
    assert not made or list(folder.iterdir()) == []


def test_a_relative_folder_is_of_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path is looked for in the current folder."""
    monkeypatch.chdir(tmp_path)
    look(Path("pictures"))
    Path("taken").write_bytes(b"")
    assert "is a file" in refusal(Path("taken"))


def test_nothing_to_look_at_passes() -> None:
    """Without a folder, an account and a bad environment there is nothing to refuse."""
    look()


@pytest.mark.parametrize("below", ["", "a", "a/b"])
def test_a_file_in_the_way(tmp_path: Path, below: str) -> None:
    """A file where a folder should be is named, however far above."""
    (tmp_path / "taken").write_bytes(b"x")
    message = refusal(tmp_path / "taken" / below)
    assert f"{tmp_path}/taken is a file" in message
    assert message.endswith("Nothing was sent.")


def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    """A symbolic link that leads nowhere, or in a circle, cannot become a folder."""
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    assert f"{tmp_path}/dangling is not a folder" in refusal(tmp_path / "dangling")
    assert f"{tmp_path}/dangling is not a folder" in refusal(tmp_path / "dangling" / "below")
    assert "Too many levels" in refusal(tmp_path / "circle")


@pytest.mark.parametrize("place", ["taken", "dangling", "circle"])
def test_an_account_where_none_can_be(tmp_path: Path, place: str) -> None:
    """An account of its own is refused where its folder cannot be."""
    (tmp_path / "taken").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    message = refusal(account=tmp_path / place / "calls.db")
    assert message.startswith("The account 'calls.db' cannot be written in")


def test_a_link_to_a_folder_passes(tmp_path: Path) -> None:
    """A symbolic link to a folder is a folder."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    look(tmp_path / "link")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        pytest.param(os.fsdecode(b"f\xe9vrier"), "not UTF-8", id="latin-1"),
        pytest.param("a\ud800b", "not UTF-8", id="surrogate"),
        pytest.param("a\0b", "null character", id="null"),
        pytest.param("n" * 256, "too long", id="long"),
    ],
)
def test_names_that_cannot_be(tmp_path: Path, name: str, says: str) -> None:
    """A name that no file or no account can have is refused, and the message can be printed."""
    message = refusal(tmp_path / name)
    assert says in message
    message.encode()


@pytest.mark.parametrize("below", ["", "new", "new/deeper"])
@pytest.mark.parametrize("mode", [0o555, 0o444], ids=["read-only", "closed"])
def test_a_folder_of_somebody_else(
    open_folder: Path, as_nobody: Callable[[], Any], below: str, mode: int
) -> None:
    """A folder that this user may not write is refused, also as the parent of a new one."""
    open_folder.chmod(mode)
    with as_nobody():
        message = refusal(open_folder / below)
    assert "this user has no permission to write there" in message
    assert "Choose another folder" in message


@pytest.mark.parametrize("below", ["", "new"])
def test_a_read_only_file_system(mounted: Callable[[str], Path], below: str) -> None:
    """A file system that is mounted read-only is called that, for root too."""
    assert "read-only" in refusal(mounted("ro") / below)


def test_a_full_disk(mounted: Callable[[str], Path]) -> None:
    """A disk without room for any image is called full; with room again it passes."""
    folder = mounted("size=1m")
    (folder / "filler").write_bytes(bytes(1024 * 1024 - 32 * 1024))
    assert "full" in refusal(folder)
    (folder / "filler").unlink()
    look(folder)


def test_an_account_that_is_only_read(open_folder: Path, as_nobody: Callable[[], Any]) -> None:
    """An account of its own that this user may only read is refused."""
    account = open_folder / "calls.db"
    account.write_bytes(b"")
    account.chmod(0o444)
    open_folder.chmod(0o777)
    with as_nobody():
        assert "may only read it" in refusal(account=account)


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where files cannot be locked, an account is refused, and images alone are not."""
    monkeypatch.setattr(
        folder_module, "lock_problem", lambda _: "No locks. Nothing was sent. Move."
    )
    assert refusal(tmp_path) == "No locks. Nothing was sent. Move."
    look(tmp_path, account=None)


def test_an_old_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A SQLite that cannot hold an account is refused where there is one."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 20, 1))
    assert "SQLite 3.20.1" in refusal(tmp_path)
    look(tmp_path, account=None)


@pytest.mark.parametrize("content", [None, b"no certificate"], ids=["missing", "not-pem"])
def test_certificates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    """A file of certificates that cannot be used is named, with its variable."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    message = refusal()
    assert "SSL_CERT_FILE" in message
    assert str(file) in message
    look(sandbox=True)
    look(own_http_client=True)
    look(base_url="http://127.0.0.1:8765")


@pytest.mark.parametrize("made", [False, True], ids=["missing", "empty"])
def test_a_folder_of_certificates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: bool
) -> None:
    """A folder without certificates is named; without the variable all is well."""
    folder = tmp_path / "certificates"
    if made:
        folder.mkdir()
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    message = refusal()
    assert "SSL_CERT_DIR" in message
    assert str(folder) in message
    monkeypatch.setenv("SSL_CERT_DIR", "")
    look()


@pytest.mark.parametrize(
    ("variables", "names"),
    [
        pytest.param({"HTTPS_PROXY": "ftp://127.0.0.1:3128"}, ["HTTPS_PROXY"], id="kind"),
        pytest.param({"ALL_PROXY": "http://"}, ["ALL_PROXY"], id="no-host"),
        pytest.param(
            {"https_proxy": "http://127.0.0.1:3128", "NO_PROXY": "[zz],localhost"},
            ["NO_PROXY", "[zz]"],
            id="no-proxy",
        ),
    ],
)
def test_proxies(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], names: list[str]
) -> None:
    """A proxy variable that cannot be used is named, with the entry; this machine needs none."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    message = refusal()
    assert all(name in message for name in names)
    look(sandbox=True)
    look(own_http_client=True)
    look(base_url="http://127.0.0.1:8765")


@pytest.mark.parametrize(
    "variables",
    [
        pytest.param({"HTTPS_PROXY": "http://127.0.0.1:3128"}, id="good"),
        pytest.param({"HTTPS_PROXY": "proxy.test:3128"}, id="no-scheme"),
        pytest.param({"HTTPS_PROXY": "http://a.test", "NO_PROXY": "[::1],localhost"}, id="ipv6"),
        pytest.param({"HTTPS_PROXY": "http://a.test", "NO_PROXY": "fd00::/8"}, id="network"),
        pytest.param({"HTTPS_PROXY": "junk://", "NO_PROXY": "gateway.pixazo.ai"}, id="exempt"),
        pytest.param({"NO_PROXY": "[::1"}, id="no-proxy-at-all"),
    ],
)
def test_proxies_that_may_work(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    """What may work passes."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    look()


def test_a_setting_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many threads look at a setting that passes once, and at another one again."""
    looked: list[Path] = []
    gate = threading.Barrier(8)

    def count(folder: Path) -> None:
        looked.append(folder)

    monkeypatch.setattr(preflight_module, "folder_problem", count)

    def arrive(_: int) -> None:
        gate.wait(PATIENCE)
        look(tmp_path, account=None)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(arrive, range(8)))
    look(tmp_path / "other", account=None)
    assert looked == [tmp_path, tmp_path / "other"]


def test_what_was_put_right_passes(tmp_path: Path) -> None:
    """A refusal is not remembered: the next call looks again."""
    (tmp_path / "taken").write_bytes(b"")
    refusal(tmp_path / "taken")
    (tmp_path / "taken").unlink()
    look(tmp_path / "taken")


def test_another_environment_is_another_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that changes after a setting passed is seen."""
    look()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    refusal()


def test_a_process_looks_for_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forked child looks again, also when another thread looked as it was made."""
    with preflight_module._checking:
        pid = os.fork()
        if pid == 0:
            try:
                look(tmp_path)
                os._exit(0)
            except BaseException:
                os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many settings pass, few are remembered."""
    monkeypatch.setattr(preflight_module, "_MOST_REMEMBERED", 3)
    for number in range(10):
        look(tmp_path / str(number))
    assert len(preflight_module._passed) <= 3
