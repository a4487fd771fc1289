"""The project around the package: what is in the repository and what is shipped."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from functools import cache
from importlib.metadata import requires
from pathlib import Path

import pytest

import langchain_qwen_image

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "langchain_qwen_image"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

_MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:root|work|home|Users|opt)/[\w.]|[A-Z]:\\Users\\")
_INDEX_ADDRESSES = re.compile(
    r"(?:index-url|find-links|trusted-host)\b|files\.pythonhosted\.org|/simple/"
)
_LOCK_FILES = re.compile(
    r"(?:^|/)(?:uv\.lock|poetry\.lock|pdm\.lock|Pipfile\.lock|pylock.*\.toml|.*\.lock|pip\.conf)$"
)

_IF_THERE = {"IPython", "httpx2", "langchain", "langgraph", "pytest"}
"""Libraries that the package uses only where somebody has them, and never asks for."""

_GALLERY = ("page.html", "gallery.css", "gallery.js")


def _repository() -> list[str]:
    """Return the files that are, or would be, committed."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("needs a git clone")
    run = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in run.stdout.split("\0") if name and (ROOT / name).is_file()]


def _text(name: str) -> str:
    return (ROOT / name).read_bytes().decode("utf-8", "replace")


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(_MACHINE_PATHS, id="paths of a machine"),
        pytest.param(_INDEX_ADDRESSES, id="addresses of a package index"),
    ],
)
def test_files_name_no_machine(pattern: re.Pattern[str]) -> None:
    """No file but this one holds what is true on one machine only."""
    here = f"tests/project/{Path(__file__).name}"
    names = [name for name in _repository() if name != here and not name.endswith(".png")]
    assert [name for name in names if pattern.search(_text(name))] == []


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        pytest.param(_MACHINE_PATHS, "open('/home/me/x')", id="home"),
        pytest.param(_MACHINE_PATHS, "see /root/.cache", id="root"),
        pytest.param(_INDEX_ADDRESSES, "--index-url https://example.org", id="option"),
        pytest.param(_INDEX_ADDRESSES, "https://example.org/simple/httpx", id="simple index"),
        pytest.param(_LOCK_FILES, "sub/uv.lock", id="lock"),
    ],
)
def test_patterns_find_what_they_are_for(pattern: re.Pattern[str], text: str) -> None:
    """What no file may hold is found where it is."""
    assert pattern.search(text)


def test_no_lock_file_is_committed() -> None:
    """The versions are those of the declared ranges: no lock file, no installer's settings."""
    assert [name for name in _repository() if _LOCK_FILES.search(name)] == []


def test_base_install_is_three_packages() -> None:
    """Without an extra, only LangChain's core, pydantic and httpx are installed.

    What comes with them and is imported by name is declared too.
    """
    names = {re.split(r"[^\w-]", line)[0] for line in PROJECT["project"]["dependencies"]}
    comes_with = {
        "anyio": "httpx",
        "httpcore": "httpx",
        "langsmith": "langchain-core",
        "pydantic-core": "pydantic",
        "typing-extensions": "pydantic",
    }
    assert names == {"httpx", "langchain-core", "pydantic", *comes_with}
    for name, owner in comes_with.items():
        assert any(line.startswith(name) for line in requires(owner) or ())


def test_what_is_imported_is_declared() -> None:
    """Each library that the package imports is a dependency or in an extra, by its own name."""
    extras = PROJECT["project"]["optional-dependencies"].values()
    declared = [*PROJECT["project"]["dependencies"], *(line for extra in extras for line in extra)]
    names = {re.split(r"[^\w-]", line)[0].replace("-", "_") for line in declared}
    foreign = {
        library
        for libraries in _imports().values()
        for library in libraries
        if library not in sys.stdlib_module_names
    }
    assert foreign <= {PACKAGE.name, "PIL" if "pillow" in names else "", *names, *_IF_THERE}


def test_version_is_the_newest_of_the_changelog() -> None:
    """The version of the package heads the changelog."""
    newest = re.search(r"^## \[(.+?)\]", _text("CHANGELOG.md"), re.MULTILINE)
    assert newest
    assert newest[1] == langchain_qwen_image.__version__


@cache
def _imports() -> dict[str, set[str]]:
    """Return which libraries each module of the package imports."""
    return {
        file.relative_to(PACKAGE).as_posix(): {
            library
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            for library in _imported(node)
        }
        for file in sorted(PACKAGE.rglob("*.py"))
    }


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [name.name.partition(".")[0] for name in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module.partition(".")[0]]
    return []


@pytest.mark.parametrize(
    "module",
    [
        *(f"wire/{name}.py" for name in ("request", "response", "retry", "error_body", "classify")),
        "schemas.py",
        "gateway_schemas.py",
        "errors.py",
    ],
)
def test_the_wire_is_pure(module: str) -> None:
    """What decides about an answer knows no HTTP library, clock or environment."""
    for library in ("httpx", "httpx2", "httpcore", "time", "os", "socket", "asyncio"):
        assert library not in _imports()[module]


def test_targets_are_those_that_are_promised() -> None:
    """The Makefile has each target of its help, and the help is what make does by itself."""
    run = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = re.findall(r"^  make (\S+)", run.stdout, re.MULTILINE)
    assert listed == [
        "help",
        "demo",
        "test",
        "coverage",
        "test-all",
        "test-long",
        "test-browser",
        "test-docs",
        "hosts",
        "engines",
        "test-lowest",
        "lint",
        "format",
        "type",
        "check",
        "browser",
        "docs",
        "dist",
        "bench",
        "fleet-bench",
        "record",
        "record-live",
    ]


def test_ci_runs_what_a_developer_can_run() -> None:
    """CI's script is `make check` and the long tests, with a browser for them, and no more."""
    lines = _text(".ci/run").splitlines()
    commands = [line for line in lines if line and not line.startswith("#")]
    start = ["set -euo pipefail", 'cd "$(dirname "$0")/.."']
    assert commands == [*start, "make browser", "make check", "exec make test-all"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_wheel_holds_the_package_alone(tmp_path: Path) -> None:
    """The wheel ships the whole package, its page and licence too, and no test or example."""
    build = "from hatchling.build import build_wheel; import sys; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=ROOT, check=True, timeout=600)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tops = {name.partition("/")[0].partition("-")[0] for name in names}
    assert tops == {"langchain_qwen_image"}
    modules = {str(file.relative_to(ROOT)) for file in PACKAGE.rglob("*.py")}
    assert modules | {"langchain_qwen_image/py.typed"} <= names
    page = {f"langchain_qwen_image/gallery/{part}" for part in _GALLERY}
    assert page <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
