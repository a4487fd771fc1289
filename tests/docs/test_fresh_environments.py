"""Pages and examples run with no more installed than they say; `make test-all` runs this.

There is one virtual environment for each set of packages that a page names in its `pip install`
lines. This package itself is installed from a wheel that is built here.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from page_services import Services
from pages import EXAMPLES, ROOT, requirements

pytestmark = pytest.mark.long

PAGES = [
    page.relative_to(ROOT).as_posix()
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if "\n```" in page.read_text(encoding="utf-8")
]
PROGRAMS = [file.relative_to(ROOT).as_posix() for file in EXAMPLES]
Environment = Callable[[list[str]], Path]
_OURS = re.compile(r"^(?:langchain-qwen-image|\.)(\[[\w,]+\])?$")
_SANDBOX = "langchain-qwen-image[sandbox]"
"""What PIXAZO_SANDBOX needs, as the README says; pages need not say it again."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, built as it would be published."""
    folder = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Make virtual environments, one for each set of packages; returns its Python."""
    made: dict[frozenset[str], Path] = {}

    def make(names: list[str]) -> Path:
        named = frozenset(_OURS.sub(rf"{wheel}\1", name) for name in [_SANDBOX, *names])
        if named not in made:
            made[named] = _new_environment(sorted(named), tmp_path_factory.mktemp("environment"))
        return made[named]

    return make


def _new_environment(packages: list[str], folder: Path) -> Path:
    _run(sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    probe = _run(*pip, "download", "--no-deps", "--dest", folder / "probe", "pydantic", check=False)
    if probe.returncode:
        pytest.skip(f"no package registry can be reached: {probe.stdout.splitlines()[-1]}")
    _run(*pip, "install", *packages)
    return python


def _run(
    *command: str | Path, cwd: Path | None = None, check: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **environment},
        input="y\n",  # for the example that asks a person
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1800,
        check=False,
    )
    assert not check or done.returncode == 0, done.stdout
    return done


@pytest.mark.parametrize("page", PAGES)
def test_page_runs_with_what_it_says(
    page: str, environment: Environment, services: Services, tmp_path: Path
) -> None:
    """A page runs as pasted, from a fresh folder, with what its `pip install` lines name."""
    text = (ROOT / page).read_text(encoding="utf-8")
    python = environment(requirements(text))
    services(text)
    runner = ROOT / "tests" / "pages.py"
    _run(python, "-P", runner, ROOT / page, cwd=tmp_path, PIXAZO_SANDBOX="1")


@pytest.mark.parametrize("program", PROGRAMS)
def test_example_runs_with_what_it_says(
    program: str, environment: Environment, tmp_path: Path
) -> None:
    """An example runs with what the first `pip install` line of its docstring names."""
    text = (ROOT / program).read_text(encoding="utf-8")
    line = re.search(r"^    pip install (.+)$", text, re.MULTILINE)
    assert line
    done = _run(environment(shlex.split(line[1])), ROOT / program, cwd=tmp_path)
    assert "\nOpen " in done.stdout
