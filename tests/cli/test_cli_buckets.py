"""The commands on images in an object store: each of them understands its address."""

import json
import re
from pathlib import Path

import pytest
from buckets import SECRET, Gate
from obstore.store import from_url
from typer.testing import CliRunner

from langchain_qwen_image import Account
from langchain_qwen_image.checks import preflight as preflight_module
from langchain_qwen_image.cli import app
from langchain_qwen_image.sandbox import SandboxServer

DENIED = (403, f"<Error><Code>AccessDenied</Code><Key>{SECRET}</Key></Error>")
ROWS = "sku,prompt\nSKU-7,a heron\nSKU-8,an owl\n"


@pytest.fixture(autouse=True)
def _here(
    tmp_path: Path, server: SandboxServer, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work in an empty folder, with a key, at a gateway on loopback."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIXAZO_API_KEY", "k" * 32)
    monkeypatch.setenv("PIXAZO_BASE_URL", server.base_url)
    monkeypatch.setattr(preflight_module, "_passed", set())


def qwen_image(*arguments: str, status: int = 0) -> str:
    """Run a command and return what it printed."""
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == status, done.output
    assert SECRET not in done.output
    return done.output


def names(bucket: str) -> list[str]:
    """Return the names of the objects below an address, sorted."""
    found = (str(one["path"]) for page in from_url(bucket).list() for one in page)
    return sorted(name for name in found if not name.startswith("."))


@pytest.mark.parametrize("end", ["", "/"])
def test_generate(bucket: str, end: str, server: SandboxServer, tmp_path: Path) -> None:
    """The address is printed, the books are where the option says, the folder stays empty."""
    said = qwen_image("generate", "a fox", "-o", f"{bucket}{end}", "--account", "books.db")
    [image] = [name for name in names(bucket) if name.endswith(".png")]
    assert said.splitlines()[0] == f"{bucket}/{image}"
    assert {path.name for path in tmp_path.iterdir()} <= {
        "books.db",
        "books.db-wal",
        "books.db-shm",
    }


def test_generate_says_what_to_recover(bucket: str, gate: Gate, server: SandboxServer) -> None:
    """An image that could not be saved is paid for; the command that is named brings it."""
    gate.rule = lambda asked: None if ".qwen-image" in asked.target else DENIED
    said = qwen_image("generate", "a fox", "-o", bucket, "--account", "books.db", status=1)
    assert "access was denied (403 AccessDenied)" in said
    found = re.search(r"qwen-image (recover .+)$", " ".join(said.split()))
    assert found is not None
    assert found[1] == f"recover {bucket} --account books.db"
    gate.rule = lambda asked: None
    said = qwen_image(*found[1].split())
    [image] = [name for name in names(bucket) if name.endswith(".png")]
    assert f"{bucket}/{image}" in said
    assert "1 fetched." in said
    assert server.gateway.post_count == 1
    assert "Nothing to recover" in qwen_image(*found[1].split(), "--dry-run")


def test_batch_with_its_tables(bucket: str, server: SandboxServer) -> None:
    """A batch is resumed from the account; its tables lie beside the images, always anew."""
    Path("p.csv").write_text(ROWS)
    command = ("batch", "p.csv", "--out", bucket, "--account", "books.db", "--id-column", "sku")
    said = qwen_image(*command, "--yes")
    assert f"2 of 2 images are in {bucket}." in said
    Path("p.csv").write_text(f"{ROWS}SKU-9,a fox\n")
    assert f"are in {bucket} (2 from earlier runs)." in qwen_image(*command, "--yes")
    assert server.gateway.post_count == 3
    store = from_url(bucket)
    lines = bytes(store.get("index.jsonl").bytes()).decode().splitlines()
    records = [json.loads(line) for line in lines]
    assert [one["id"] for one in records] == ["SKU-7", "SKU-8", "SKU-9"]
    assert {one["file"] for one in records} == {
        name for name in names(bucket) if name.endswith(".png")
    }
    assert bytes(store.get("index.csv").bytes()).decode().count("saved") == 3


def test_a_table_of_somebody_else_stays(bucket: str, server: SandboxServer) -> None:
    """It is refused before anything is paid for."""
    Path("p.csv").write_text(ROWS)
    from_url(bucket).put("index.csv", b"mine")
    command = ("batch", "p.csv", "--out", bucket, "--account", "books.db", "--id-column", "sku")
    said = qwen_image(*command, "--yes", status=2)
    assert f"{bucket}/index.csv exists and was not written by qwen-image" in " ".join(said.split())
    assert server.gateway.post_count == 0
    assert names(bucket) == ["index.csv"]


def test_without_an_account_nothing_is_sent(bucket: str, server: SandboxServer) -> None:
    """Books cannot be in a bucket, also in the sandbox, which ignores the variable."""
    Path("p.txt").write_text("a fox\n")
    for command in (["generate", "a fox", "-o"], ["batch", "p.txt", "--yes", "--out"]):
        for more in ([], ["--sandbox"]):
            said = qwen_image(*command, bucket, *more, status=2)
            assert "An account cannot be in an object store." in " ".join(said.split())
            assert ("QWEN_IMAGE_DATABASE" in said) == (not more)
    assert "An account cannot be in an object store." in qwen_image("recover", bucket, status=1)
    assert server.gateway.post_count == 0


@pytest.mark.parametrize("address", ["gcs://b/x", "https://b.s3.amazonaws.com/x"])
def test_other_addresses_are_refused_with_what_is_known(address: str) -> None:
    """The error names the addresses that work; no folder of that name is made."""
    Path("p.txt").write_text("a fox\n")
    for command in (["generate", "a fox", "-o"], ["batch", "p.txt", "--yes", "--out"]):
        said = " ".join(qwen_image(*command, address, status=2).split())
        assert "an object store (s3://, gs://, az:// or abfss://)" in said
    assert [path.name for path in Path().iterdir()] == ["p.txt"]


def test_recover_makes_an_account_of_a_bucket(bucket: str, server: SandboxServer) -> None:
    """With the account lost, a new one is made of the sidecars: nothing is paid for again."""
    for prompt in ("a fox", "an owl"):
        qwen_image("generate", prompt, "-o", bucket, "--account", "books.db")
    said = qwen_image("recover", bucket, "--account", "new.db", "--rebuild")
    assert "2 recorded from files." in said
    account = Account("new.db")
    assert sorted(call.prompt for call in account.calls(states={"saved"})) == ["a fox", "an owl"]
    account.close()


def test_doctor(bucket: str, gate: Gate) -> None:
    """It says whether images can be saved there, and that books cannot."""
    said = qwen_image("doctor", "--sandbox", "--save-to", bucket)
    assert f"{bucket} can be written" in said
    assert "An account cannot be in an object store" in said
    gate.rule = lambda asked: DENIED
    said = qwen_image("doctor", "--sandbox", "--save-to", bucket, status=1)
    assert "access was denied (403 AccessDenied)" in said


def test_a_live_check_needs_a_folder(bucket: str, server: SandboxServer) -> None:
    """Its report goes to a folder of this machine: an address is refused."""
    said = qwen_image("check", "--live", "--yes", "-o", bucket, status=2)
    assert "must be a folder of this machine" in said
    assert server.gateway.post_count == 0
