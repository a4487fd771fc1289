"""`qwen-image mcp` at its ends: what it needs, where it saves, what it says where."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import warm
from held import HeldServer
from mcp import Client
from mcp_programs import ERAS, FOX, McpProgram, programs
from waiting import PATIENCE, await_until

from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.mcp import folders, sdk

HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "by hand", "version": "1"},
    },
}


def run(*options: str, said: str = "", **named: Any) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command = [sys.executable, "-m", "langchain_qwen_image", "mcp", *options]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with warm.Popen(command, text=True, **pipes, **named) as process:
        out, err = process.communicate(said, timeout=PATIENCE)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@pytest.mark.parametrize(
    ("options", "status", "expected"),
    [
        pytest.param((), 1, "No API key was found", id="no-key"),
        pytest.param(("--sandbox", "--save-to", "a.txt"), 2, "a.txt", id="no-folder"),
        pytest.param(("--sandbox", "--max-usd", "-1"), 2, "--max-usd", id="no-limit"),
        pytest.param(("--sandbox", "--ask", "maybe"), 2, "--ask", id="no-such-answer"),
        pytest.param(("--sandbox", "--http", "99999"), 2, "--http", id="no-port"),
    ],
)
def test_what_cannot_work_is_said_on_stderr(
    tmp_path: Path, options: tuple[str, ...], status: int, expected: str
) -> None:
    """The exit status is that of other commands, and standard output stays empty."""
    (tmp_path / "a.txt").touch()
    done = run(*options, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (status, "")
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_standard_output_is_the_protocol_alone(tmp_path: Path) -> None:
    """What is no request is answered or left out; the end of standard input is the end."""
    lines = [json.dumps(HELLO), "", "no JSON", '{"jsonrpc": "2.0"}', "[]", "\ufffd"]
    done = run("--sandbox", "--save-to", str(tmp_path / "out"), said="\n".join(lines) + "\n")
    assert (done.returncode, done.stderr) == (0, "")
    [answer] = [json.loads(line) for line in done.stdout.splitlines()]
    assert answer["result"]["serverInfo"]["name"] == "qwen-image"


async def test_images_are_saved_with_the_users_pictures(tmp_path: Path) -> None:
    """Wherever a host starts the server, by a key or without, and over HTTP as over stdio."""
    pictures = tmp_path / "Bilder"
    with programs(None, 1, "--sandbox", "--http", "0", env={"XDG_PICTURES_DIR": str(pictures)}) as [
        program
    ]:
        await await_until(lambda: "/mcp" in program.complained)
        async with Client(f"http://127.0.0.1:{program.port}/mcp", mode=ERAS[1]) as client:
            result: Any = await client.call_tool("generate_image", FOX)
        program.process.terminate()
        assert program.wait() == 143
    path = Path(result.structured_content["images"][0]["path"])
    assert path.parent == pictures / "qwen-image"
    assert program.process.stdout is not None
    assert "Traceback" not in program.complained


@pytest.mark.parametrize(
    ("written", "env", "expected"),
    [
        pytest.param(None, {}, "Pictures", id="nothing"),
        pytest.param('XDG_PICTURES_DIR="$HOME/Images"', {}, "Images", id="below-home"),
        pytest.param('XDG_PICTURES_DIR="$HOME/"', {}, "Pictures", id="home-itself"),
        pytest.param('XDG_PICTURES_DIR="Images"', {}, "Pictures", id="relative"),
        pytest.param("\udcff", {}, "Pictures", id="not-utf-8"),
        pytest.param(
            '#XDG_PICTURES_DIR="$HOME/a"\nXDG_PICTURES_DIR="$HOME/My \\"own\\""',
            {},
            'My "own"',
            id="quoted",
        ),
        pytest.param(
            'XDG_PICTURES_DIR="$HOME/Images"', {"XDG_PICTURES_DIR": "{home}/Env"}, "Env", id="env"
        ),
        pytest.param(None, {"XDG_PICTURES_DIR": "relative"}, "Pictures", id="env-relative"),
    ],
)
@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="freedesktop.org's folders")
def test_the_folder_of_pictures_is_the_users_own(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    written: str | None,
    env: dict[str, str],
    expected: str,
) -> None:
    """As xdg-user-dirs say, and never the working directory."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value.format(home=tmp_path))
    if written is not None:
        (tmp_path / ".config").mkdir()
        (tmp_path / ".config" / "user-dirs.dirs").write_bytes(os.fsencode(written))
    assert folders.default_folder() == tmp_path / expected / "qwen-image"


@pytest.mark.parametrize("home", ["/", "relative"])
def test_a_home_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    """A server of a system's user has to be told where to save."""
    monkeypatch.setenv("HOME", home)
    with pytest.raises(ConfigurationError, match="--save-to"):
        folders.default_folder()


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(None, "needs its extra", id="missing"),
        pytest.param("1.30.0", "1.30.0 is installed", id="old"),
    ],
)
def test_a_missing_or_old_sdk_is_named(
    monkeypatch: pytest.MonkeyPatch, found: str | None, expected: str
) -> None:
    """The error says what to install."""

    def version(name: str) -> str:
        if found is None:
            raise sdk.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(sdk, "version", version)
    with pytest.raises(ConfigurationError, match=expected) as caught:
        sdk.check_sdk()
    assert "langchain-qwen-image[mcp]" in str(caught.value)


async def test_the_key_is_nowhere_in_what_it_says(tmp_path: Path) -> None:
    """Neither on the wire nor on stderr, where the gateway repeats the key too."""
    key = "test-key-0123456789abcdef"
    with HeldServer() as gateway:
        gateway.release()
        env = {"PIXAZO_BASE_URL": gateway.base_url, "PIXAZO_API_KEY": key}
        program = McpProgram("--ask", "never", save_to=tmp_path / "out", env=env)
        try:
            async with program.client(ERAS[0]) as client:
                for prompt in ("a fox", "sandbox:401", "sandbox:image-404"):
                    await client.call_tool("generate_image", {**FOX, "prompt": prompt})
        finally:
            program.end()
    assert len(gateway.posts) == 3
    for text in (b"".join(program.lines).decode(), program.complained):
        assert key not in text
