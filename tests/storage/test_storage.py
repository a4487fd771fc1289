"""Saving images: whole, with their sidecars, never over another one."""

import asyncio
import errno
import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import warm
from hypothesis import example, given
from hypothesis import strategies as st
from langchain_core.stores import InMemoryByteStore
from waiting import PATIENCE, await_until

from langchain_qwen_image.concurrency.threads import in_thread
from langchain_qwen_image.download.fetcher import ImageInfo
from langchain_qwen_image.errors import ConfigurationError, DownloadError, SaveError
from langchain_qwen_image.storage import atomic, filenames
from langchain_qwen_image.storage.filenames import short, slug, stem
from langchain_qwen_image.storage.opening import (
    FolderStore,
    ImageStore,
    KeyStore,
    SavedImage,
    open_store,
)
from langchain_qwen_image.storage.sidecar import Sidecar

DATA = b"\x89PNG as it came"
FACTS = ImageInfo("image/png", ".png", 3, 2, len(DATA), hashlib.sha256(DATA).hexdigest())
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SIDECAR = Sidecar(
    image_id="k3v9q2xd",
    prompt="A red fox in the snow!",
    created_at=NOON,
    call_id="call-1",
    cost_usd=Decimal("0.045"),
)
Save = Callable[..., SavedImage]


def fetch(file: BinaryIO) -> ImageInfo:
    """Write an image, as a `Fetcher` would."""
    file.write(DATA)
    return FACTS


def _sync(
    store: ImageStore, fetch: Callable[[BinaryIO], ImageInfo] = fetch, **facts: Any
) -> SavedImage:
    return store.save(fetch, replace(SIDECAR, **facts))


def _async(
    store: ImageStore, fetch: Callable[[BinaryIO], ImageInfo] = fetch, **facts: Any
) -> SavedImage:
    return asyncio.run(in_thread(_sync, store, fetch, **facts))


@pytest.fixture(params=[_sync, _async], ids=["sync", "async"])
def save(request: pytest.FixtureRequest) -> Save:
    """Save by either twin."""
    return request.param


def names(folder: Path) -> list[str]:
    """Return the names in a folder, in order."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


NAME = "2026-11-23-a-red-fox-in-the-snow-k3v9q2xd"

# Folders


def test_an_image_is_beside_its_sidecar(tmp_path: Path, save: Save) -> None:
    """Folder, image and sidecar are made; the sidecar says what was asked and what came."""
    folder = tmp_path / "a" / "b"
    saved = save(open_store(folder))
    assert saved == SavedImage(str(folder / f"{NAME}.png"), FACTS)
    assert names(folder) == [f"{NAME}.json", f"{NAME}.png"]
    assert Path(saved.path).read_bytes() == DATA
    assert json.loads((folder / f"{NAME}.json").read_text(encoding="utf-8")) == {
        "schema": 1,
        "file": f"{NAME}.png",
        "id": "k3v9q2xd",
        "call_id": "call-1",
        "url": None,
        "prompt": "A red fox in the snow!",
        "parameters": {},
        "model": None,
        "request_id": None,
        "finish_reason": None,
        "cost_usd": 0.045,
        "created_at": "2026-11-23T12:00:00+00:00",
        "sandbox": False,
        "mime_type": "image/png",
        "width": 3,
        "height": 2,
        "size_bytes": len(DATA),
        "sha256": FACTS.sha256,
    }


def test_saved_images_are_read_back(tmp_path: Path, save: Save) -> None:
    """Both twins read by the path that was given, and by the bare name."""
    store = open_store(tmp_path)
    path = save(store).path
    assert store.read(path) == asyncio.run(in_thread(store.read, path)) == DATA
    assert store.read(f"{NAME}.png") == DATA


def test_files_have_the_mode_of_new_files(tmp_path: Path) -> None:
    """Image and sidecar are as readable as any new file of this process."""
    (tmp_path / "plain").touch()
    _sync(open_store(tmp_path))
    assert len({path.stat().st_mode for path in tmp_path.iterdir()}) == 1


def test_nothing_is_overwritten(tmp_path: Path, save: Save) -> None:
    """The same prompt, id and day give another name; what is there stays as it is."""
    for taken in (f"{NAME}.png", f"{NAME}.json"):
        folder = tmp_path / taken
        folder.mkdir()
        (folder / taken).write_bytes(b"mine")
        saved = [save(open_store(folder)).path for _ in range(3)]
        assert (folder / taken).read_bytes() == b"mine"
        assert len(set(saved)) == 3
        assert len(names(folder)) == 7


def test_a_symlink_in_the_way_is_not_followed(tmp_path: Path) -> None:
    """A link under the final name leads nowhere: its target is not written."""
    folder, victim = tmp_path / "images", tmp_path / "victim"
    folder.mkdir()
    for suffix in (".png", ".json"):
        (folder / f"{NAME}{suffix}").symlink_to(victim)
    saved = _sync(open_store(folder))
    assert not victim.exists()
    assert Path(saved.path).read_bytes() == DATA


def test_the_folder_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are absolute: a changed working directory moves nothing."""
    monkeypatch.chdir(tmp_path)
    store = open_store("images")
    monkeypatch.chdir("/")
    assert _sync(store).path == str(tmp_path / "images" / f"{NAME}.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert repr(open_store("~/x")) == f"FolderStore('{tmp_path}/x')"


@pytest.mark.parametrize(
    "path",
    [
        "../secret.png",
        "/etc/passwd",
        "a/../../secret.png",
        "link.png",
        f"{NAME}.json",
        ".qwen-image.db",
        "",
        "nul\0byte.png",
    ],
)
def test_only_images_inside_are_read(tmp_path: Path, path: str) -> None:
    """A path that leads out, by a link too, or to anything but an image, is refused."""
    folder = tmp_path / "images"
    store = FolderStore(folder)
    _sync(store)
    (tmp_path / "secret.png").write_bytes(b"secret")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(ValueError):
        store.read(path)


@pytest.mark.parametrize(
    "save_to", [None, "", 7, b"images", pytest.param(object(), id="object")], ids=repr
)
def test_what_is_no_place_is_refused(save_to: object) -> None:
    """Anything but a path or a `ByteStore` is a configuration error."""
    with pytest.raises(ConfigurationError, match="save_to must be"):
        open_store(save_to)  # type: ignore[arg-type]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    """A file where the folder should be is told before anything is paid for."""
    (tmp_path / "images").touch()
    with pytest.raises(ConfigurationError, match="is a file"):
        open_store(tmp_path / "images")


@pytest.mark.parametrize("place", ["folder", "keys"])
def test_images_are_found_by_their_id(tmp_path: Path, place: str) -> None:
    """Each image of an id is found, and what was noted beside it is read back."""
    store = open_store(tmp_path if place == "folder" else InMemoryByteStore())
    saved = {_sync(store).path for _ in range(2)}
    _sync(store, image_id="another1")
    assert set(store.find("k3v9q2xd")) == saved
    assert {store.read_sidecar(path).sha256 for path in saved} == {FACTS.sha256}
    with pytest.raises(FileNotFoundError):
        store.read_sidecar("2026-nothing.png")


def test_a_new_file_is_whole_or_not_there(tmp_path: Path) -> None:
    """A file is written with its folder, and over another one only by who says so."""
    path = tmp_path / "new" / "a.bin"
    assert atomic.write_new_file(path, b"one") == path
    with pytest.raises(FileExistsError):
        atomic.write_new_file(path, b"two")
    assert [one.read_bytes() for one in path.parent.iterdir()] == [b"one"]
    assert atomic.replace_file(path, b"three") == path
    assert [one.read_bytes() for one in path.parent.iterdir()] == [b"three"]


# Failures


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(DownloadError("gone"), id="download"),
        pytest.param(OSError(errno.ENOSPC, "No space left on device"), id="disk-full"),
        pytest.param(KeyboardInterrupt(), id="interrupt"),
    ],
)
def test_a_failed_fetch_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    """Whatever ends the fetch passes through, and no file is left."""

    def broken(file: BinaryIO) -> ImageInfo:
        file.write(DATA[:5])
        raise error

    with pytest.raises(type(error)):
        _sync(open_store(tmp_path), broken)
    assert names(tmp_path) == []


STEPS = ["mkdir", "open", "fsync", "link", "second-open", "second-fsync", "second-link"]


@pytest.mark.parametrize("step", STEPS)
def test_a_failing_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: Save, step: str
) -> None:
    """An `OSError` of any step on the way to the final names is told; nothing is left."""
    function, countdown = step.removeprefix("second-"), [2 if "second" in step else 1]
    real = getattr(os, function)

    def failing(*args: object, **kwargs: object) -> object:
        countdown[0] -= 1
        if countdown[0] <= 0:
            raise OSError(errno.EROFS, "Read-only file system")
        return real(*args, **kwargs)

    monkeypatch.setattr(os, function, failing)
    if function == "link":  # without hard links the fallback must fail as well
        monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(SaveError, match=r"paid for.*images: Read-only") as raised:
        save(open_store(tmp_path / "images"))
    assert (raised.value.errno, ".part" in str(raised.value)) == (errno.EROFS, False)
    monkeypatch.undo()
    assert names(tmp_path / "images") == []


def test_hard_links_are_not_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without hard links images are saved all the same, and nothing is overwritten."""

    def link(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    (tmp_path / f"{NAME}.png").write_bytes(b"mine")
    store = open_store(tmp_path)
    saved = [_sync(store).path for _ in range(3)]
    assert len(set(saved)) == 3
    assert all(Path(path).read_bytes() == DATA for path in saved)
    assert (tmp_path / f"{NAME}.png").read_bytes() == b"mine"
    assert len(names(tmp_path)) == 7


def test_folders_that_cannot_be_synced_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a folder has no fsync the image is saved all the same."""
    real = os.open

    def open_files_only(path: Path, flags: int, *mode: int) -> int:
        if Path(path).is_dir():
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, flags, *mode)

    monkeypatch.setattr(os, "open", open_files_only)
    assert Path(_sync(open_store(tmp_path)).path).read_bytes() == DATA


def test_no_free_name_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a hundred names are taken the save ends with an `OSError`, and nothing is left."""
    monkeypatch.setattr("langchain_qwen_image.storage.image_store.secrets.token_hex", lambda _: "0")
    monkeypatch.setattr(
        atomic.secrets, "token_hex", lambda _: str(time.perf_counter_ns()), raising=False
    )
    (tmp_path / f"{NAME}.json").touch()
    (tmp_path / f"{NAME}-0.json").touch()
    folder = FolderStore(tmp_path)
    monkeypatch.setattr("langchain_qwen_image.storage.folder.names", lambda name: [name])
    with pytest.raises(FileExistsError, match="no free name"):
        _sync(folder)
    assert names(tmp_path) == [f"{NAME}-0.json", f"{NAME}.json"]


def test_old_leftovers_are_swept(tmp_path: Path) -> None:
    """What a killed process left a day ago goes; younger leftovers and other files stay."""
    old, young, other = (
        tmp_path / name for name in (".qwen-image-1.part", ".qwen-image-2.part", ".mine.part")
    )
    for path in (old, young, other):
        path.touch()
    for path in (old, other):
        os.utime(path, (time.time() - 90_000,) * 2)
    store = open_store(tmp_path)
    _sync(store)
    assert [path.exists() for path in (old, young, other)] == [False, True, True]
    os.utime(young, (time.time() - 90_000,) * 2)
    _sync(store)
    assert young.exists(), "a folder is swept once an hour, not at every image"


KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from langchain_qwen_image.storage import atomic, folder as folder_module, opening
from langchain_qwen_image.download.fetcher import ImageInfo
from langchain_qwen_image.storage.sidecar import Sidecar

folder, step = sys.argv[1:]
count = 0

def die_at(name):
    if name == step:
        os.kill(os.getpid(), signal.SIGKILL)

def fetch(file):
    file.write(b"half")
    file.flush()
    die_at("fetching")
    file.write(b"whole")
    return ImageInfo("image/png", ".png", 3, 2, 9, "0" * 64)

def publish(part, final):
    die_at(f"before{final.suffix}")
    atomic.publish(part, final)
    die_at(f"after{final.suffix}")

def link(part, final):
    raise PermissionError("no hard links here")

def replace(part, final):
    die_at(f"reserved{final.suffix}")

if step.startswith("reserved"):
    os.link, atomic._replace = link, replace
folder_module.publish = publish
opening.open_store(folder).save(
    fetch, Sidecar(image_id="k3v9q2xd", prompt="a red fox", created_at=datetime.now(UTC))
)
"""


@pytest.mark.parametrize(
    ("step", "jsons", "images"),
    [
        ("fetching", 0, 0),
        ("before.json", 0, 0),
        ("after.json", 1, 0),
        ("before.png", 1, 0),
        ("after.png", 1, 1),
        ("reserved.json", 1, 0),
    ],
)
def test_a_kill_leaves_nothing_that_looks_whole(
    tmp_path: Path, step: str, jsons: int, images: int
) -> None:
    """After a kill at any step: no half file under a final name, no image without sidecar."""
    done = warm.run([sys.executable, "-c", KILLED, str(tmp_path), step])
    assert done.returncode == -9
    assert len(list(tmp_path.glob("2*.json"))) == jsons
    assert [path.read_bytes() for path in tmp_path.glob("2*.png")] == [b"halfwhole"] * images
    for path in tmp_path.glob("2*.json"):
        assert json.loads(path.read_bytes() or "null") or "reserved" in step
    left = set(names(tmp_path)) - {path.name for path in tmp_path.glob("2*")}
    assert all(name.startswith(".qwen-image-") and name.endswith(".part") for name in left)


FULL = """
import resource, sys
from datetime import UTC, datetime
from langchain_qwen_image.download.fetcher import ImageInfo
from langchain_qwen_image.storage.opening import open_store
from langchain_qwen_image.storage.sidecar import Sidecar

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
def fetch(file):
    for _ in range(100):
        file.write(bytes(10_000))
    raise AssertionError("the disk was not full")
try:
    open_store(sys.argv[1]).save(
        fetch, Sidecar(image_id="k3v9q2xd", prompt="", created_at=datetime.now(UTC))
    )
except OSError as error:
    print(error.strerror)
"""


def test_a_real_limit_of_the_system_leaves_nothing(tmp_path: Path) -> None:
    """A write that the system refuses is an `OSError` for the caller, and no file is left."""
    done = warm.run([sys.executable, "-c", FULL, str(tmp_path)])
    assert (done.stdout, done.stderr) == ("File too large\n", "")
    assert names(tmp_path) == []


# Many at once

MANY = """
import sys
from datetime import UTC, datetime
from langchain_qwen_image.download.fetcher import ImageInfo
from langchain_qwen_image.storage.opening import open_store
from langchain_qwen_image.storage.sidecar import Sidecar

def fetch(file):
    file.write(sys.argv[2].encode())
    return ImageInfo("image/png", ".png", 3, 2, 1, "0" * 64)

store = open_store(sys.argv[1])
for _ in range(int(sys.argv[3])):
    store.save(fetch, Sidecar(image_id="same", prompt="a fox", created_at=datetime(2026, 1, 1)))
"""


@pytest.mark.parametrize(
    ("processes", "each"),
    [pytest.param(3, 20, id="few"), pytest.param(8, 50, id="many", marks=pytest.mark.long)],
)
def test_processes_never_collide(tmp_path: Path, processes: int, each: int) -> None:
    """Processes that save images under one id at the same time save all of them."""
    running = [
        warm.Popen([sys.executable, "-c", MANY, str(tmp_path), str(number), str(each)])
        for number in range(processes)
    ]
    assert [process.wait(600) for process in running] == [0] * processes
    images = list(tmp_path.glob("*.png"))
    assert sorted(path.read_bytes() for path in images) == sorted(
        str(number).encode() for number in range(processes) for _ in range(each)
    )
    assert {path.stem for path in tmp_path.glob("*.json")} == {path.stem for path in images}
    assert len(names(tmp_path)) == 2 * processes * each


def test_threads_and_tasks_never_collide(tmp_path: Path) -> None:
    """Threads and tasks that share a store save as many images as were asked for."""
    store = open_store(tmp_path)

    async def tasks() -> Sequence[SavedImage]:
        jobs = (in_thread(_sync, store, call_id=f"task {number}") for number in range(40))
        return await asyncio.gather(*jobs)

    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(_sync, store, call_id=f"thread {number}") for number in range(40)]
        saved = [*asyncio.run(tasks()), *(job.result() for job in jobs)]
    assert len({one.path for one in saved}) == 80
    assert len(names(tmp_path)) == 160


@pytest.mark.parametrize("kind", ["folder", "store"])
def test_the_same_image_is_there_once(tmp_path: Path, kind: str) -> None:
    """Two processes may fetch one image of one call at once; both find it saved."""
    where: Any = tmp_path if kind == "folder" else InMemoryByteStore()
    first, second = (_sync(open_store(where)) for _ in range(2))
    assert first == second
    if kind == "folder":
        assert names(tmp_path) == [f"{NAME}.json", f"{NAME}.png"]


@pytest.mark.parametrize("overtaken_at", [1, 2, 3])
def test_two_writers_save_the_same_image_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overtaken_at: int
) -> None:
    """Another process may save it before sidecar or image gets its name here, or after."""
    real, count = atomic.publish, 0

    def publish(part: Path, final: Path) -> None:
        nonlocal count
        count += 1
        if count == overtaken_at:
            _sync(FolderStore(tmp_path))
        real(part, final)

    monkeypatch.setattr("langchain_qwen_image.storage.folder.publish", publish)
    saved = _sync(FolderStore(tmp_path))
    if overtaken_at == 3:
        assert _sync(FolderStore(tmp_path)) == saved
    assert names(tmp_path) == [f"{NAME}.json", f"{NAME}.png"]
    assert Path(saved.path).read_bytes() == DATA


@pytest.mark.parametrize("missing", [".png", ".json"])
def test_an_image_without_its_other_half_gets_it(tmp_path: Path, missing: str) -> None:
    """A kill may leave a sidecar without its image: saved again, both are there once."""
    first = _sync(FolderStore(tmp_path))
    (tmp_path / f"{NAME}{missing}").unlink()
    assert _sync(FolderStore(tmp_path)) == first
    assert names(tmp_path) == [f"{NAME}.json", f"{NAME}.png"]


def test_other_bytes_of_the_same_image_get_another_name(tmp_path: Path) -> None:
    """A file is never taken for the image that was fetched unless it has its bytes."""
    first = _sync(FolderStore(tmp_path))
    Path(first.path).write_bytes(DATA[:-1])
    second = _sync(FolderStore(tmp_path))
    assert first.path != second.path
    assert Path(second.path).read_bytes() == DATA


def test_a_cancelled_save_goes_on_to_its_end(tmp_path: Path) -> None:
    """Cancelling the task that waits does not lose a paid image."""
    begun, go_on = threading.Event(), threading.Event()
    store = open_store(tmp_path)

    def slow(file: BinaryIO) -> ImageInfo:
        begun.set()
        assert go_on.wait(PATIENCE)
        return fetch(file)

    async def cancelled() -> None:
        task = asyncio.create_task(in_thread(_sync, store, slow))
        await asyncio.to_thread(begun.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        await await_until(lambda: names(tmp_path) == [f"{NAME}.json", f"{NAME}.png"])

    asyncio.run(cancelled())
    assert store.read(f"{NAME}.png") == DATA


# Stores of the caller's


def test_a_byte_store_holds_sidecar_and_image(save: Save) -> None:
    """Both go there in one call, sidecar first, under keys like file names, never over others."""
    calls: list[list[str]] = []

    class Store(InMemoryByteStore):
        def mset(self, pairs: Sequence[tuple[str, bytes]]) -> None:
            calls.append([key for key, _ in pairs])
            super().mset(pairs)

    store = open_store(Store())
    first, second = save(store), save(store, call_id="call-2")
    assert calls[0] == [f"{NAME}.json", f"{NAME}.png"]
    assert first.path == f"{NAME}.png" != second.path
    assert store.read(first.path) == store.read(second.path) == DATA
    assert repr(store) == "KeyStore(Store)"


def test_keys_are_ascii() -> None:
    """Keys have no characters that LangChain's file store would refuse."""
    assert _sync(open_store(InMemoryByteStore()), prompt="一只红狐狸").path == (
        "2026-11-23-image-k3v9q2xd.png"
    )


def test_reading_what_is_not_there_is_an_error() -> None:
    """An unknown key is not found; a key that is no image's is refused."""
    store = KeyStore(InMemoryByteStore())
    with pytest.raises(FileNotFoundError):
        store.read("a.png")
    with pytest.raises(ValueError):
        store.read("a.json")


def test_a_full_byte_store_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """When no free key is found the save ends with an `OSError`."""
    store = open_store(InMemoryByteStore())
    _sync(store)
    monkeypatch.setattr("langchain_qwen_image.storage.byte_store.names", lambda name: [name])
    with pytest.raises(FileExistsError, match="no free key"):
        _sync(store, call_id="call-2")


# Names


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("A red fox in the snow!", "a-red-fox-in-the-snow"),
        ("../../etc/passwd", "etc-passwd"),
        ("C:\\Windows\\System32", "c-windows-system32"),
        ("CON", "con"),
        ("ends with dots...", "ends-with-dots"),
        ("\u202egnp.exe", "gnp-exe"),
        ("🦊🦊🦊", "image"),
        ("", "image"),
        ("\0\n\t", "image"),
        ("---rm -rf", "rm-rf"),
        ("Ünïcode ﬁne １２", "ünïcode-fine-12"),
        ("雪の中の赤い狐", "雪の中の赤い狐"),
        ("ثعلب أحمر", "ثعلب-أحمر"),
        ("लाल लोमड़ी", "लाल-लोमड़ी"),
        ("狐" * 10_000, "狐" * 32),
        ("x" * 10_000, "x" * 48),
        ("\ud800 lone", "lone"),
        ("a\u200bb\u200d\u2060c", "a-b-c"),
        ("\u202efox\u202c \u2066gnp\u2069", "fox-gnp"),
        ("\u3164\u115f\uffa0", "image"),
        ("❤\ufe0f fox", "fox"),
        ("\U000e0041\U000e0001", "image"),
        ("fo\u034fx\ufe0f", "fox"),
        ("NUL", "nul"),
        ("com1.txt", "com1-txt"),
        ("aux:", "aux"),
        ("fox. . .", "fox"),
        ("\x1b[31mred\x07", "31mred"),
        ("fox\u2028snow\x85\x00", "fox-snow"),
        ("$(rm -rf ~) `id`", "rm-rf-id"),
    ],
)
def test_slugs_are_readable(prompt: str, expected: str) -> None:
    """A slug keeps the letters of every script, and nothing that a path or a shell reads."""
    assert filenames.normalize("NFC", slug(prompt)) == filenames.normalize("NFC", expected)


@given(st.text(), st.text(), st.none() | st.text(), st.booleans())
@example("ﷺ" * 400, "", "ﷺ" * 400, False)
@example("İ" * 60, "x" * 17, "İ" * 60, False)
@example("", "", "\u202e../\ufe0f", False)
def test_every_name_is_safe(
    prompt: str, image_id: str, item_id: str | None, ascii_only: bool
) -> None:
    """A name is short, of letters, digits and hyphens, whatever prompt and ids are."""
    name = stem(prompt, image_id, NOON, item_id=item_id, ascii_only=ascii_only)
    assert name.startswith("2026-11-23-")
    assert name.endswith(f"-{short(image_id)}")
    assert "--" not in name
    assert len(name.encode()) <= 130
    assert name == name.lower()
    assert not set(name) & set("./\\:*?\"<>|'`$&;()~ \0\n\r\t")
    assert name.isprintable()
    assert name.isascii() or not ascii_only


@pytest.mark.parametrize(
    ("item_id", "expected"),
    [
        ("SKU-1", "2026-11-23-a-red-fox-sku-1-k3v9q2xd"),
        ("4711/2", "2026-11-23-a-red-fox-4711-2-k3v9q2xd"),
        ("Größe L", "2026-11-23-a-red-fox-größe-l-k3v9q2xd"),
        ("../../etc/passwd", "2026-11-23-a-red-fox-etc-passwd-k3v9q2xd"),
        ("CON", "2026-11-23-a-red-fox-con-k3v9q2xd"),
        ("\u202e\u3164 ...", NAME.replace("-in-the-snow", "")),
        ("", NAME.replace("-in-the-snow", "")),
        (None, NAME.replace("-in-the-snow", "")),
        ("9" * 99, f"2026-11-23-a-red-fox-{'9' * 32}-k3v9q2xd"),
    ],
)
def test_an_id_of_the_callers_is_in_the_name(
    tmp_path: Path, save: Save, item_id: str | None, expected: str
) -> None:
    """The request's own id is in the file name, made safe, and in the sidecar as it was given."""
    store = open_store(tmp_path)
    path = save(store, prompt="A red fox", item_id=item_id).path
    assert Path(path).stem == expected
    assert store.read_sidecar(path).item_id == item_id
    assert set(store.find("k3v9q2xd")) == {path}


@given(st.text())
def test_short_ids_are_short_and_steady(image_id: str) -> None:
    """The same id gives the same short one, of four to sixteen letters and digits."""
    once = short(image_id)
    assert once == short(image_id)
    assert 4 <= len(once) <= 16
    assert once.isascii()
    assert once.isalnum()


def test_file_systems_that_know_ascii_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where file names cannot hold a letter it is left out."""
    monkeypatch.setattr(filenames.os, "fsencode", lambda text: text.encode("ascii"))
    assert slug("狐 fox") == "fox"


def test_a_lone_surrogate_survives_in_the_sidecar(tmp_path: Path) -> None:
    """A prompt that UTF-8 cannot hold is noted all the same."""
    path = _sync(open_store(tmp_path), prompt="a \ud800 狐").path
    assert json.loads(Path(path).with_suffix(".json").read_bytes())["prompt"] == "a \ud800 狐"
