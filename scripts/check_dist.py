"""Try what is published as its users would: the wheel and the sdist, each in a fresh environment.

`make dist` runs it on what it built. With `--release TAG` it checks instead that a release may be
published: the tag is the version, the changelog has its date, and every project URL is filled in.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
SMOKE = """
from langchain_qwen_image import ImageGenerationResult, QwenImageGenerator, QwenImageTool

result = QwenImageGenerator(save_to="images").invoke("A red fox", size="512*512")
assert result.image.read().startswith(b"\\x89PNG"), result
call = {"name": "generate_image", "args": {"prompt": "A fox"}, "id": "1", "type": "tool_call"}
message = QwenImageTool(save_to="images").invoke(call)
assert ImageGenerationResult.from_artifact(message.artifact).image.path, message
print("The smoke program works: two placeholder images, nothing paid.")
"""


def main() -> None:
    """Check a release, or try the two files of a folder."""
    if sys.argv[1] == "--release":
        problems = release_problems(sys.argv[2])
        sys.exit("\n".join(problems) if problems else None)
    [wheel] = Path(sys.argv[1]).glob("*.whl")
    [sdist] = Path(sys.argv[1]).glob("*.tar.gz")
    with tempfile.TemporaryDirectory() as folder:
        try_wheel(wheel.resolve(), Path(folder))
        try_sdist(sdist.resolve(), Path(folder))
    for name in empty_urls():
        print(f"Project URL not filled in: {name} ([tool.langchain-qwen-image.urls])")


def release_problems(tag: str) -> list[str]:
    """Return what is in the way of publishing the version under the tag."""
    version = re.search(
        r'^__version__ = "(.+)"',
        (ROOT / "langchain_qwen_image/_version.py").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    number = version[1] if version else ""
    problems = [f"The project URL {name} is not filled in." for name in empty_urls()]
    if tag != f"v{number}":
        problems.append(f"The tag is {tag!r}, the version {number!r}: expected the tag v{number}.")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## \[{re.escape(number)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        problems.append(f"CHANGELOG.md has no date for {number}.")
    return problems


def empty_urls() -> list[str]:
    """Return the names of the project URLs that the owner has not filled in."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    urls = project["tool"]["langchain-qwen-image"]["urls"]
    return [name for name, url in urls.items() if not url]


def try_wheel(wheel: Path, folder: Path) -> None:
    """Install the wheel with its extra `cli`; run a program and two commands without a key."""
    python = fresh_environment(folder / "wheel")
    run(python, "-m", "pip", "install", "--quiet", f"{wheel}[cli]", cwd=folder)
    run(python, "-c", SMOKE, cwd=folder)
    command = python.with_name("qwen-image")
    run(command, "doctor", cwd=folder)
    run(command, "generate", "A red fox", "--size", "512*512", "-o", "fox.png", cwd=folder)


def try_sdist(sdist: Path, folder: Path) -> None:
    """Install from the sdist, and run its quick tests against what was installed."""
    python = fresh_environment(folder / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    source = folder / sdist.name.removesuffix(".tar.gz")
    install = ("-m", "pip", "install", "--quiet")
    run(python, *install, "--upgrade", "pip>=25.1", cwd=source)
    run(python, *install, "--group", "test", ".[cli,view]", cwd=source)
    shutil.rmtree(source / "langchain_qwen_image")  # else it is found before what is installed
    quick = ("-q", "-n", "2", "-m", "not slow and not long")
    # Pages and project files are tested in a clone, the gallery's page in a browser.
    others = ("tests/docs", "tests/project", "tests/gallery/test_gallery_browser.py")
    ignored = [f"--ignore={name}" for name in others]
    run(python, "-m", "pytest", *quick, *ignored, cwd=source, sandbox=False)


def fresh_environment(folder: Path) -> Path:
    """Make a virtual environment and return its Python."""
    venv.create(folder, with_pip=True)
    return folder / ("Scripts" if os.name == "nt" else "bin") / "python"


def run(*command: object, cwd: Path, sandbox: bool = True) -> None:
    """Run a command without a key; leave with its status when it fails."""
    keys = ("PIXAZO_API_KEY", "PIXAZO_SANDBOX", "PYTHONPATH")
    environment = {name: value for name, value in os.environ.items() if name not in keys}
    if sandbox:
        environment["PIXAZO_SANDBOX"] = "1"
    done = subprocess.run([*map(str, command)], cwd=cwd, env=environment)
    if done.returncode:
        sys.exit(f"Failed with status {done.returncode}: {' '.join(map(str, command[:5]))}")


if __name__ == "__main__":
    main()
