"""`qwen-image fleet` in this process: what it queues, does, shows and completes."""

import json
from pathlib import Path

import pytest
from test_cli import run


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str) -> None:
    """Work in an empty folder, with a database of one's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QWEN_IMAGE_DATABASE", database_url)


def test_a_run_from_its_prompts_to_its_table(tmp_path: Path) -> None:
    """Each command says what it did; a row that is added later is all that is queued."""
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a fox\na heron\n")
    enqueue = ("fleet", "enqueue", "prompts.txt", "--run", "zoo", "--size", "512*512", "--sandbox")
    assert "2 images queued in run zoo." in run(*enqueue).output
    waiting = run("fleet", "status", "zoo", "--json", "--sandbox")
    assert json.loads(waiting.stdout)["asked"] == 2
    work = ("fleet", "work", "--out", "images", "--until-empty", "--sandbox")
    assert "2 images saved by this worker." in run(*work).output
    prompts.write_text("a fox\na heron\na wren\n")
    assert "1 image queued in run zoo." in run(*enqueue).output
    assert run(*work).exit_code == 0
    settled = run("fleet", "settle", "zoo", "--out", "images", "--sandbox")
    assert settled.exit_code == 0, settled.output
    shown = run("fleet", "status", "zoo", "--sandbox").stdout
    assert [line.split() for line in shown.splitlines() if line.startswith(("asked", "saved"))] == [
        ["asked", "3"],
        ["saved", "3"],
    ]
    assert len(list((tmp_path / "images").glob("*.png"))) == 3
    assert (tmp_path / "images" / "index.csv").read_text().count("saved") == 3


def test_a_run_that_is_not_there_is_told() -> None:
    """Its name is wrong, most likely: nothing is shown of it."""
    done = run("fleet", "status", "nobody", "--sandbox")
    assert done.exit_code != 0
    assert "nobody" in done.output
