"""Ids of the user's own: in file names, sidecars, and the tables beside the images."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from langchain_qwen_image.cli import app
from langchain_qwen_image.sandbox import SandboxServer


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def gateway(server: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> SandboxServer:
    """Point the command at a gateway on loopback, with a key."""
    monkeypatch.setenv("PIXAZO_BASE_URL", server.base_url)
    monkeypatch.setenv("PIXAZO_API_KEY", "test-key-0123456789abcdef")
    return server


def batch(content: str, *options: str, name: str = "p.csv") -> Result:
    """Run a file whose column `sku` has the ids."""
    Path(name).write_text(content)
    small = ("--size", "512*512")
    arguments = ["batch", name, "--out", "out", "--yes", "--id-column", "sku", *small, *options]
    return CliRunner().invoke(app, arguments)


def index() -> list[dict[str, Any]]:
    """Return `index.jsonl`, after a look whether `index.csv` says the same."""
    rows = [json.loads(line) for line in Path("out/index.jsonl").read_text().splitlines()]
    with Path("out/index.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [*table[0]] == ["row", "id", "status", "file", "cost"]
    for row, cells in zip(rows, table, strict=True):
        assert {name: "" if one is None else str(one) for name, one in row.items()} == cells
    return rows


def test_ids_are_in_names_sidecars_and_tables(gateway: SandboxServer, here: Path) -> None:
    """Each row is found by its id: its file, what became of it, and what it cost."""
    done = batch("sku,prompt\nA-1,a fox\nB 2,sandbox:moderation x\nC/3,sandbox:500 y\n")
    assert done.exit_code == 1
    first, *others = index()
    assert others == [
        {"row": 3, "id": "B 2", "status": "failed", "file": None, "cost": 0.0},
        {"row": 4, "id": "C/3", "status": "unknown", "file": None, "cost": None},
    ]
    assert (first["row"], first["id"], first["status"], first["cost"]) == (2, "A-1", "saved", 0.045)
    assert "-a-fox-a-1-" in first["file"]
    assert "-a-fox-a-1-" in first["file"]
    image = here / "out" / first["file"]
    assert image.read_bytes().startswith(b"\x89PNG")
    assert json.loads(image.with_suffix(".json").read_text())["item_id"] == "A-1"
    table = done.stdout.splitlines()
    assert table[0].split() == ["line", "id", "outcome", "prompt", "why"]
    assert table[1].split()[:4] == ["3", "B", "2", "failed"]


def test_tables_are_true_after_a_resumed_run(gateway: SandboxServer, here: Path) -> None:
    """What the next run finds, fetches or buys is what the tables say, in the file's order."""
    gateway.script("ok", "image-404")
    assert batch("sku,prompt\n1,a fox\n2,an owl\n", "--concurrency", "1").exit_code == 1
    before = index()
    assert [row["status"] for row in before] == ["saved", "unsaved"]
    assert [row["cost"] for row in before] == [0.045, 0.045]
    rows = [("9", "a hare"), ("1", "a fox"), (2, "an owl")]
    content = "".join(f"{json.dumps({'sku': sku, 'prompt': prompt})}\n" for sku, prompt in rows)
    done = batch(content, name="p.jsonl")
    after = index()
    assert [(row["id"], row["status"]) for row in after[:2]] == [("9", "saved"), ("1", "saved")]
    assert after[1]["file"] == before[0]["file"]
    assert gateway.gateway.post_count == 3
    assert done.exit_code in (0, 1)


def test_tables_say_what_was_not_sent(gateway: SandboxServer, here: Path) -> None:
    """A run that ended early leaves rows that are pending."""
    done = batch("sku,prompt\n1,a fox\n2,an owl\n", "--max-usd", "0.05", "--concurrency", "1")
    assert done.exit_code == 1
    assert [(row["status"], row["cost"]) for row in index()] == [("saved", 0.045), ("pending", 0.0)]


@pytest.mark.parametrize(
    "sku",
    ["../../etc/passwd", "CON", "a\\b:c*?", ".x", "-rf", "狐狸", "x" * 255, "%00", "\u202egnp"],
)
def test_hostile_ids_are_harmless_in_names(here: Path, sku: str) -> None:
    """Whatever an id is, the image lies in the folder under a name of ours."""
    content = json.dumps({"sku": sku, "prompt": "a fox"})
    done = batch(content, "--sandbox", name="p.jsonl")
    if not sku.isprintable():
        assert (done.exit_code, "expected an id" in done.stderr) == (2, True)
        return
    assert done.exit_code == 0
    [row] = [json.loads(line) for line in Path("out/index.jsonl").read_text().splitlines()]
    assert row["id"] == sku
    [image] = Path("out").glob("*.png")
    assert image.name == row["file"]
    assert image.name[0].isdigit()


@pytest.mark.parametrize(
    ("sku", "cell"),
    [
        ("=cmd|'/C calc'!A0", "'=cmd|'/C calc'!A0"),
        ("+1+2", "'+1+2"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-2+3", "'-2+3"),
        ("＝1+1", "'＝1+1"),
        ("-12", "-12"),
        ("x;=1+1", "x;=1+1"),
    ],
)
def test_no_spreadsheet_computes_an_id(here: Path, sku: str, cell: str) -> None:
    """A cell that a spreadsheet would take for a formula begins with an apostrophe."""
    batch(json.dumps({"sku": sku, "prompt": "a fox"}), "--sandbox", name="p.jsonl")
    text = Path("out/index.csv").read_text()
    assert [row["id"] for row in csv.DictReader(text.splitlines())] == [cell]
    assert f'"{cell}"' in text, "a semicolon within quotation marks begins no cell"
    assert json.loads(Path("out/index.jsonl").read_text())["id"] == sku


def test_an_id_that_is_there_twice_costs_nothing(gateway: SandboxServer, here: Path) -> None:
    """Both lines are named, before anything is sent."""
    done = batch("sku,prompt\n7,a fox\n8,an owl\n7,a hare\n")
    assert done.exit_code == 2
    assert "p.csv, line 4: the id '7' is already in line 2." in done.stderr
    assert gateway.gateway.post_count == 0


@pytest.mark.parametrize("name", ["index.csv", "index.jsonl"])
def test_a_file_of_the_users_is_not_overwritten(
    gateway: SandboxServer, here: Path, name: str
) -> None:
    """A file that only has the table's name stays, and nothing is paid for."""
    (here / "out").mkdir()
    (here / "out" / name).write_text("mine\n")
    done = batch("sku,prompt\n7,a fox\n")
    assert done.exit_code == 2
    assert "was not written by qwen-image" in " ".join(done.stderr.split())
    assert (here / "out" / name).read_text() == "mine\n"
    assert gateway.gateway.post_count == 0


def test_a_table_that_cannot_be_written_is_said(
    gateway: SandboxServer, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The images are there all the same; the command fails with one sentence."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("langchain_qwen_image.cli.manifest._line", full)
    done = batch("sku,prompt\n7,a fox\n")
    assert done.exit_code == 1
    assert "1 of 1 image is in out." in done.stdout
    assert "No space left on device" in done.stderr
    assert not list((here / "out").glob("index.*"))
