"""The programs in examples/ run as a reader would run them."""

import json
import re
import runpy
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from conftest import Call
from pages import ENGINE_EXAMPLES, EXAMPLES, HOSTED_EXAMPLES
from thinned import thinned

from langchain_qwen_image.sandbox import SandboxServer

FOLDER = EXAMPLES[0].parent
PROGRAMS = [pytest.param(file, id=file.stem) for file in EXAMPLES]
HOSTED = [pytest.param(file, id=file.stem) for file in HOSTED_EXAMPLES]
ENGINES = [pytest.param(file, id=file.stem) for file in ENGINE_EXAMPLES]
COUNTS = {"agent_improves": 2}
"""Images that an example makes, where they are not one."""


Run = subprocess.CompletedProcess[str]


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Run]:
    """Run an example in this process, whose imports it then need not make."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(FOLDER)

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
@pytest.mark.parametrize("program", thinned(PROGRAMS, quick=1))
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
    done = run(FOLDER / "agent_approval.py", "--live", answer=answer, **given)
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


@pytest.mark.parametrize("program", [*PROGRAMS, *HOSTED, *ENGINES])
def test_example_says_what_to_install(program: Path) -> None:
    """Each example begins with a `pip install` line that has all it imports."""
    source = program.read_text(encoding="utf-8")
    install = re.search(r"^    pip install (.+)$", source.split('"""')[1], re.MULTILINE)
    assert install
    assert '"langchain-qwen-image[sandbox' in install[1]
    uses_langchain = "from langchain." in source or "\nfrom _" in source
    assert (" langchain" in install[1]) == uses_langchain
    assert ("view" in install[1]) == ("Toolkit" in source)


@pytest.mark.parametrize("program", [*PROGRAMS, *ENGINES])
def test_example_is_short(program: Path) -> None:
    """An example is read in a minute: it has 50 lines at most."""
    assert len(program.read_text(encoding="utf-8").splitlines()) <= 50


@pytest.mark.parametrize("program", HOSTED)
def test_chat_is_short(program: Path) -> None:
    """What a chat needs beside the agent has less than 40 lines; `make hosts` runs it."""
    assert len(program.read_text(encoding="utf-8").splitlines()) < 40


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Give what the chats share, without the options of this test run, and in the sandbox."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setattr(sys, "argv", ["chat", "--port", "8765"])
    from _chat import Chat

    return Chat("A chat.", public_url="http://localhost:{port}/images")


def parts(chat: Any, call: Call, text: str) -> list[tuple[str, Any]]:
    """Return what a chat shows for a message, of either twin."""
    collect = SimpleNamespace(
        reply=lambda: list(chat.reply(text, "1")),
        areply=lambda: _collected(chat.areply(text, "1")),
    )
    shown: list[tuple[str, Any]] = call(collect, "reply")
    return shown


async def _collected(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


def test_chats_tell_progress_image_answer_and_money(chat: Any, call: Call) -> None:
    """Twice in one thread, a message brings progress, one image, its Markdown, and the sum."""
    for _ in range(2):
        shown = parts(chat, call, "a red fox")
        words = [value.split()[1].strip(",") for kind, value in shown if kind == "progress"]
        assert (words[:2], words[-1]) == (["waiting", "sent"], "saved")
        image, *rest = [part for part in shown if part[0] != "progress"]
        assert image[0] == "image"
        url = image[1].image.public_url
        assert url.startswith("http://localhost:8765/images/")
        assert rest == [("text", f"![description]({url})"), ("spent", "$0.000 of $1 spent")]


@pytest.mark.parametrize("name", ["moderation", "quota"], ids=["the model's", "the operator's"])
def test_chats_tell_errors(name: str, chat: Any, call: Call) -> None:
    """An error of either kind is told once, and the chat goes on."""
    shown = [part for part in parts(chat, call, f"sandbox:{name} x") if part[0] != "progress"]
    assert [kind for kind, _ in shown] == ["error", "text", "spent"]
    assert shown[0][1].startswith("The gateway answered")
    assert [kind for kind, _ in parts(chat, call, "a red fox")].count("image") == 1


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
async def test_the_server_takes_no_message_of_other_pages(
    kind: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What a browser sends from any page, without asking, is refused; JSON is answered."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setattr(sys, "argv", ["serve"])
    app = runpy.run_path(str(FOLDER / "serve_fastapi.py"))["app"]
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as page:
        message = json.dumps({"text": "a red fox", "thread": "1"})
        headers = {"Content-Type": kind} if kind else {}
        assert (await page.post("/chat", content=message, headers=headers)).status_code == 422
        assert (await page.get("/chat")).status_code == 405
        assert _images(tmp_path) == []
        answer = await page.post("/chat", json=json.loads(message))
        assert answer.text.startswith('data: {"kind": "progress"')
        assert answer.text.endswith("\n\n")
        assert len(_images(tmp_path)) == 1


def test_a_part_is_json_for_a_page(chat: Any, call: Call) -> None:
    """A page gets each part as kind, text and address."""
    from _chat import as_json

    told = [json.loads(as_json(*part)) for part in parts(chat, call, "a red fox")]
    assert all(set(one) == {"kind", "text", "url"} for one in told)
    (image,) = [one for one in told if one["kind"] == "image"]
    assert image["text"] == "a red fox — $0.000"
    assert [one["url"] for one in told if one["url"]] == [image["url"]]
