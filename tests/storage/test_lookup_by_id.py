"""Looking an image up by its id: the account knows where it is, and nothing is walked through."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from langchain_qwen_image import QwenImageGenerator
from langchain_qwen_image.errors import InvalidRequestError
from langchain_qwen_image.recovery import recover
from langchain_qwen_image.sandbox import SandboxServer
from langchain_qwen_image.storage.folder import FolderStore
from langchain_qwen_image.storage.image_store import ImageStore
from langchain_qwen_image.storage.object_store import ObjectStore
from langchain_qwen_image.storage.opening import open_store
from langchain_qwen_image.view import ViewImageTool

Call = Callable[..., Any]
Walks = list[ImageStore]


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return a place for images: of this machine, or in an object store."""
    if request.param == "folder":
        return str(tmp_path / "images")
    return str(request.getfixturevalue("bucket"))


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> Walks:
    """Return the stores that were walked through, once for each time."""
    seen: Walks = []

    def watch(kind: type[ImageStore]) -> None:
        original = kind._all_names

        def walk(store: ImageStore) -> Iterator[str]:
            seen.append(store)
            return original(store)

        monkeypatch.setattr(kind, "_all_names", walk)

    watch(FolderStore)
    watch(ObjectStore)
    return seen


def make(place: str, tmp_path: Path, server: SandboxServer, **settings: Any) -> QwenImageGenerator:
    """Return a generator that saves there; a folder's account is its own."""
    account = None if open_store(place).folder else tmp_path / "books.db"
    address = {"api_key": "k" * 32, "base_url": server.base_url}
    return QwenImageGenerator(**address, save_to=place, account=account, **settings)


def file_of(generator: QwenImageGenerator) -> Path:
    """Return the file of its account."""
    account = generator.pipeline.account
    assert account is not None
    assert account.path is not None
    return account.path


def forget_it_was_saved(file: Path) -> None:
    """Let an account stand as after a kill between writing an image and booking it."""
    import sqlite3

    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE images SET path = NULL, sha256 = NULL, size_bytes = NULL")
        connection.execute("UPDATE calls SET state = 'answered'")
        connection.commit()


def let_links_expire(file: Path) -> None:
    """Let the links of an account have expired yesterday."""
    import sqlite3

    then = int((datetime.now(UTC) - timedelta(days=1)).timestamp() * 1_000_000)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE images SET expires_at = ?", (then,))
        connection.commit()


def test_a_model_looks_without_a_walk(
    place: str, tmp_path: Path, server: SandboxServer, walks: Walks, call: Call
) -> None:
    """An id that the account knows is found at once; one that it does not know is none."""
    generator = make(place, tmp_path, server)
    image = call(generator, "invoke", "A fox").image
    viewer = ViewImageTool(save_to=place, account=generator.account)
    assert call(viewer, "invoke", {"image": image.id})[1]["type"] == "image"
    with pytest.raises(InvalidRequestError, match="no saved image 'zzzzzzzzzz'"):
        viewer._show(open_store(place), "zzzzzzzzzz")
    assert walks == []


def test_without_its_account_it_is_found_by_a_walk(
    tmp_path: Path, server: SandboxServer, walks: Walks
) -> None:
    """A folder whose books are elsewhere, or that has images of others, is looked through."""
    folder, copy = tmp_path / "images", tmp_path / "copy"
    image = make(str(folder), tmp_path, server).invoke("A fox").image
    shutil.copytree(folder, copy)
    viewer = ViewImageTool(save_to=copy)
    assert viewer.invoke({"image": image.id})[1]["type"] == "image"
    assert len(walks) == 1


@pytest.mark.parametrize("key", [None, "order-17"])
def test_what_a_crash_left_is_found_by_its_name(
    place: str, tmp_path: Path, server: SandboxServer, walks: Walks, key: str | None, call: Call
) -> None:
    """Saved and not booked: a call of its key, or a resumed run, gets it without a walk or GET."""
    generator = make(place, tmp_path, server)

    def ask() -> str | None:
        if key is not None:
            return call(generator, "invoke", "A fox", idempotency_key=key).image.path
        [outcome] = generator.generate_many(["A fox"])
        return outcome.result.image.path

    path = ask()
    generator.close()
    forget_it_was_saved(file_of(generator))
    fetched = [one for one in server.requests if one.method == "GET"]
    assert ask() == path
    assert [one for one in server.requests if one.method == "GET"] == fetched
    assert server.gateway.post_count == 1
    assert walks == []


def test_before_it_counts_as_lost_all_is_walked_through(
    place: str, tmp_path: Path, server: SandboxServer, walks: Walks
) -> None:
    """An image that has another name than its own is found, though its link has expired."""
    generator = make(place, tmp_path, server)
    first = generator.invoke("A fox", idempotency_key="one").image
    generator.close()
    store = open_store(place)
    sidecar, content = store.read_whole(first.path)
    _rename(store, first.path, sidecar.to_json(), content)
    forget_it_was_saved(file_of(generator))
    let_links_expire(file_of(generator))
    again = generator.invoke("A fox", idempotency_key="one", retry_lost=True)
    assert again.replayed
    assert again.image.path != first.path
    assert again.image.id == first.id
    assert server.gateway.post_count == 1
    assert len(walks) == 1


def _rename(store: ImageStore, path: str, sidecar: bytes, content: bytes) -> None:
    """Move an image and its sidecar to a later name of ours, as where the first was taken."""
    stem = path.rpartition("/")[2].removesuffix(".png")
    if isinstance(store, ObjectStore):
        store.bucket.put(f"{stem}-abcdef.json", sidecar, "application/json")
        store.bucket.put(f"{stem}-abcdef.png", content, "image/png")
        opened = store.bucket._store()
        opened.delete([f"{stem}.json", f"{stem}.png"])
        return
    for suffix in (".json", ".png"):
        Path(path).with_suffix(suffix).rename(Path(path).with_name(f"{stem}-abcdef{suffix}"))


def test_recovery_walks_once_for_all(
    place: str, tmp_path: Path, server: SandboxServer, walks: Walks
) -> None:
    """However many images are looked for, the store is walked through once for them."""
    generator = make(place, tmp_path, server)
    paths = {generator.invoke(f"Fox {number}").image.path for number in range(5)}
    generator.close()
    forget_it_was_saved(file_of(generator))
    told = place if open_store(place).folder else tmp_path / "books.db"
    found = list(recover(told, save_to=place, base_url=server.base_url))
    assert [one.outcome for one in found] == ["found"] * 5
    assert {one.path for one in found} == paths
    assert len(walks) == 1


def test_a_run_in_a_bucket_is_resumed_by_the_account(
    bucket: str, tmp_path: Path, server: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a run starts, nothing in the bucket is read: that would take hours."""
    from langchain_qwen_image.bulk.estimate import estimate_cost
    from langchain_qwen_image.bulk.report import report

    generator = make(bucket, tmp_path, server)
    prompts = [f"Fox {number}" for number in range(3)]
    outcomes = sorted(generator.generate_many(prompts), key=lambda one: one.number)
    paths = [one.result.image.path for one in outcomes]
    monkeypatch.setattr(ObjectStore, "locate", None)
    monkeypatch.setattr(ObjectStore, "read_sidecar", None)
    assert estimate_cost(generator, prompts).reused == 3
    assert [one.path for one in report(generator, prompts)] == paths
