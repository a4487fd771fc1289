"""The programs in examples/ run as a reader would run them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from langchain_qwen_image.sandbox import SandboxServer

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAMS = [pytest.param(file, id=file.stem) for file in sorted(EXAMPLES.glob("[!_]*.py"))]
COUNTS = {"agent_improves": 2}
"""Images that an example makes, where they are not one."""


def _run(
    program: Path, folder: Path, *arguments: str, answer: str = "y\n", **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, program, *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        input=answer,  # for the one that asks a person
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def _pictures(folder: Path) -> list[Path]:
    return sorted(folder.glob("images/*.png"))


@pytest.mark.parametrize("program", PROGRAMS)
def test_example_runs_without_a_key(program: Path, tmp_path: Path) -> None:
    """Each example keeps its placeholder, says where, and says that it costs nothing."""
    run = _run(program, tmp_path)
    assert run.returncode == 0, run.stderr
    pictures = _pictures(tmp_path)
    assert len(pictures) == COUNTS.get(program.stem, 1)
    assert all(str(picture) in run.stdout for picture in pictures)
    assert "This costs $0.000." in run.stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_live_example_pays_once(program: Path, tmp_path: Path, server: SandboxServer) -> None:
    """With `--live`, each example names the price and sends one POST an image."""
    given = {"PIXAZO_API_KEY": "test-key-of-the-examples", "PIXAZO_BASE_URL": server.base_url}
    run = _run(program, tmp_path, "--live", **given)
    assert run.returncode == 0, run.stderr
    count = COUNTS.get(program.stem, 1)
    price = f"This costs ${0.045 * count:.3f}."
    assert run.stdout.index(price) < run.stdout.index(str(_pictures(tmp_path)[0]))
    assert server.gateway.post_count == count


@pytest.mark.parametrize("answer", ["n\n", ""], ids=["no", "nobody"])
def test_unapproved_image_is_not_paid(answer: str, tmp_path: Path, server: SandboxServer) -> None:
    """The example that asks a person sends nothing without a y."""
    given = {"PIXAZO_API_KEY": "test-key-of-the-examples", "PIXAZO_BASE_URL": server.base_url}
    run = _run(EXAMPLES / "agent_approval.py", tmp_path, "--live", answer=answer, **given)
    assert run.returncode == 0, run.stderr
    assert "[y/N]" in run.stdout
    assert server.gateway.post_count == 0


@pytest.mark.parametrize("program", PROGRAMS)
def test_live_example_without_a_key_says_so(program: Path, tmp_path: Path) -> None:
    """With `--live` and no key, each example ends with one sentence, and nothing was sent."""
    run = _run(program, tmp_path, "--live")
    assert run.returncode == 1
    assert run.stderr.startswith("A subscription key is needed")
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize("program", PROGRAMS)
def test_example_is_short(program: Path) -> None:
    """An example is read in a minute: it has 50 lines at most."""
    assert len(program.read_text(encoding="utf-8").splitlines()) <= 50
