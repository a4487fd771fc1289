"""`save_to`: what cannot be a folder for images is refused before anything is paid for."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from books import books
from langchain_core.stores import InMemoryByteStore

from langchain_qwen_image import QwenImageGenerator, QwenImageTool, QwenImageToolkit
from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.sandbox import SandboxServer
from langchain_qwen_image.storage.addresses import scheme_of
from langchain_qwen_image.storage.opening import FolderStore, folder_of, open_store
from langchain_qwen_image.storage.paths import TooLargeError, read_regular
from langchain_qwen_image.view import ViewImageTool

Call = Callable[..., Any]

ADDRESSES = [
    "http://example.com/x",
    "https://example.com/x",
    "https://bucket.s3.amazonaws.com/x",
    "gcs://bucket/x",
    "r2://bucket/x",
    "hdfs://name/x",
    "ftp://example.com/x",
    "file:///tmp/x",
    "memory://x",
    "dbfs:/mnt/x",
    " gcs://bucket/x",
]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("kind", [str, Path], ids=["text", "path"])
def test_addresses_are_refused_when_they_are_set(
    address: str, kind: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address is no folder, also after `Path` took one of its slashes; no folder is made."""
    monkeypatch.chdir(tmp_path)
    for face in (QwenImageGenerator, QwenImageTool, QwenImageToolkit):
        with pytest.raises(ConfigurationError, match="is an address"):
            face(sandbox=True, save_to=kind(address))
    with pytest.raises(ConfigurationError, match="is an address"):
        ViewImageTool(save_to=kind(address))
    with pytest.raises(ConfigurationError, match="is an address"):
        open_store(kind(address))
    assert list(tmp_path.iterdir()) == []


def test_the_way_out_is_said() -> None:
    """The message names what works: a folder, an object store or a ByteStore."""
    with pytest.raises(ConfigurationError) as raised:
        open_store("gcs://bucket/x")
    assert str(raised.value) == (
        "save_to='gcs://bucket/x' is an address. Images are saved in a folder of this machine, in "
        "an object store (s3://, gs://, az:// or abfss://) or in a LangChain ByteStore. For a "
        "folder of that name, give its absolute path."
    )


@pytest.mark.parametrize(
    ("path", "scheme"),
    [
        ("C:\\images", None),
        ("C:/images", None),
        ("c:images", None),
        ("images", None),
        ("a:b/c", None),
        ("16:9/images", None),
        ("notes: today", None),
        ("./s3://x", None),
        ("/tmp/s3:/x", None),
        ("s3:\\\\bucket\\x", "s3"),
        ("gs:/bucket/x", "gs"),
    ],
)
def test_drives_and_colons_are_no_schemes(path: str, scheme: str | None) -> None:
    """A scheme has two letters or more before `:/`; a drive has one."""
    assert scheme_of(path) == scheme


def _not_utf_8(tmp_path: Path) -> str:
    return os.fsdecode(os.fsencode(tmp_path) + b"/images-\xff")


def _below_a_file(tmp_path: Path) -> str:
    (tmp_path / "file").touch()
    return str(tmp_path / "file" / "images")


def _a_pipe(tmp_path: Path) -> str:
    os.mkfifo(tmp_path / "pipe")
    return str(tmp_path / "pipe")


def _a_link_to_nowhere(tmp_path: Path) -> str:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    return str(tmp_path / "link")


def _a_circle(tmp_path: Path) -> str:
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    return str(tmp_path / "circle" / "images")


def _too_deep(tmp_path: Path) -> str:
    return str(tmp_path / "/".join(["d" * 200] * 20))


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        pytest.param(_not_utf_8, "not UTF-8", id="not UTF-8"),
        pytest.param(lambda _: "a\0b", "null character", id="null"),
        pytest.param(lambda _: "~nobody-of-that-name/x", "home directory", id="no home"),
        pytest.param(_below_a_file, "file is a file", id="below a file"),
        pytest.param(_a_pipe, "pipe is not a folder", id="a pipe"),
        pytest.param(_a_link_to_nowhere, "link is not a folder", id="a link to nowhere"),
        pytest.param(_a_circle, "circle is not a folder|symbolic links", id="a circle"),
        pytest.param(lambda _: "x" * 300, "File name too long", id="a long name"),
        pytest.param(_too_deep, "File name too long", id="too deep"),
    ],
)
def test_folders_that_cannot_be_are_refused_before_paying(
    folder: Callable[[Path], str], reason: str, tmp_path: Path, server: SandboxServer, call: Call
) -> None:
    """Whatever can never hold an image is a configuration error, and no POST is sent."""
    with pytest.raises(ConfigurationError, match=reason):
        call(
            QwenImageGenerator(
                base_url=server.base_url, api_key="test-key", save_to=folder(tmp_path)
            ),
            "invoke",
            "a fox",
        )
    assert server.gateway.post_count == 0


def test_a_working_folder_that_is_not_utf_8_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative folder is judged by its whole path."""
    here = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    Path(here).mkdir()
    monkeypatch.chdir(here)
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        open_store("images")


@pytest.mark.parametrize("name", ["雪", "Ünïcode", "a b", "-rf", "a:b", "%20", "x" * 250])
def test_unusual_folders_work(tmp_path: Path, name: str) -> None:
    """A name that a file system takes is taken."""
    assert FolderStore(tmp_path / name).folder == tmp_path / name


def test_a_path_of_bytes_is_a_path(tmp_path: Path) -> None:
    """A `PathLike` may give bytes."""

    class Bytes:
        def __fspath__(self) -> bytes:
            return os.fsencode(tmp_path)

    assert FolderStore(Bytes()).folder == tmp_path  # type: ignore[arg-type]


def test_a_store_of_images_is_a_place(tmp_path: Path, call: Call) -> None:
    """`save_to` takes an `ImageStore`; one of a folder has the folder's account."""
    store = FolderStore(tmp_path / "images")
    generator = QwenImageGenerator(sandbox=True, save_to=store, size="512*512")
    image = call(generator, "invoke", "a fox").image
    assert Path(image.path).parent == store.folder
    assert books(store.folder).is_file()
    assert open_store(store) is store


def test_the_folder_of_a_place_is_known(tmp_path: Path) -> None:
    """Of a path or a folder's store it is the folder, of anything else there is none."""
    assert folder_of(tmp_path) == folder_of(FolderStore(tmp_path)) == tmp_path
    assert folder_of(None) is None
    assert folder_of(InMemoryByteStore()) is None


def test_setting_a_folder_looks_at_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings may be made on an event loop: the disk is looked at with the first call."""

    def blocking(*_: object, **__: object) -> None:
        raise AssertionError("the disk was touched")

    for name in ("stat", "lstat", "getcwd", "mkdir"):
        monkeypatch.setattr(os, name, blocking)
    QwenImageGenerator(sandbox=True, save_to="images")


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_only_regular_files_are_read(tmp_path: Path, kind: str) -> None:
    """What could block or never end is refused at once."""
    path = tmp_path / kind
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises((ValueError, IsADirectoryError)):
        read_regular(path)


def test_a_file_is_read_up_to_a_size(tmp_path: Path) -> None:
    """A file of as many bytes is read, a larger one is refused."""
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert read_regular(path) == read_regular(path, max_bytes=5) == b"12345"
    with pytest.raises(TooLargeError, match="more than 4 bytes"):
        read_regular(path, max_bytes=4)
