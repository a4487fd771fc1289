"""`qwen-image batch`: what it reads, what it asks, what it shows, and what it leaves behind."""

import errno
import inspect
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import warm
from books import books
from typer.testing import CliRunner, Result
from waiting import PATIENCE

from langchain_qwen_image import Budget
from langchain_qwen_image.cli import app
from langchain_qwen_image.cli.batch import batch as command
from langchain_qwen_image.cli.batch_progress import duration
from langchain_qwen_image.defaults import CONCURRENCY
from langchain_qwen_image.sandbox import SandboxServer


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def gateway(server: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> SandboxServer:
    """Point the command at a gateway on loopback, with a key."""
    monkeypatch.setenv("PIXAZO_BASE_URL", server.base_url)
    monkeypatch.setenv("PIXAZO_API_KEY", "test-key-0123456789abcdef")
    return server


def batch(*arguments: str, **named: Any) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(app, ["batch", *arguments, "--out", "out"], **named)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        pytest.param("p.txt", b"a fox\n\xff\n", "line 2: it is not UTF-8", id="not-utf-8"),
        pytest.param("p.csv", b"text\na fox\n", "'text' is not an argument", id="csv-column"),
        pytest.param("p.csv", b"size\n512\n", "line 1: the first line must name", id="no-prompt"),
        pytest.param(
            "p.csv", b"prompt,prompt\na,b\n", "line 1: a column appears twice", id="twice"
        ),
        pytest.param("p.csv", b"prompt\na,b\n", "line 2: expected 1 cell, got 2", id="cells"),
        pytest.param("p.csv", b'prompt\n"a fox\n', "line 2", id="open-quote"),
        pytest.param("p.jsonl", b'{"prompt": \n', "line 1: it is not JSON", id="json"),
        pytest.param("p.jsonl", b'"x"\n[1]\n', "line 2: expected a JSON object", id="json-list"),
        pytest.param("p.jsonl", b'{"seed": 1}\n', "'seed' is not an argument", id="json-key"),
        pytest.param("p.jsonl", b'{"prompt": "x", "size": "9*9"}\n', "512*512", id="size"),
        pytest.param("p.txt", b"\n \n", "There is no prompt in p.txt", id="empty"),
        pytest.param("p.doc", b"a fox\n", "Unknown extension: p.doc. Use --format.", id="kind"),
        pytest.param("nowhere.txt", None, "nowhere.txt cannot be read", id="missing"),
    ],
)
def test_mistakes_in_a_file_cost_nothing(
    gateway: SandboxServer, here: Path, name: str, content: bytes | None, says: str
) -> None:
    """A line that cannot be used is named with what is wrong, before anything is sent."""
    if content is not None:
        (here / name).write_bytes(b"" if content is None else content)
    done = batch(name, "--yes")
    assert done.exit_code == 2
    assert says in " ".join(done.stderr.split())
    assert gateway.gateway.post_count == 0


def test_all_mistakes_are_named_at_once(gateway: SandboxServer, here: Path) -> None:
    """Ten mistakes of many are listed, each with its line."""
    lines = [json.dumps({"prompt": " "})] * 12
    (here / "p.jsonl").write_text("\n".join(lines))
    done = batch("p.jsonl", "--yes")
    assert done.exit_code == 2
    assert re.findall(r"line (\d+):", done.stderr) == [str(line) for line in range(1, 11)]


def test_a_batch_makes_what_is_missing(gateway: SandboxServer, here: Path) -> None:
    """The first run says what it will cost and makes it; the second finds it there."""
    (here / "p.txt").write_text("a fox\na heron\na fox\n")
    first = batch("p.txt", "--yes", "--size", "512x512", "--no-watermark")
    assert first.exit_code == 0
    assert "3 images to generate; maximum cost $0.135." in first.stderr
    assert first.stdout.splitlines() == [
        "3 of 3 images are in out.",
        "Paid $0.135 for 3 new images.",
    ]
    (here / "p.txt").write_text("a fox\na heron\na fox\nan owl\n")
    second = batch("p.txt", "--yes", "--size", "512x512", "--no-watermark")
    assert second.exit_code == 0
    assert "4 images, 3 already paid for; 1 to generate; maximum cost $0.045." in second.stderr
    assert "4 of 4 images are in out (3 from earlier runs)." in second.stdout
    assert gateway.gateway.post_count == 4
    assert len(list((here / "out").glob("*.png"))) == 4
    bodies = [request.body["parameters"] for request in gateway.requests if request.body]
    assert all(one["size"] == "512*512" and one["watermark"] is False for one in bodies)
    assert Budget.file(books(here / "out"), max_usd=0).images == 4


def test_rows_go_before_options(gateway: SandboxServer, here: Path) -> None:
    """An option is for the rows that do not say it themselves."""
    (here / "p.jsonl").write_text('{"prompt": "a", "size": "768x768"}\n"b"\n')
    assert batch("p.jsonl", "--yes", "--size", "512x512").exit_code == 0
    sizes = {
        request.body["input"]["messages"][0]["content"][0]["text"]: request.body["parameters"][
            "size"
        ]
        for request in gateway.requests
        if request.body
    }
    assert sizes == {"a": "768*768", "b": "512*512"}


def test_standard_input_is_read(gateway: SandboxServer, here: Path) -> None:
    """`-` reads prompts from a pipe, of the kind that --format says."""
    done = batch("-", "--yes", "--format", "csv", input=b"prompt\na fox\n")
    assert done.exit_code == 0
    assert "1 of 1 image is" in done.stdout
    assert gateway.gateway.post_count == 1


def test_what_is_missing_is_listed(gateway: SandboxServer, here: Path) -> None:
    """The table says of each missing image its line and why; the status is 1."""
    lines = ["a fox", "", "sandbox:moderation x", "sandbox:500 y", "sandbox:image-404 z"]
    (here / "p.txt").write_text("\n".join(lines))
    done = batch("p.txt", "--yes")
    assert done.exit_code == 1
    table = done.stdout.splitlines()
    assert table[0].split() == ["line", "outcome", "prompt", "why"]
    assert [line.split("  ")[0] for line in table[1:4]] == ["3", "4", "5"]
    assert [re.split(r"\s{2,}", line)[1] for line in table[1:4]] == [
        "failed",
        "unknown",
        "not fetched",
    ]
    assert "1 of 4 images are in out." in done.stdout
    assert "Paid $0.09 for 2 new images." in done.stdout
    assert "1 request with no known answer may have been billed: $0.045 at most." in done.stdout
    again = batch("p.txt", "--yes")
    assert again.exit_code == 1
    assert gateway.gateway.post_count == 5, "the refused one is asked for again, the others not"
    assert "1 with no known answer and not repeated (--retry-unknown)" in again.stderr


def test_a_long_table_is_cut(here: Path) -> None:
    """Of very many missing images fifty are listed, and the rest is counted."""
    (here / "p.txt").write_text("\n".join(f"sandbox:400 {number}" for number in range(60)))
    done = batch("p.txt", "--sandbox")
    assert done.exit_code == 1
    assert sum("failed" in line for line in done.stdout.splitlines()) == 50
    assert "… and 10 more." in done.stdout


@pytest.mark.parametrize(
    ("options", "status", "posts"),
    [
        pytest.param([], 2, 0, id="nobody-to-ask"),
        pytest.param(["--yes"], 0, 2, id="yes"),
        pytest.param(["--max-usd", "5"], 0, 2, id="max-usd"),
        pytest.param(["--max-usd", "0.05"], 1, 1, id="max-usd-too-small"),
        pytest.param(["--max-usd", "0"], 1, 0, id="max-usd-0"),
    ],
)
def test_nothing_is_paid_unasked(
    gateway: SandboxServer, here: Path, options: list[str], status: int, posts: int
) -> None:
    """In a pipe it wants --yes or --max-usd, and holds to it, in later runs too."""
    (here / "p.txt").write_text("a fox\na heron\n")
    for _ in range(2):
        done = batch("p.txt", *options)
        assert (done.exit_code, gateway.gateway.post_count) == (status, posts)
    if status == 2:
        assert "pass --yes or --max-usd" in done.stderr
        assert not (here / "out").exists()
    if status == 1:
        assert f"--max-usd {options[1]}" in done.stderr


def test_the_promised_cost_is_a_limit(gateway: SandboxServer, here: Path) -> None:
    """A prompt that joins the file after the count is not paid for: the limit was said before."""
    path = here / "p.txt"
    path.write_text("a fox\n")
    original = gateway.gateway.answer

    def answer(method: str, *rest: Any) -> Any:
        if method == "POST":
            path.write_text("a fox\na heron\nan owl\n")
        return original(method, *rest)

    gateway.gateway.answer = answer  # type: ignore[method-assign]
    done = batch("p.txt", "--yes", "--concurrency", "1")
    assert gateway.gateway.post_count == 1
    assert done.exit_code in (0, 1)


@pytest.mark.parametrize(
    ("out", "says"),
    [
        pytest.param("s3://bucket/x", "An account cannot be in an object store", id="no account"),
        pytest.param("gs://bucket/x?sig=y", "it has a query", id="a signature"),
        pytest.param("gcs://bucket", "is an address (gcs:)", id="another"),
        pytest.param("file:///tmp/x", "is an address (file:)", id="file address"),
        pytest.param("p.txt", "p.txt is a file", id="file"),
        pytest.param("p.txt/x", "p.txt is a file", id="under a file"),
        pytest.param("-", "--out needs a path", id="standard output"),
        pytest.param("", "--out needs a path", id="nothing"),
    ],
)
def test_a_place_that_is_no_folder_costs_nothing(
    gateway: SandboxServer, here: Path, out: str, says: str
) -> None:
    """What cannot be a folder of this machine is refused, and nothing appears on the disk."""
    (here / "p.txt").write_text("a fox\n")
    done = CliRunner().invoke(app, ["batch", "p.txt", "--yes", "--out", out])
    assert done.exit_code == 2
    assert says in " ".join(done.stderr.split())
    assert [path.name for path in here.iterdir()] == ["p.txt"]
    assert gateway.gateway.post_count == 0


def test_warnings_name_the_line(gateway: SandboxServer, here: Path) -> None:
    """That a prompt is cut off upstream is said with its line, before paying, and once."""
    (here / "p.txt").write_text("a fox\n" + "fox " * 300 + "\n")
    done = batch("p.txt", "--yes")
    assert done.exit_code == 0
    warnings = [line for line in done.stderr.splitlines() if "the model reads only" in line]
    assert [line[:27] for line in warnings] == ["Note: p.txt, line 2: The pr"]
    assert ".py" not in done.stderr


def test_warnings_are_not_endless(here: Path) -> None:
    """Ten of them are shown, and the others are counted."""
    (here / "p.txt").write_text(("fox " * 300 + "\n") * 13)
    done = batch("p.txt", "--sandbox", "--size", "512x512")
    assert done.stderr.count("the model reads only") == 10
    assert "Note: … and 3 more lines of this kind." in done.stderr


def test_a_link_that_no_account_has_is_printed(
    gateway: SandboxServer, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the disk takes neither image nor link, the link is said: nothing else has it."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("langchain_qwen_image.account.transitions.answer", full)
    monkeypatch.setattr("langchain_qwen_image.storage.folder.publish", full)
    monkeypatch.setattr("langchain_qwen_image.pipeline.bookings.SECONDS", 0)  # not tried for long
    (here / "p.txt").write_text("a fox\n")
    done = batch("p.txt", "--yes")
    assert done.exit_code == 1
    [link] = [line for line in done.stdout.splitlines() if line.startswith("http")]
    assert httpx.get(link).content.startswith(b"\x89PNG")
    assert "Image 1 is paid for, but not saved. It is only here" in done.stderr
    assert "No space left on device" in done.stderr


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        pytest.param("--format", "xml", "txt, csv or jsonl", id="format"),
        pytest.param("--size", "9x9", "1328*1328", id="size"),
        pytest.param("--concurrency", "0", "concurrency", id="concurrency"),
    ],
)
def test_options_that_cannot_work(here: Path, option: str, value: str, says: str) -> None:
    """A wrong option is a mistake in the command: status 2, nothing sent."""
    (here / "p.txt").write_text("a fox\n")
    done = batch("p.txt", "--sandbox", option, value)
    assert done.exit_code == 2
    assert says in " ".join(done.stderr.split())


def test_the_commands_concurrency_is_the_libraries() -> None:
    """The option's default, which the help shows without importing anything, is the runnable's."""
    assert inspect.signature(command).parameters["concurrency"].default == CONCURRENCY


def test_a_key_is_needed(here: Path) -> None:
    """Without a key and without --sandbox it says what to do."""
    (here / "p.txt").write_text("a fox\n")
    done = batch("p.txt", "--yes")
    assert (done.exit_code, "PIXAZO_API_KEY" in done.stderr) == (1, True)


def test_a_lasting_denial_is_one_sentence(gateway: SandboxServer, here: Path) -> None:
    """A key that is not accepted ends the run with its reason, after what was in flight."""
    (here / "p.txt").write_text("\n".join(f"image {number}" for number in range(50)))
    gateway.script(*["401"] * 50)
    done = batch("p.txt", "--yes", "--concurrency", "1")
    assert done.exit_code == 1
    assert "Stopped: The gateway answered 401" in done.stderr
    assert "0 of 50 images" in done.stdout
    assert gateway.gateway.post_count == 2


def _start(*arguments: str, **named: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "langchain_qwen_image", "batch", *arguments, "--out", "out"]
    return warm.Popen(command, env={**os.environ, "COLUMNS": "100", "TERM": "xterm"}, **named)


@pytest.mark.parametrize(
    ("reply", "status", "posts"),
    [pytest.param(b"y\n", 0, 2, id="yes"), pytest.param(b"n\n", 1, 0, id="no")],
)
def test_on_a_terminal_it_asks(
    gateway: SandboxServer, here: Path, reply: bytes, status: int, posts: int
) -> None:
    """A person is asked, after the price was said; a bar shows how far it is."""
    (here / "p.txt").write_text("a fox\na heron\n")
    ours, theirs = pty.openpty()
    run = _start("p.txt", stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    screen = b""
    while b"[y/N]" not in screen:
        screen += os.read(ours, 1000)
    assert b"2 images to generate; maximum cost $0.09" in screen
    os.write(ours, reply)
    try:
        while piece := os.read(ours, 1000):
            screen += piece
    except OSError:  # the other end is closed: Linux says so by an error
        pass
    os.close(ours)
    assert run.wait(PATIENCE) == status
    assert gateway.gateway.post_count == posts
    assert (b"2/2" in screen) == (posts == 2)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0, "0 s"), (99, "99 s"), (100, "2 min"), (5940, "99 min"), (11_100, "3 h 5 min")],
)
def test_times_are_written_as_people_say_them(seconds: float, written: str) -> None:
    """Seconds, minutes, hours."""
    assert duration(seconds) == written


def test_a_batch_has_the_account_that_is_named(
    gateway: SandboxServer, here: Path, location: str
) -> None:
    """In a file or in PostgreSQL: it holds the limit, is not paid for again, and is shown."""
    (here / "p.txt").write_text("a fox\na heron\n")
    stopped = batch(
        "p.txt",
        "--account",
        location,
        "--max-usd",
        "0.05",
        "--concurrency",
        "1",
        "--size",
        "512*512",
    )
    assert (stopped.exit_code, gateway.gateway.post_count) == (1, 1)
    assert "would exceed --max-usd" in stopped.stderr
    (here / "q.txt").write_text("a fox\nan owl\n")
    done = batch("q.txt", "--account", location, "--yes", "--size", "512*512")
    assert (done.exit_code, gateway.gateway.post_count) == (0, 2)
    assert "$0.09" in CliRunner().invoke(app, ["spend", location]).stdout
    recovered = CliRunner().invoke(app, ["recover", "out", "--account", location])
    assert recovered.stdout.startswith("Nothing to recover")
