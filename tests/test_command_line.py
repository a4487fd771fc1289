"""The command `qwen-image`: what it prints where, its exit status, and what it writes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from langchain_qwen_image import __version__
from langchain_qwen_image.cli import app
from langchain_qwen_image.sandbox import SandboxServer

_KEY = "test-key-0123456789abcdef"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, **named: Any) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, arguments, **named)


def run_process(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a command as a process of its own, with its streams in pipes."""
    clean = {name: v for name, v in os.environ.items() if not name.startswith("PIXAZO_")}
    return subprocess.run(
        [sys.executable, "-m", "langchain_qwen_image", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={**clean, **environment},
    )


@pytest.fixture
def gateway(server: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> SandboxServer:
    """Point the command at a gateway on loopback, with a key."""
    monkeypatch.setenv("PIXAZO_BASE_URL", server.base_url)
    monkeypatch.setenv("PIXAZO_API_KEY", _KEY)
    return server


def test_generate_names_the_file(here: Path) -> None:
    """Without -o the picture is a new file here, with its sidecar; path, size and cost printed."""
    done = run("generate", "a red fox", "--sandbox", "--size", "512x512")
    path, size, cost = done.stdout.splitlines()
    assert (done.exit_code, done.stderr, cost) == (0, "", "$0, sandbox")
    assert size.startswith("512×512 PNG")
    assert (here / path).read_bytes().startswith(b"\x89PNG")
    assert json.loads((here / path).with_suffix(".json").read_text())["prompt"] == "a red fox"


def test_generate_sends_what_is_asked(gateway: SandboxServer, here: Path) -> None:
    """Options become the parameters of the one POST, and -o is the file."""
    options = ["--negative-prompt", "blurry", "--size", "768*768"]
    options += ["--no-watermark", "--no-prompt-extend", "-o", "fox.png"]
    done = run("generate", "a fox", *options)
    assert done.stdout.splitlines()[0] == "fox.png"
    assert done.stdout.splitlines()[2] == "$0.045"
    [post] = [request for request in gateway.requests if request.method == "POST"]
    assert post.body is not None
    assert post.body["parameters"] == {
        "negative_prompt": "blurry",
        "prompt_extend": False,
        "watermark": False,
        "size": "768*768",
    }
    assert (here / "fox.png").read_bytes().startswith(b"\x89PNG")


def test_generate_reads_standard_input(gateway: SandboxServer) -> None:
    """The prompt `-` is what standard input says."""
    assert run("generate", "-", input="山水 a fox\n").exit_code == 0
    body = gateway.requests[0].body
    assert body is not None
    assert body["input"]["messages"][0]["content"] == [{"text": "山水 a fox"}]


def test_generate_json() -> None:
    """`--json` prints the artifact, with the path."""
    artifact = json.loads(run("generate", "a", "--sandbox", "--size", "512x512", "--json").stdout)
    assert artifact["prompt"] == "a"
    assert Path(artifact["images"][0]["path"]).exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param(["--size", "1*1"], "1024*1024", id="size"),
        pytest.param(["-o", "there.png"], "--force", id="file is there"),
        pytest.param(["-o", "none/x.png"], "no folder", id="no folder"),
        pytest.param(["-o", "."], "not a file", id="a folder"),
        pytest.param(["--seed", "1"], "No such option", id="unknown option"),
    ],
)
def test_usage_errors(gateway: SandboxServer, here: Path, options: list[str], says: str) -> None:
    """A mistake in the command is exit status 2, and nothing is sent or overwritten."""
    (here / "there.png").write_text("mine")
    done = run("generate", "a fox", *options)
    assert done.exit_code == 2
    assert says in done.stderr
    assert gateway.requests == []
    assert (here / "there.png").read_text() == "mine"


def test_blank_prompt_is_a_usage_error(gateway: SandboxServer) -> None:
    """A blank prompt is exit status 2, and nothing is sent."""
    assert run("generate", "  ").exit_code == 2
    assert gateway.requests == []


def test_force_overwrites(here: Path) -> None:
    """With --force, -o replaces a file."""
    (here / "x.jpg").write_text("old")
    done = run("generate", "a", "--sandbox", "--size", "512x512", "-o", "x.jpg", "--force")
    assert (here / "x.jpg").read_bytes().startswith(b"\x89PNG")
    assert "x.jpg holds image/png" in done.stderr


def test_errors_are_one_sentence(gateway: SandboxServer) -> None:
    """An error is one line on stderr without the key, exit status 1, nothing on stdout."""
    done = run("generate", "sandbox:500 a fox")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: The gateway answered 500")
    assert len(done.stderr.splitlines()) == 1
    assert _KEY not in done.stderr
    assert gateway.gateway.post_count == 1


def test_missing_key() -> None:
    """Without a key the sentence names the variable and the sandbox, and nothing is written."""
    done = run("generate", "a fox")
    assert done.exit_code == 1
    assert "PIXAZO_API_KEY" in done.stderr
    assert "--sandbox" in done.stderr
    assert list(Path.cwd().iterdir()) == []


def test_paid_but_not_fetched(gateway: SandboxServer) -> None:
    """A picture that is paid for and cannot be fetched is told of, its link on stdout."""
    done = run("generate", "sandbox:image-404 a fox")
    assert done.exit_code == 1
    assert done.stdout.startswith(gateway.base_url + "/images/")
    assert "paid for" in done.stderr
    assert "qwen-image recover" in done.stderr


def test_recover_fetches_what_failed(gateway: SandboxServer, here: Path) -> None:
    """`recover` lists what it could not do: lost, unknown."""
    run("generate", "sandbox:timeout a", env={"PIXAZO_BASE_URL": gateway.base_url + "/no"})
    assert run("generate", "sandbox:expired b").exit_code == 1
    assert run("generate", "sandbox:500 c").exit_code == 1
    posts = gateway.gateway.post_count
    done = run("recover", ".")
    assert done.exit_code == 1
    assert "lost" in done.stdout
    assert "unknown" in done.stdout
    assert "May have cost $0.045" in done.stdout
    assert gateway.gateway.post_count == posts


def test_recover_settles(gateway: SandboxServer, here: Path) -> None:
    """What was deleted from the ledger's sight is fetched; then there is nothing to recover."""
    assert run("recover", ".").exit_code == 1, "there is no ledger yet"
    assert run("generate", "a fox").exit_code == 0
    done = run("recover", ".")
    assert (done.exit_code, done.stdout.split(":")[0]) == (0, "Nothing to recover")
    assert run("recover", ".", "--dry-run").exit_code == 0


def test_spend(gateway: SandboxServer) -> None:
    """`spend` adds up a day: asked, paid, kept, lost, unknown, and US dollars."""
    run("generate", "a fox")
    run("generate", "a heron")
    run("generate", "sandbox:500 c")
    run("generate", "sandbox:400 d")
    table = run("spend", ".").stdout.splitlines()
    assert table[0].split() == ["day", "asked", "paid", "kept", "lost", "unknown", "USD"]
    assert table[1].split()[1:] == ["4", "2", "2", "0", "1", "0.090"]
    assert table[2] == "The unknown may have cost up to 0.045 USD more."
    [day] = json.loads(run("spend", ".", "--json").stdout)
    assert (day["paid"], day["usd"]) == (2, 0.09)


def test_spend_of_nothing() -> None:
    """A folder without a ledger is an error, and none is made."""
    assert run("spend", ".").exit_code == 1
    assert list(Path.cwd().iterdir()) == []


def test_version() -> None:
    """`--version` prints the version."""
    assert run("--version").stdout.strip() == f"qwen-image {__version__}"


def test_module_is_the_command() -> None:
    """`python -m langchain_qwen_image` is the command, quiet in a pipe but for its answer."""
    done = run_process("generate", "a", "--sandbox", "--size", "512x512")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 3


def test_without_the_extra(tmp_path: Path) -> None:
    """Without Typer the command says what to install."""
    program = (
        "from importlib import util\nreal = util.find_spec\n"
        "util.find_spec = lambda name: None if name == 'typer' else real(name)\n"
        "from langchain_qwen_image.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "pip install 'langchain-qwen-image[cli]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_is_quick() -> None:
    """`--help` imports neither langchain_core, httpx nor pydantic."""
    program = (
        "import sys\ntry:\n    from langchain_qwen_image.__main__ import main\n"
        "    sys.argv = ['qwen-image', '--help']\n    main()\nexcept SystemExit:\n    pass\n"
        "print({'langchain_core', 'httpx', 'pydantic', 'PIL'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.endswith("set()\n")


@pytest.mark.parametrize("command", ["generate", "sandbox"])
def test_ctrl_c(command: str, server: SandboxServer) -> None:
    """Ctrl-C is exit status 130 and one sentence; a POST that was out may have been billed."""
    arguments = {"generate": ["generate", "sandbox:timeout"], "sandbox": ["sandbox", "--port", "0"]}
    environment = {**os.environ, "PIXAZO_BASE_URL": server.base_url, "PIXAZO_API_KEY": _KEY}
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "langchain_qwen_image", *arguments[command]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    if command == "generate":
        while not server.gateway.post_count:
            time.sleep(0.02)
    else:
        while "Serving http://127.0.0.1:" not in process.stdout.readline():
            pass
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.startswith("Interrupted")
    assert ("may have been billed" in said) == (command == "generate")
    assert server.gateway.post_count == (command == "generate")
