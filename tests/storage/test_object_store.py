"""Images in a bucket: the laws of a folder, by conditional writes, and no secret anywhere."""

import asyncio
import copy
import logging
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from buckets import KEY_ID, SECRET, Answer, Asked, Gate
from obstore.store import from_url
from storage.test_storage import DATA, FACTS, SIDECAR, fetch
from waiting import PATIENCE

from langchain_qwen_image import Account, ImageGenerationResult, QwenImageGenerator
from langchain_qwen_image.checks import preflight as preflight_module
from langchain_qwen_image.errors import ConfigurationError, DownloadError, SaveError
from langchain_qwen_image.recovery import recover
from langchain_qwen_image.sandbox import SandboxServer
from langchain_qwen_image.storage.opening import ObjectStore
from langchain_qwen_image.view import ViewImageTool

Call = Callable[..., Any]
NAME = "2026-11-23-a-red-fox-in-the-snow-k3v9q2xd"
LEAKING = (
    "<Error><Code>{code}</Code><Message>no</Message>"
    f"<AWSAccessKeyId>{KEY_ID}</AWSAccessKeyId><StringToSign>{SECRET}</StringToSign></Error>"
)


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start without anything that passed."""
    monkeypatch.setattr(preflight_module, "_passed", set())


def objects(address: str) -> dict[str, bytes]:
    """Return what is below an address; what shows that it can be written is left out."""
    store = from_url(address)
    names = [one["path"] for page in store.list() for one in page]
    found = {str(name): bytes(store.get(name).bytes()) for name in names}
    found.pop(".qwen-image", None)
    return found


def test_an_image_is_saved_by_two_conditional_writes(bucket: str, gate: Gate) -> None:
    """Nothing is looked at before; the sidecar comes first, and both say what they are."""
    saved = ObjectStore(bucket).save(fetch, SIDECAR)
    prefix = f"/images/{bucket.rpartition('/')[2]}"
    assert gate.requests == [
        Asked("PUT", f"{prefix}/{NAME}.json", "*", "application/json"),
        Asked("PUT", f"{prefix}/{NAME}.png", "*", "image/png"),
    ]
    assert saved.path == f"{bucket}/{NAME}.png"
    assert objects(bucket) == {
        f"{NAME}.json": SIDECAR.beside(NAME, FACTS).to_json(),
        f"{NAME}.png": DATA,
    }


@pytest.mark.parametrize("taken", [".json", ".png"])
def test_nothing_is_overwritten(bucket: str, taken: str) -> None:
    """An object of somebody else's keeps its name and its bytes; the image gets another name."""
    from_url(bucket).put(f"{NAME}{taken}", b"not ours")
    saved = ObjectStore(bucket).save(fetch, SIDECAR)
    assert saved.path != f"{bucket}/{NAME}.png"
    found = objects(bucket)
    assert found[f"{NAME}{taken}"] == b"not ours"
    assert found[saved.path.rpartition("/")[2]] == DATA
    assert ObjectStore(bucket).read_whole(saved.path)[0].image_id == SIDECAR.image_id


def test_the_same_image_is_saved_once(bucket: str) -> None:
    """Writers of one image on many machines end with one copy, and all name it."""
    with ThreadPoolExecutor(8) as pool:
        saved = list(pool.map(lambda _: ObjectStore(bucket).save(fetch, SIDECAR).path, range(8)))
    assert set(saved) == {f"{bucket}/{NAME}.png"}
    assert set(objects(bucket)) == {f"{NAME}.json", f"{NAME}.png"}
    other = ObjectStore(bucket).save(fetch, replace(SIDECAR, call_id="call-2"))
    assert other.path not in saved


@pytest.mark.parametrize("suffix", [".json", ".png"])
def test_a_write_whose_answer_was_lost_is_found(bucket: str, gate: Gate, suffix: str) -> None:
    """`obstore` writes once more, is told that the name is taken, and the image is there once."""
    lost: list[str] = []

    def lose_first(asked: Asked) -> Answer:
        if asked.method == "PUT" and asked.target.endswith(suffix) and not lost:
            lost.append(asked.target)
            return "lose"
        return None

    gate.rule = lose_first
    assert ObjectStore(bucket).save(fetch, SIDECAR).path == f"{bucket}/{NAME}.png"
    assert len(lost) == 1
    assert set(objects(bucket)) == {f"{NAME}.json", f"{NAME}.png"}


def test_a_sidecar_without_its_image_gets_it_later(bucket: str, gate: Gate) -> None:
    """A write that failed leaves a sidecar, never an image without one; the next brings both."""
    gate.rule = lambda asked: (
        (403, LEAKING.format(code="AccessDenied")) if asked.target.endswith(".png") else None
    )
    with pytest.raises(SaveError, match="paid for, but could not be saved in s3://images/"):
        ObjectStore(bucket).save(fetch, SIDECAR)
    assert set(objects_past(gate, bucket)) == {f"{NAME}.json"}
    gate.rule = lambda asked: None
    assert ObjectStore(bucket).save(fetch, SIDECAR).path == f"{bucket}/{NAME}.png"


def objects_past(gate: Gate, address: str) -> dict[str, bytes]:
    """Return what is below an address, whatever the gate says else."""
    rule, gate.rule = gate.rule, lambda asked: None
    try:
        return objects(address)
    finally:
        gate.rule = rule


def test_an_image_is_found_and_read(bucket: str) -> None:
    """By its address, its name, its id; from another place's path, as when a folder was moved."""
    store = ObjectStore(bucket)
    path = store.save(fetch, SIDECAR).path
    assert store.read(path) == store.read(f"{NAME}.png") == DATA
    assert list(store.find("k3v9q2xd")) == [path]
    assert store.locate(f"/srv/images/{NAME}.png") == path
    assert store.locate(f"gs://other/{NAME}.png") == path
    assert store.locate(f"{bucket}/other.png") is None
    assert [(one, sidecar.image_id) for one, sidecar in store.sidecars()] == [(path, "k3v9q2xd")]
    found = store.find_whole("k3v9q2xd")
    assert found is not None
    assert found[0] == path
    with pytest.raises(FileNotFoundError):
        store.read("other.png")
    with pytest.raises(ValueError, match="more than 3 bytes"):
        store.read(path, max_bytes=3)


@pytest.mark.parametrize(
    "path",
    ["s3://other/a.png", "../a.png", "x/a.png", f"{NAME}.json", ".qwen-image", "", "/etc/a.png"],
)
def test_nothing_else_is_opened(bucket: str, gate: Gate, path: str) -> None:
    """What is no image directly below the prefix is refused, and not asked for."""
    for read in (ObjectStore(bucket).read, ObjectStore(bucket).read_whole):
        with pytest.raises(ValueError, match="is not"):
            read(path)
    assert gate.requests == []


def test_a_result_is_read_on_another_machine(bucket: str, call: Call) -> None:
    """The artifact's path is the whole address, so that a new process reads the image by it."""
    generator = QwenImageGenerator(sandbox=True, save_to=bucket)
    result = call(generator, "invoke", "A red fox")
    path = result.image.path
    assert path.startswith(f"{bucket}/")
    content = call(result.image, "read")
    assert objects(bucket)[path.rpartition("/")[2]] == content
    again = ImageGenerationResult.from_artifact(result.to_artifact())
    again.image.url = None
    assert again.image.path == path
    assert call(again.image, "read") == content
    assert pickle.loads(pickle.dumps(again)).image.read() == content
    [_, shown] = ViewImageTool(save_to=bucket).invoke({"image": result.image.id})
    assert shown["type"] == "image"
    assert ViewImageTool(save_to=bucket).invoke({"image": path})[1] == shown


def test_a_browser_sees_it_at_the_public_address(bucket: str) -> None:
    """The key is the name below the prefix, and `view_image` takes the address."""
    url = "https://cdn.example/images"
    generator = QwenImageGenerator(sandbox=True, save_to=bucket, public_url=url)
    image = generator.invoke("A red fox").image
    name = image.path.rpartition("/")[2]
    assert image.public_url == f"{url}/{name}"
    viewer = ViewImageTool(save_to=bucket, public_url=url)
    assert viewer.invoke({"image": image.public_url}) == viewer.invoke({"image": image.path})


REFUSALS = [
    pytest.param((403, "AccessDenied"), "access was denied (403 AccessDenied)", id="denied"),
    pytest.param((403, "InvalidAccessKeyId"), "(403 InvalidAccessKeyId)", id="wrong key"),
    pytest.param((404, "NoSuchBucket"), "there is no such bucket", id="no bucket"),
    pytest.param((400, "ExpiredToken"), "it answered 400 ExpiredToken", id="expired"),
    pytest.param((503, "SlowDown"), "it answered 503 SlowDown", id="busy"),
    pytest.param((301, "PermanentRedirect"), "in another region", id="region"),
    pytest.param((501, "NotImplemented"), "no conditional writes", id="no conditions"),
]


@pytest.mark.parametrize(("answer", "words"), REFUSALS)
def test_a_bucket_that_refuses_is_found_before_anything_is_paid(
    bucket: str, gate: Gate, server: SandboxServer, call: Call, answer: tuple[int, str], words: str
) -> None:
    """The error says what is wrong; nothing was sent, and no answer's body is passed on."""
    gate.rule = lambda asked: (answer[0], LEAKING.format(code=answer[1]))
    generator = QwenImageGenerator(api_key="k" * 32, base_url=server.base_url, save_to=bucket)
    with pytest.raises(ConfigurationError) as raised:
        call(generator, "invoke", "A red fox")
    assert words in str(raised.value)
    assert "Nothing was sent" in str(raised.value)
    assert server.gateway.post_count == 0
    _assert_no_secret("".join(traceback.format_exception(raised.value)))


def test_without_credentials_and_without_a_server(
    bucket: str, server: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are said before anything is paid for."""
    generator = QwenImageGenerator(api_key="k" * 32, base_url=server.base_url, save_to=bucket)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match="could not be reached"):
        generator.invoke("A red fox")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(ConfigurationError, match="no credentials were found"):
        generator.invoke("A red fox")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    with pytest.raises(ConfigurationError, match="set AWS_ALLOW_HTTP=true"):
        generator.invoke("A red fox")
    assert server.gateway.post_count == 0


def test_a_store_that_ignores_conditions_is_refused(
    bucket: str, gate: Gate, server: SandboxServer
) -> None:
    """Where one image could overwrite another nothing is paid for."""
    gate.rule = lambda asked: (200, "")
    generator = QwenImageGenerator(api_key="k" * 32, base_url=server.base_url, save_to=bucket)
    with pytest.raises(ConfigurationError, match="images could be overwritten"):
        generator.invoke("A red fox")
    assert server.gateway.post_count == 0


def test_a_paid_image_that_cannot_be_saved_is_recovered(
    bucket: str,
    gate: Gate,
    server: SandboxServer,
    tmp_path: Path,
    call: Call,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As on a full disk: the account has the link, the call says why, `recover` saves the image."""
    books = tmp_path / "books.db"
    generator = QwenImageGenerator(
        api_key="k" * 32, base_url=server.base_url, save_to=bucket, account=books
    )
    gate.rule = lambda asked: (
        (403, LEAKING.format(code="AccessDenied")) if ".qwen-image" not in asked.target else None
    )
    with caplog.at_level(logging.DEBUG):
        result = call(generator, "invoke", "A red fox")
    assert result.image.path is None
    assert "access was denied (403 AccessDenied)" in result.image.download_error
    _assert_no_secret(
        caplog.text, repr(result), repr(generator), books.read_bytes().decode("latin")
    )
    gate.rule = lambda asked: None
    found = list(recover(books, save_to=bucket, base_url=server.base_url))
    assert [(one.outcome, one.path) for one in found] == [
        ("fetched", f"{bucket}/{name}") for name in objects(bucket) if name.endswith(".png")
    ]
    assert server.gateway.post_count == 1
    with closing(Account(books)) as account:
        assert [one.state for one in account.calls()] == ["saved"]


def test_a_bucket_that_cannot_be_read_loses_no_image(
    bucket: str, gate: Gate, server: SandboxServer, tmp_path: Path
) -> None:
    """What cannot be looked up does not count as lost: it is not paid for again."""
    generator = QwenImageGenerator(
        api_key="k" * 32, base_url=server.base_url, save_to=bucket, account=tmp_path / "books.db"
    )
    first = generator.invoke("A red fox", idempotency_key="one")
    gate.rule = lambda asked: (403, LEAKING.format(code="AccessDenied"))
    for face in (generator, generator.model_copy(update={"retry_lost": True})):
        with pytest.raises(DownloadError, match="access was denied") as raised:
            face.invoke("A red fox", idempotency_key="one", retry_lost=True)
        assert not raised.value.is_lost
    gate.rule = lambda asked: None
    assert generator.invoke("A red fox", idempotency_key="one").image.path == first.image.path
    assert server.gateway.post_count == 1


def test_nothing_of_it_has_a_secret(bucket: str, tmp_path: Path) -> None:
    """Not a repr, a copy, a pickle or a sidecar; and what is pickled works."""
    store = ObjectStore(bucket)
    path = store.save(fetch, SIDECAR).path
    texts = [repr(store), repr(store.bucket), repr(vars(store)), str(copy.copy(store))]
    texts += [pickle.dumps(store).decode("latin"), *map(str, objects(bucket).values())]
    _assert_no_secret(*texts)
    assert pickle.loads(pickle.dumps(store)).read(path) == DATA


def test_without_the_extra_nothing_is_paid(
    server: SandboxServer, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names what to install."""
    generator = QwenImageGenerator(
        api_key="k" * 32, base_url=server.base_url, save_to="s3://images/x"
    )
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'langchain-qwen-image\[objects\]'"):
        call(generator, "invoke", "A red fox")
    assert server.gateway.post_count == 0


def test_without_an_account_it_is_said_what_may_be_lost(
    bucket: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Books cannot be in a bucket: a warning says what follows and what to set."""
    QwenImageGenerator(sandbox=True, save_to=bucket, account=tmp_path / "books.db").invoke("A fox")
    assert caplog.text == ""
    generator = QwenImageGenerator(sandbox=True, save_to=bucket)
    generator.invoke("A fox")
    generator.invoke("An owl")
    [record] = caplog.records
    assert "Set account=… or QWEN_IMAGE_DATABASE." in record.getMessage()
    with pytest.raises(ConfigurationError, match="need an account"):
        generator.invoke("A fox", idempotency_key="one")
    with pytest.raises(ConfigurationError, match="with an object store or a ByteStore"):
        list(generator.generate_many(["A fox"]))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_says_so(bucket: str) -> None:
    """`obstore` would wait for ever in a child of a process that used it: it is not asked there."""
    program = """
        import os, sys
        from langchain_qwen_image.checks.bucket import bucket_problem
        for when in ("before", "after"):
            child = os.fork()
            if child == 0:
                print(when, bucket_problem(sys.argv[1]), flush=True)
                os._exit(0)
            os.waitpid(child, 0)
            assert bucket_problem(sys.argv[1]) is None
    """
    before, after = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program), bucket],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    ).stdout.splitlines()
    assert before == "before None"
    assert "was forked from one that had used an object store" in after


def test_reading_does_not_hold_the_event_loop(bucket: str, gate: Gate) -> None:
    """While the server thinks, other tasks go on."""
    path = ObjectStore(bucket).save(fetch, SIDECAR).path
    image = ImageGenerationResult.from_artifact(
        QwenImageGenerator(sandbox=True).invoke("A fox").to_artifact()
    ).image
    image.path = path

    async def run() -> list[str]:
        order: list[str] = []
        loop, asked = asyncio.get_running_loop(), asyncio.Event()
        go_on = threading.Event()

        def wait(one: Asked) -> Answer:
            loop.call_soon_threadsafe(asked.set)
            go_on.wait(PATIENCE)
            return None

        gate.rule = wait
        reading = asyncio.create_task(image.aread())
        await asyncio.wait_for(asked.wait(), PATIENCE)
        order.append("meanwhile")
        go_on.set()
        order.append("read" if await reading == DATA else "other")
        return order

    assert asyncio.run(run()) == ["meanwhile", "read"]


def _assert_no_secret(*texts: str) -> None:
    for text in texts:
        assert SECRET not in text
        assert KEY_ID not in text
