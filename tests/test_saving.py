"""`image.save`: an image that is paid for is not lost over a name, a disk or a folder."""

import errno
import json
import os
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from langchain_qwen_image import GeneratedImage, ImageGenerationResult, QwenImageError
from langchain_qwen_image.errors import FileAlreadyExistsError, SaveError
from langchain_qwen_image.sandbox import draw_plain
from langchain_qwen_image.schemas import ImageParameters

Call = Callable[..., Any]
PNG = draw_plain("", size=(8, 8), watermark=False, seed_text="")
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Source:
    """Where the bytes come from, as often as they are asked for; it counts."""

    def __init__(self, content: bytes = PNG) -> None:
        """Take the bytes."""
        self.content = content
        self.reads = 0

    def read(self, image: GeneratedImage) -> bytes:
        """Return them."""
        self.reads += 1
        return self.content

    async def aread(self, image: GeneratedImage) -> bytes:
        """Return them."""
        return self.read(image)

    def cached_bytes(self, image: GeneratedImage) -> bytes | None:
        """Return them."""
        return self.content


@pytest.fixture
def source() -> Source:
    """Where the image comes from."""
    return Source()


@pytest.fixture
def image(source: Source) -> GeneratedImage:
    """An image as a call returns it."""
    result = ImageGenerationResult(
        images=[GeneratedImage(id="k3v9q2xd", url="https://h/a.png?Signature=s")],
        prompt="A red fox",
        parameters=ImageParameters(),
        cost_usd=0.045,
        created_at=NOON,
    )
    result.image.bind(source)
    return result.image


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_second_save_loses_nothing(
    here: Path, image: GeneratedImage, source: Source, call: Call
) -> None:
    """A name that is taken is an error of the tree, before anything is fetched or written."""
    assert call(image, "save", "fox.png") == Path("fox.png")
    (here / "fox.png").write_bytes(b"mine")
    with pytest.raises(FileAlreadyExistsError) as raised:
        call(image, "save", "fox.png")
    assert isinstance(raised.value, QwenImageError)
    assert isinstance(raised.value, FileExistsError)
    assert str(raised.value) == (
        "'fox.png' exists already, and was left as it is. The image is paid for and not lost: "
        "save it under another name, or with overwrite=True."
    )
    assert (source.reads, (here / "fox.png").read_bytes()) == (1, b"mine")
    assert call(image, "save", "fox-2.png").read_bytes() == PNG
    assert call(image, "save", "fox.png", overwrite=True).read_bytes() == PNG
    assert sorted(path.name for path in here.iterdir()) == ["fox-2.png", "fox.png"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_inline_image_is_saved_twice(here: Path, call: Call, overwrite: bool) -> None:
    """An image that came inside the answer stays in it, whatever name was taken."""
    from base64 import b64encode

    image = GeneratedImage(url=f"data:image/png;base64,{b64encode(PNG).decode()}")
    (here / "a.png").touch()
    with pytest.raises(FileAlreadyExistsError):
        call(image, "save", "a.png")
    path = call(image, "save", "a.png" if overwrite else "b.png", overwrite=overwrite)
    assert path.read_bytes() == PNG


@pytest.mark.parametrize("given", ["images", "images/", "new/", "new/er/", "."])
def test_a_folder_gets_a_name_like_saved_images(
    here: Path, image: GeneratedImage, call: Call, given: str
) -> None:
    """In a folder, which a last slash makes, the image is named by date, prompt and id."""
    (here / "images").mkdir()
    first, second = (call(image, "save", given) for _ in range(2))
    assert first == Path(given) / "2026-11-23-a-red-fox-k3v9q2xd.png"
    assert first.read_bytes() == second.read_bytes() == PNG
    assert second.name.startswith("2026-11-23-a-red-fox-k3v9q2xd-")


def test_a_saved_image_keeps_its_name(here: Path, image: GeneratedImage, call: Call) -> None:
    """A copy of an image that is saved elsewhere has the name that it has there."""
    image.path = "/elsewhere/2026-01-01-mine-abcd.png"
    assert call(image, "save", "copies/") == Path("copies/2026-01-01-mine-abcd.png")


def test_a_pickled_image_knows_its_prompt(here: Path, image: GeneratedImage, call: Call) -> None:
    """The name in a folder is the same after a pickle; an image alone is named `image`."""
    again = pickle.loads(pickle.dumps(image))
    again.bind(Source())
    assert call(again, "save", "a/").name == "2026-11-23-a-red-fox-k3v9q2xd.png"
    alone = GeneratedImage(id="k3v9q2xd")
    alone.bind(Source())
    assert call(alone, "save", "b/").name.endswith("-image-k3v9q2xd.png")


def _a_file(here: Path) -> str:
    (here / "file").touch()
    return "file/fox.png"


def _deep_in_a_file(here: Path) -> str:
    (here / "file").touch()
    return "file/a/b/fox.png"


def _a_file_as_folder(here: Path) -> str:
    (here / "file").touch()
    return "file/"


def _a_circle(here: Path) -> str:
    (here / "circle").symlink_to("circle")
    return "circle/fox.png"


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        pytest.param(_a_file, "file is not a folder", id="in a file"),
        pytest.param(_deep_in_a_file, "file is not a folder", id="deep in a file"),
        pytest.param(_a_file_as_folder, "it is not a folder", id="a file as a folder"),
        pytest.param(_a_circle, "Too many levels of symbolic links", id="a circle of links"),
        pytest.param(lambda _: "x" * 300 + ".png", "File name too long", id="too long"),
        pytest.param(lambda _: "", "it is not the path of a file", id="empty"),
        pytest.param(lambda _: "a\0b.png", "it is not the path of a file", id="null"),
        pytest.param(lambda _: "s3://bucket/fox.png", "it is an address", id="s3"),
        pytest.param(lambda _: Path("gs://bucket/fox.png"), "it is an address", id="gs as a path"),
        pytest.param(lambda _: "~nobody-of-that-name/fox.png", "home directory", id="no home"),
    ],
)
def test_what_cannot_be_written_is_said_before_fetching(
    here: Path,
    image: GeneratedImage,
    source: Source,
    call: Call,
    prepare: Callable[[Path], str],
    reason: str,
) -> None:
    """A path that cannot work is a `SaveError` with the reason; nothing is fetched or written."""
    given = prepare(here)
    before = sorted(here.rglob("*"))
    with pytest.raises(SaveError, match=reason) as raised:
        call(image, "save", given)
    assert isinstance(raised.value, OSError)
    assert repr(str(given)) in str(raised.value)
    assert "paid for and not lost" in str(raised.value)
    assert (source.reads, sorted(here.rglob("*"))) == (0, before)
    assert call(image, "save", "elsewhere.png").read_bytes() == PNG


@pytest.mark.parametrize(
    ("step", "code", "overwrite"),
    [
        pytest.param("fsync", errno.ENOSPC, False, id="no room"),
        pytest.param("fsync", errno.ENOSPC, True, id="no room to overwrite"),
        pytest.param("fsync", errno.EDQUOT, False, id="no quota"),
        pytest.param("open", errno.EROFS, True, id="read-only"),
        pytest.param("mkdir", errno.EACCES, False, id="no folder"),
    ],
)
def test_a_full_disk_leaves_the_bytes(
    here: Path,
    image: GeneratedImage,
    source: Source,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    code: int,
    overwrite: bool,
) -> None:
    """What fails while writing changes nothing, and the bytes are not fetched twice."""
    name = "new/fox.png"
    if overwrite:
        (here / "new").mkdir()
        (here / name).write_bytes(b"mine")
    with monkeypatch.context() as patched:

        def failing(*_: object, **__: object) -> None:
            raise OSError(code, os.strerror(code))

        patched.setattr(os, step, failing)
        with pytest.raises(SaveError) as raised:
            call(image, "save", name, overwrite=overwrite)
    assert (raised.value.errno, os.strerror(code) in str(raised.value)) == (code, True)
    assert ".part" not in str(raised.value)
    left = [path for path in here.rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in left] == [b"mine"] * overwrite
    source.content = b"the link has expired"
    assert call(image, "save", "elsewhere.png").read_bytes() == PNG
    assert source.reads == 1


def test_a_name_taken_meanwhile_loses_nothing(
    here: Path, image: GeneratedImage, source: Source, call: Call
) -> None:
    """A file that appears while the image is fetched stays, and the bytes are still here."""

    def read(_: GeneratedImage) -> bytes:
        (here / "fox.png").write_bytes(b"mine")
        return PNG

    source.read = read  # type: ignore[method-assign]
    with pytest.raises(FileAlreadyExistsError):
        call(image, "save", "fox.png")
    assert (here / "fox.png").read_bytes() == b"mine"
    assert call(image, "save", "b.png").read_bytes() == PNG


def test_no_free_name_is_said(
    here: Path, image: GeneratedImage, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where every name in a folder is taken, the image is not lost either."""
    monkeypatch.setattr("langchain_qwen_image.storage.user_file.names", lambda name: [name])
    call(image, "save", "images/")
    with pytest.raises(SaveError, match="no free name"):
        call(image, "save", "images/")
    assert call(image, "save", "other/").read_bytes() == PNG


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_overwrite_replaces_files_only(here: Path, image: GeneratedImage, kind: str) -> None:
    """A device or a pipe is never replaced by a file, nor written to."""
    path = here / "pipe"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/null")
    with pytest.raises(SaveError, match="not a regular file"):
        image.save(path, overwrite=True)
    assert path.is_fifo() if kind == "pipe" else path.is_char_device()


def test_overwrite_follows_a_link_of_the_users(here: Path, image: GeneratedImage) -> None:
    """A symbolic link that has the name goes on leading to its file, which is replaced."""
    (here / "real.png").write_bytes(b"old")
    (here / "link.png").symlink_to("real.png")
    assert image.save("link.png", overwrite=True) == Path("link.png")
    assert (here / "link.png").is_symlink()
    assert (here / "real.png").read_bytes() == PNG
    with pytest.raises(FileAlreadyExistsError):
        image.save("link.png")


def test_a_home_is_found(
    here: Path, image: GeneratedImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`~` is the home folder, as in `save_to`."""
    monkeypatch.setenv("HOME", str(here))
    assert image.save("~/fox.png") == here / "fox.png"


def test_an_image_that_could_not_be_saved_leaves_its_bytes_out_of_json(
    here: Path, image: GeneratedImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that wait for another place are in no dump and no pickle."""
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(SaveError):
            image.save("fox.png")
    assert image.read() == PNG
    assert json.loads(image.model_dump_json())["id"] == "k3v9q2xd"
    assert PNG not in pickle.dumps(image)
