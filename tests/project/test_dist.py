"""What is published: addresses, README, classifiers, workflows, and what a release checks."""

import importlib.util
import re
import subprocess
import sys
import tarfile
import tomllib
from email.parser import Parser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
URLS: dict[str, str] = PROJECT["tool"]["langchain-qwen-image"]["urls"]
CLASSIFIERS: list[str] = PROJECT["project"]["classifiers"]
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
HOME = "https://example.org/owner/name"


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(name).stem, ROOT / name)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HOOK = _load("hatch_build.py")
CHECKS = _load("scripts/check_dist.py")


def test_every_project_url_is_filled_in() -> None:
    """A skip of this test names the addresses that the owner has to fill in before a release."""
    empty = CHECKS.empty_urls()
    if empty:
        pytest.skip(f"not filled in yet: {', '.join(empty)} ([tool.langchain-qwen-image.urls])")
    assert all(url.startswith("https://") for url in URLS.values())


def test_a_release_needs_urls_a_date_and_its_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the three is named when it is missing."""
    monkeypatch.setattr(CHECKS, "empty_urls", lambda: ["Repository"])
    problems = CHECKS.release_problems("v9.9.9")
    assert "The project URL Repository is not filled in." in problems
    assert any("the tag is 'v9.9.9'" in problem.lower() for problem in problems)


def test_an_empty_url_is_left_out() -> None:
    """Metadata cannot hold an empty address."""
    assert HOOK.filled({"Repository": "", "Issues": HOME}) == {"Issues": HOME}


def _relative(text: str) -> list[str]:
    links = re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", text)
    addresses = (first or second for first, second in links)
    return [one for one in addresses if not re.match(r"https?://|#", one)]


@pytest.mark.parametrize("repository", [HOME, f"{HOME}/", ""], ids=["set", "slash", "not set"])
def test_links_and_image_of_the_readme_work_on_an_index(repository: str) -> None:
    """No link is relative: it leads into the repository, or is plain text without one."""
    assert _relative(README), "the README itself has relative links"
    text = HOOK.readme_for_an_index(README, repository, "1.2.3")
    assert _relative(text) == []
    if repository:
        assert f'src="{HOME}/raw/v1.2.3/docs/images/demo.png"' in text
        assert f"({HOME}/blob/v1.2.3/CONTRIBUTING.md)" in text
        assert text.count("](") == README.count("](")
    else:
        assert "<img" not in text
        assert "CONTRIBUTING.md" in text


def test_classifiers_name_each_python_and_what_it_is() -> None:
    """Every supported Python, the kind of package, and that pytest finds a plugin in it."""
    prefix = "Programming Language :: Python :: "
    versions = [one.removeprefix(prefix) for one in CLASSIFIERS if re.search(r":: 3\.\d+$", one)]
    assert versions == PYTHONS
    assert PROJECT["project"]["requires-python"] == f">={PYTHONS[0]}"
    assert "Framework :: Pytest" in CLASSIFIERS
    assert "pytest11" in PROJECT["project"]["entry-points"]
    assert "Topic :: Scientific/Engineering :: Artificial Intelligence" in CLASSIFIERS
    assert sorted(CLASSIFIERS) == CLASSIFIERS


def _steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_pin_actions_and_hold_no_secret(path: Path) -> None:
    """Each action is a full commit hash with its version beside it; no secret; read access only."""
    text = path.read_text(encoding="utf-8")
    uses = [line.strip() for line in text.splitlines() if "uses:" in line]
    assert uses
    pinned = re.compile(r"- uses: [\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    assert [line for line in uses if not pinned.fullmatch(line)] == []
    assert "secrets" not in re.sub(r"#.*", "", text)
    assert "pull_request_target" not in text
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    checkouts = [one for one in _steps(workflow) if "checkout" in one.get("uses", "")]
    assert all(one["with"]["persist-credentials"] is False for one in checkouts)
    # A name that a stranger chooses would be run by the shell.
    assert [one for one in _steps(workflow) if "${{" in one.get("run", "")] == []


def test_ci_runs_each_python_the_lowest_versions_and_dist() -> None:
    """CI's matrix is the classifiers', and it runs what a developer can run."""
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]
    assert jobs["test"]["strategy"]["matrix"]["python"] == PYTHONS
    runs = {step["run"] for job in jobs.values() for step in job["steps"] if "run" in step}
    assert runs == {".ci/run", "make test-lowest", "make dist"}


def test_only_the_publishing_job_gets_an_identity() -> None:
    """Trusted publishing: one job may ask for a token, and it runs none of our code."""
    path = ROOT / ".github/workflows/release.yml"
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    assert [name for name, job in jobs.items() if "permissions" in job] == ["publish"]
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert jobs["publish"]["environment"] == "pypi"
    assert [step for step in jobs["publish"]["steps"] if "run" in step] == []


def test_sdist_has_what_its_tests_need(tmp_path: Path) -> None:
    """The sdist can be built and tested again; its metadata has no empty address."""
    build = "from hatchling.build import build_sdist; import sys; build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=ROOT, check=True, timeout=600)
    [sdist] = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        [info] = [name for name in archive.getnames() if name.endswith("/PKG-INFO")]
        file = archive.extractfile(info)
        assert file
        metadata = Parser().parsestr(file.read().decode())
    needed = {"README.md", "LICENSE", "SECURITY.md", "hatch_build.py", "docs/index.md"}
    needed |= {"tests/conftest.py", "benchmarks/download_memory.py"}
    assert needed <= names
    urls = [line.partition(", ") for line in metadata.get_all("Project-URL") or ()]
    assert {name: url for name, _, url in urls} == HOOK.filled(URLS)
    assert _relative(metadata.get_payload()) == []


@pytest.mark.parametrize("name", ["What is defended", "What is not defended", "Report"])
def test_the_threat_model_says_both_sides(name: str) -> None:
    """SECURITY.md says what is defended, what is not, and how to report."""
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {name}", text, re.MULTILINE)


def test_the_changelog_keeps_its_form() -> None:
    """Keep a Changelog: versions with a date or `unreleased`, and its six kinds of change."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert all(
        re.fullmatch(r"\[\d+\.\d+\.\d+\] - (\d{4}-\d\d-\d\d|unreleased)", one) for one in versions
    )
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert {*re.findall(r"^### (.+)$", text, re.MULTILINE)} <= kinds
