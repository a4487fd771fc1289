"""The example notebook, and the package in a real kernel."""

import json
import re
import runpy
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "notebook.ipynb"
COMMITTED = NOTEBOOK.read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _own_ipython(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the kernel out of the developer's profile and history, and its warnings out of ours."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / ".ipython"))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / ".jupyter"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / ".runtime"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")


def _shape(notebook: Any) -> list[tuple[str, str, list[tuple[str, list[str]]]]]:
    """Return what a notebook is, but for the images: sources, and kinds of outputs."""
    return [
        (
            cell.cell_type,
            cell.source,
            [
                (output.output_type, sorted(output.get("data", {})) or [output.get("name")])
                for output in cell.get("outputs", [])
            ],
        )
        for cell in notebook.cells
    ]


def _said(notebook: Any) -> list[str]:
    """Return the text below each image and each print, but for ids, dates and sizes."""
    said = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            html = output.get("data", {}).get("text/html", "")
            text = output.get("text", "") + " ".join(re.findall(r">([^<]+)<", html))
            text = re.sub(r"images/\S+\.png", "images/….png", text)
            said.append(re.sub(r"[\d,]+ bytes", "… bytes", text))
    return said


@pytest.mark.slow
@pytest.mark.long
def test_example_runs_and_its_outputs_are_of_today(tmp_path: Path) -> None:
    """The notebook runs from top to bottom without a key, and says what the committed one says."""
    run = runpy.run_path(str(ROOT / "scripts" / "notebook.py"))["run"]
    fresh = run(NOTEBOOK, tmp_path)
    committed = nbformat.reads(COMMITTED, as_version=4)
    assert _shape(fresh) == _shape(committed), "run scripts/notebook.py"
    assert _said(fresh) == _said(committed), "run scripts/notebook.py"
    assert len(list((tmp_path / "images").glob("*.png"))) == 8


def test_committed_notebook_is_small_valid_and_of_no_machine() -> None:
    """The file is under 300 KB, and holds no path of a machine, no link and no key."""
    nbformat.validate(nbformat.reads(COMMITTED, as_version=4))
    assert len(COMMITTED.encode()) < 300_000
    cells = json.loads(COMMITTED)["cells"]
    outputs = str([cell.get("outputs") for cell in cells])
    said = re.sub(r"base64,[\w+/=]+", "", outputs)
    assert "base64," in outputs
    for trace in ("/tmp", "/home", "/root", "/work", "/Users", "C:", "http", "Signature"):
        assert trace not in said


def _run(folder: Path, *sources: str) -> list[list[Any]]:
    """Run cells in a kernel, and return each cell's outputs."""
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    return [cell.outputs for cell in notebook.cells]


@pytest.mark.slow
def test_calls_work_in_a_running_loop(tmp_path: Path) -> None:
    """In a kernel blocking calls do not deadlock, `await` works, and slow ones show a line."""
    _, loop, blocking, awaited, batch, slow = _run(
        tmp_path,
        "from langchain_qwen_image import QwenImageClient, QwenImageGenerator\n"
        "generator = QwenImageGenerator(sandbox=True, size='512*512')",
        "import asyncio\nprint(asyncio.get_running_loop().is_running())",
        "print(generator.invoke('a').prompt, QwenImageClient(sandbox=True).generate('b').prompt)",
        "print((await generator.ainvoke('c')).prompt)",
        "print([one.prompt for one in generator.batch(['d', 'e'])])",
        "results = await generator.abatch(['sandbox:slow-2', 'sandbox:slow-2'])",
    )
    assert loop[0].text == "True\n"
    assert blocking[0].text == "a b\n"
    assert awaited[0].text == "c\n"
    assert batch[0].text == "['d', 'e']\n"
    (line,) = slow
    assert re.fullmatch(r"Qwen-Image: 2 calls, \d+ s", line.data["text/plain"])
