"""Run examples/notebook.ipynb from top to bottom and put its outputs into it, without a key.

Left out of the file is what would differ on another machine: times, the line that counts seconds
while a call waits, and the plain text of results, which holds paths.
"""

import argparse
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent / "examples" / "notebook.ipynb"


def run(path: Path, folder: Path) -> nbformat.NotebookNode:
    """Return the notebook at `path` with new outputs, run in `folder`.

    Raises:
        CellExecutionError: A cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    for cell in [one for one in notebook.cells if one.cell_type == "code"]:
        cell["outputs"] = [one for one in cell.get("outputs", ()) if not _counts_seconds(one)]
        for output in cell["outputs"]:
            if "text/html" in output.get("data", {}):
                output["data"].pop("text/plain", None)
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    )
    return notebook


def _counts_seconds(output: nbformat.NotebookNode) -> bool:
    """Say whether this is the line that is shown while a call waits for more than a second."""
    return str(output.get("data", {}).get("text/plain", "")).startswith("Qwen-Image: ")


def main() -> None:
    """Run the notebook and write it back."""
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        notebook = run(NOTEBOOK, Path(folder))
    nbformat.write(notebook, NOTEBOOK)


if __name__ == "__main__":
    main()
