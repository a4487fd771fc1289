"""The programs in examples/ run as a reader would run them."""

import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from thinned import thinned

from langchain_qwen_image.sandbox import SandboxServer

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAMS = [pytest.param(file, id=file.stem) for file in sorted(EXAMPLES.glob("[!_]*.py"))]
COUNTS = {"agent_improves": 2}
"""Images that an example makes, where they are not one."""


Run = subprocess.CompletedProcess[str]


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Run]:
    """Run an example in this process, whose imports it then need not make."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)

    def run_here(program: Path, *arguments: str, answer: str = "y\n", **environment: str) -> Run:
        monkeypatch.setattr(sys, "argv", [str(program), *arguments])
        monkeypatch.setattr(sys, "stdin", StringIO(answer))  # for the one that asks a person
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        status: object = None
        try:
            runpy.run_path(str(program), run_name="__main__")
        except SystemExit as end:
            status = end.code
        out, err = capsys.readouterr()
        said = f"{status}\n" if isinstance(status, str) else ""  # the interpreter prints it
        return subprocess.CompletedProcess([], 1 if said else int(status or 0), out, err + said)

    return run_here


def _images(folder: Path) -> list[Path]:
    return sorted(folder.glob("images/*.png"))


@pytest.mark.slow
@pytest.mark.parametrize("program", thinned(PROGRAMS, quick=2))
def test_example_runs_without_a_key(program: Path, tmp_path: Path) -> None:
    """Each example says that it costs nothing, and ends with the path of what it has saved."""
    run = subprocess.run(
        [sys.executable, program],
        cwd=tmp_path,
        input="y\n",  # for the one that asks a person
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    images = _images(tmp_path)
    assert len(images) == COUNTS.get(program.stem, 1)
    assert "This costs $0.000." in run.stdout
    last_lines = run.stdout.splitlines()[-len(images) :]
    assert sorted(last_lines) == [f"Open {image}" for image in images]


@pytest.mark.parametrize("program", PROGRAMS)
def test_live_example_pays_once(
    program: Path, run: Callable[..., Run], tmp_path: Path, server: SandboxServer
) -> None:
    """With `--live`, each example names the price and sends one POST an image."""
    given = {"PIXAZO_API_KEY": "test-key-of-the-examples", "PIXAZO_BASE_URL": server.base_url}
    done = run(program, "--live", **given)
    assert done.returncode == 0, done.stderr
    count = COUNTS.get(program.stem, 1)
    price = f"This costs ${0.045 * count:.3f}."
    assert done.stdout.index(price) < done.stdout.index(str(_images(tmp_path)[0]))
    assert server.gateway.post_count == count


@pytest.mark.parametrize("answer", ["n\n", ""], ids=["no", "no answer"])
def test_unapproved_image_is_not_paid(
    answer: str, run: Callable[..., Run], server: SandboxServer
) -> None:
    """The example that asks a person sends nothing without a y."""
    given = {"PIXAZO_API_KEY": "test-key-of-the-examples", "PIXAZO_BASE_URL": server.base_url}
    done = run(EXAMPLES / "agent_approval.py", "--live", answer=answer, **given)
    assert done.returncode == 0, done.stderr
    assert "[y/N]" in done.stdout
    assert server.gateway.post_count == 0


@pytest.mark.parametrize("program", PROGRAMS)
def test_live_example_without_a_key_says_so(program: Path, run: Callable[..., Run]) -> None:
    """With `--live` and no key, each example ends with one sentence, and nothing was sent."""
    done = run(program, "--live")
    assert done.returncode == 1
    assert done.stderr.startswith("No API key was found")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("program", PROGRAMS)
def test_example_says_what_to_install(program: Path) -> None:
    """Each example begins with a `pip install` line that has all it imports."""
    source = program.read_text(encoding="utf-8")
    install = re.search(r"^    pip install (.+)$", source.split('"""')[1], re.MULTILINE)
    assert install
    assert '"langchain-qwen-image[sandbox' in install[1]
    uses_langchain = "from langchain." in source or "from _scripted" in source
    assert (" langchain" in install[1]) == uses_langchain
    assert ("view" in install[1]) == ("Toolkit" in source)


@pytest.mark.parametrize("program", PROGRAMS)
def test_example_is_short(program: Path) -> None:
    """An example is read in a minute: it has 50 lines at most."""
    assert len(program.read_text(encoding="utf-8").splitlines()) <= 50
