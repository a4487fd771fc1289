"""What lies under the commands: the named file, the terminal, and errors that nobody expects."""

import asyncio
import errno
import io
import logging
import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import typer
from books import books
from hypothesis import given
from hypothesis import strategies as st
from thinned import thinned
from typer.testing import CliRunner, Result
from waiting import PATIENCE

from langchain_qwen_image.__main__ import main
from langchain_qwen_image.account import Account, NewCall
from langchain_qwen_image.cli import app
from langchain_qwen_image.cli.output import checked_output
from langchain_qwen_image.cli.output_stores import OneFile
from langchain_qwen_image.cli.tables import show_table
from langchain_qwen_image.cli.terminal import dollars, one_line, shown, waiting
from langchain_qwen_image.pipeline.pipeline import Pipeline
from langchain_qwen_image.sandbox import SCENARIOS, SandboxServer

_KEY = "test-key-0123456789abcdef"
_SMALL = ["--size", "512x512"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def gateway(server: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> SandboxServer:
    """Point the command at a gateway on loopback, with a key."""
    monkeypatch.setenv("PIXAZO_BASE_URL", server.base_url)
    monkeypatch.setenv("PIXAZO_API_KEY", _KEY)
    return server


class _Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a terminal of 80 columns."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")


def run(*arguments: str, **named: Any) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, arguments, **named)


def test_two_images_lie_side_by_side(here: Path) -> None:
    """A second image never takes the first one's place, also with --force."""
    (here / "two.png").write_text("old")
    done = run("generate", "sandbox:two-images", "--sandbox", *_SMALL, "-o", "two.png", "--force")
    assert done.exit_code == 0
    assert [line for line in done.stdout.splitlines() if ".png" in line] == ["two.png", "two-2.png"]
    first, second = (here / "two.png").read_bytes(), (here / "two-2.png").read_bytes()
    assert first[:4] == second[:4] == b"\x89PNG"
    assert first != second


def test_a_name_taken_meanwhile_is_left_alone(
    gateway: SandboxServer, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that appears while the image is made stays, and the image goes beside it."""
    generate = Pipeline.agenerate

    async def generate_late(*args: Any, **kwargs: Any) -> Any:
        (here / "fox.png").write_text("mine")
        return await generate(*args, **kwargs)

    monkeypatch.setattr(Pipeline, "agenerate", generate_late)
    done = run("generate", "a fox", "-o", "fox.png")
    assert (done.exit_code, done.stdout.splitlines()[0]) == (0, "fox-2.png")
    assert (here / "fox.png").read_text() == "mine"


def test_a_named_file_is_booked(gateway: SandboxServer, here: Path) -> None:
    """With -o too the account says where the image is; nothing else lies in the folder."""
    (here / "sub").mkdir()
    assert run("generate", "a fox", "-o", "sub/fox.png").exit_code == 0
    [call] = Account(books(here / "sub")).calls()
    assert (call.state, call.images[0].path) == ("saved", str(here / "sub" / "fox.png"))
    assert [path.name for path in (here / "sub").glob("[!.]*")] == ["fox.png"]
    assert run("recover", "sub").exit_code == 0


@pytest.mark.parametrize(
    ("name", "force", "says"),
    [
        pytest.param("x" * 300, False, "cannot be written: File name too long", id="too long"),
        pytest.param("file/x.png", False, "cannot be written: Not a directory", id="under a file"),
        pytest.param("/dev/null", True, "is not a file", id="device"),
        pytest.param("dangling", False, "--force overwrites it", id="dangling link"),
        pytest.param("", False, "-o needs a path", id="nothing"),
        pytest.param("s3://bucket/x.png", False, "is an address", id="object store"),
        pytest.param("no folder/x.png", False, "There is no folder", id="no folder"),
        pytest.param("pipe", True, "use -o - for standard output", id="pipe"),
        pytest.param("a\0b.png", False, "cannot be", id="null character"),
    ],
)
def test_names_that_cannot_be(here: Path, name: str, force: bool, says: str) -> None:
    """A name that cannot take an image is refused beforehand."""
    (here / "file").touch()
    (here / "dangling").symlink_to("nowhere")
    os.mkfifo(here / "pipe")
    with pytest.raises(typer.BadParameter, match=says):
        checked_output(name, force=force)


@pytest.mark.parametrize(
    ("output", "folder"),
    [
        pytest.param("new/", "new", id="new folder"),
        pytest.param("new/deep/", "new/deep", id="new folders"),
        pytest.param("old", "old", id="folder that exists"),
        pytest.param("link", "link", id="link to a folder"),
        pytest.param(".", ".", id="current folder"),
    ],
)
def test_a_folder_takes_an_image_under_a_name_of_ours(here: Path, output: str, folder: str) -> None:
    """`-o` with a folder, or what ends in `/`, saves as without `-o`, with a sidecar."""
    (here / "old").mkdir()
    (here / "link").symlink_to("old")
    done = run("generate", "a fox", "--sandbox", *_SMALL, "-o", output)
    assert done.exit_code == 0
    [image] = (here / folder).glob("*-a-fox-*.png")
    assert Path(done.stdout.splitlines()[0]).resolve() == image.resolve()
    assert image.with_suffix(".json").is_file()
    assert books(here / folder).is_file()


@pytest.mark.parametrize(
    ("output", "says"),
    [
        pytest.param("file/", "file is a file", id="a file"),
        pytest.param("file/new/", "file is a file", id="under a file"),
        pytest.param("gs://bucket/", "An account cannot be in an object store", id="object store"),
        pytest.param("gcs://bucket/", "is an address (gcs:)", id="another address"),
        pytest.param("s3://bucket/x.png", "names an image", id="an object"),
        pytest.param("dangling/", "not a folder", id="dangling link"),
    ],
)
def test_folders_that_cannot_be(gateway: SandboxServer, here: Path, output: str, says: str) -> None:
    """A folder that cannot take an image is a usage error, and nothing is sent."""
    (here / "file").touch()
    (here / "dangling").symlink_to("nowhere")
    done = run("generate", "a fox", "-o", output)
    assert (done.exit_code, gateway.requests) == (2, [])
    assert says in " ".join(done.stderr.split())


def test_standard_output_gets_the_bytes_alone(gateway: SandboxServer, here: Path) -> None:
    """`-o -` writes the image to standard output, and what else is said to stderr."""
    done = run("generate", "a fox", "-o", "-")
    assert done.exit_code == 0
    assert done.stdout_bytes.startswith(b"\x89PNG")
    assert done.stdout_bytes.endswith(b"IEND\xaeB`\x82")
    assert "1328×1328 PNG" in done.stderr
    assert "$0.045" in done.stderr
    [call] = Account(books(here)).calls()
    assert (call.state, call.images[0].path) == ("saved", "-")
    assert not list(here.glob("*.png"))


def test_a_second_image_is_not_mixed_into_standard_output(here: Path) -> None:
    """What else an answer has is saved in the current folder."""
    done = run("generate", "sandbox:two-images", "--sandbox", *_SMALL, "-o", "-")
    assert done.exit_code == 0
    assert done.stdout_bytes.count(b"IEND") == 1
    [other] = here.glob("*.png")
    assert other.name in done.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param(["--json"], "--json both write", id="json"),
        pytest.param([], "which is a terminal", id="terminal"),
    ],
)
def test_standard_output_that_cannot_take_an_image(
    gateway: SandboxServer, monkeypatch: pytest.MonkeyPatch, options: list[str], says: str
) -> None:
    """A terminal, or JSON beside it, is a usage error, and nothing is sent."""
    monkeypatch.setattr("langchain_qwen_image.cli.output.sys", SimpleNamespace(stdout=_Terminal()))
    done = run("generate", "a fox", "-o", "-", *options)
    assert (done.exit_code, gateway.requests) == (2, [])
    assert says in " ".join(done.stderr.split())


def test_standard_output_that_is_closed(gateway: SandboxServer, here: Path) -> None:
    """Where there is no standard output at all, nothing is sent."""
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m langchain_qwen_image generate fox -o - >&-"],
        stderr=subprocess.PIPE,
        timeout=PATIENCE,
    )
    assert (done.returncode, gateway.requests) == (2, [])
    assert b"which is closed" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_reader_that_has_gone_leaves_the_link(gateway: SandboxServer, here: Path) -> None:
    """An image that standard output did not take is told of, and can be recovered."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "langchain_qwen_image", "generate", "a fox", "-o", "-"],
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=PATIENCE,
    )
    os.close(writing)
    assert done.returncode == 1
    [error] = [line for line in done.stderr.decode().splitlines() if line.startswith("Error")]
    assert "The image is paid for, but not saved" in error
    assert "qwen-image recover ." in error
    assert run("recover", ".").exit_code == 0
    assert len(list(here.glob("*.png"))) == 1
    assert gateway.gateway.post_count == 1


def test_a_link_is_replaced_and_not_followed(here: Path) -> None:
    """--force puts the image in the place of a symbolic link; what it led to stays."""
    (here / "mine").write_text("mine")
    (here / "link.png").symlink_to("mine")
    assert run("generate", "a", "--sandbox", *_SMALL, "-o", "link.png", "--force").exit_code == 0
    assert not (here / "link.png").is_symlink()
    assert (here / "mine").read_text() == "mine"


@pytest.mark.parametrize("options", [[], ["-o", "x.png"]], ids=["here", "named"])
def test_a_folder_that_cannot_be_written_costs_nothing(
    gateway: SandboxServer, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    """A folder that cannot be written is a usage error, before anything is sent."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    done = run("generate", "a fox", *options)
    assert (done.exit_code, gateway.requests) == (2, [])
    assert "cannot be written" in done.stderr


def test_one_file_is_read_back_and_has_no_sidecar(here: Path) -> None:
    """A store of one named file finds nothing by id and has nothing noted beside it."""
    (here / "x.png").write_bytes(b"bytes")
    store = OneFile(here / "x.png", overwrite=False)
    assert store.read(str(here / "x.png")) == b"bytes"
    assert list(store.find("abcd1234")) == []
    with pytest.raises(FileNotFoundError):
        store.read_sidecar("x.png")


@pytest.mark.parametrize(
    "prompt",
    [
        pytest.param(b"\xff\xfe", id="not UTF-8"),
        pytest.param(b"", id="empty"),
        pytest.param(b"\n\n", id="blank"),
        pytest.param(b"a caf\xe9", id="Latin-1"),
        pytest.param(b"a fox\0in snow", id="NUL"),
        pytest.param("\u200b\n".encode(), id="invisible"),
    ],
)
def test_unusable_standard_input(gateway: SandboxServer, prompt: bytes) -> None:
    """Standard input that is no text is a usage error, and nothing is sent."""
    assert run("generate", "-", input=prompt).exit_code == 2
    assert gateway.requests == []


@pytest.mark.parametrize(
    "prompt",
    [
        pytest.param("a fox\nin snow\n".encode("utf-16"), id="UTF-16"),
        pytest.param("a fox\nin snow".encode("utf-16-le"), id="UTF-16 without a mark"),
        pytest.param(b"\xef\xbb\xbfa fox\nin snow\n\x1a", id="UTF-8 with a mark and Ctrl-Z"),
    ],
)
def test_a_prompt_of_standard_input_is_read_as_a_file_is(
    gateway: SandboxServer, prompt: bytes
) -> None:
    """Its encoding is known by its mark or its zeros; line ends within it stay."""
    assert run("generate", "-", *_SMALL, input=prompt).exit_code == 0
    [body] = [request.body for request in gateway.requests if request.body]
    assert body["input"]["messages"][0]["content"][0]["text"] == "a fox\nin snow"


@pytest.mark.parametrize("option", ["prompt", "negative prompt"])
def test_an_argument_that_is_not_utf8(gateway: SandboxServer, option: str) -> None:
    """An argument with bytes that are no text is a usage error, and nothing is sent."""
    odd = os.fsdecode(b"\xff fox")
    arguments = [odd] if option == "prompt" else ["a fox", "--negative-prompt", odd]
    done = run("generate", *arguments)
    assert done.exit_code == 2
    assert "lone surrogate" in done.stderr
    assert gateway.requests == []


def test_a_long_prompt_is_noted_once() -> None:
    """That upstream cuts a prompt off is one note on stderr; the image comes all the same."""
    done = run("generate", "fox " * 300, "--sandbox", *_SMALL)
    assert done.exit_code == 0
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(
        "Note: The prompt has 1200 characters; the model reads only the first"
    )


def _no_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_the_link(
    gateway: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image that the disk does not take is told of, with its link, and can be recovered."""
    with monkeypatch.context() as patch:
        patch.setattr("langchain_qwen_image.cli.output_stores.publish", _no_room)
        done = run("generate", "a fox", "-o", "fox.png")
    assert done.exit_code == 1
    assert done.stdout.startswith(gateway.base_url)
    assert "The image is paid for, but not saved: [Errno 28] No space left" in done.stderr
    recovered = run("recover", ".")
    assert (recovered.exit_code, recovered.stdout.splitlines()[-1]) == (0, "1 fetched.")


def test_an_inline_image_is_rescued(
    gateway: SandboxServer, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image that came inside the answer goes elsewhere if the disk does not take it here."""
    monkeypatch.setattr("langchain_qwen_image.cli.output_stores.publish", _no_room)
    done = run("generate", "sandbox:data-uri a fox", "-o", "fox.png")
    assert done.exit_code == 1
    path = Path(done.stdout.splitlines()[0])
    assert here not in path.parents
    assert path.read_bytes().startswith(b"\x89PNG")


def test_json_of_a_failure_is_json(gateway: SandboxServer) -> None:
    """With --json an image that could not be fetched is an artifact too, with its link."""
    done = run("generate", "sandbox:image-404 a", "--json")
    assert done.exit_code == 1
    assert f'"url": "{gateway.base_url}/images/' in done.stdout
    assert done.stderr.startswith("Error: The image is paid for")


@pytest.mark.parametrize("sandbox", [True, False], ids=["sandbox", "paid"])
def test_an_interrupt_says_what_it_may_cost(
    gateway: SandboxServer, monkeypatch: pytest.MonkeyPatch, sandbox: bool
) -> None:
    """Ctrl-C before anything was sent, or twice in the sandbox, costs nothing and says so."""

    async def interrupted(_: Pipeline, arguments: object, call_state: Any) -> None:
        call_state.paying = sandbox
        for _ in range(2 if sandbox else 1):
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(0)
        await asyncio.Event().wait()

    monkeypatch.setattr(Pipeline, "agenerate", interrupted)
    done = run("generate", "a fox", *(["--sandbox"] if sandbox else []))
    assert (done.exit_code, done.stdout) == (130, "")
    assert done.stderr.splitlines()[-1] == "Interrupted. Nothing was bought."
    assert len(done.stderr.splitlines()) == (2 if sandbox else 1)


def test_recovery_on_the_command_line(gateway: SandboxServer, here: Path) -> None:
    """What could not be fetched at first is fetched later, a row each, and then all is well."""
    gateway.script("image-404")
    assert run("generate", "a\x1b[31m [red]fox[/red]\n" + "very " * 50).exit_code == 1
    dry = run("recover", ".", "--dry-run")
    assert dry.stdout.splitlines()[-1] == "1 can be fetched."
    table = run("recover", ".").stdout.splitlines()
    assert len(table) == 3
    assert table[0].split() == ["outcome", "asked", "(UTC)", "prompt", "details"]
    assert table[1].startswith("not fetched  ")
    assert "a [31m [red]fox[/red] very very…  The image is paid for" in table[1]
    assert "Request " in table[1]
    assert table[2] == "1 not fetched."


def test_spend_over_days(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several days end with their sum; where nothing is unknown, nothing is said of it."""
    account = Account(here / "calls.db")
    for day in (1, 2):
        now = int(datetime(2026, 3, day, tzinfo=UTC).timestamp() * 1e6)
        monkeypatch.setattr("langchain_qwen_image.account.sqlite.now_micros", lambda now=now: now)
        price = Decimal("0.045")
        call = NewCall(f"call {day}", "a", {}, "m", "https://g.example", price)
        account.asked(call).result()
        account.sent(call.id, lease_seconds=600).result()
        images = [(f"image {day}", "https://g.example/a", None)]
        account.answered(call.id, request_id=None, cost_usd=price, images=images).result()
    assert [line.split() for line in run("spend", "calls.db").stdout.splitlines()[1:]] == [
        ["2026-03-01", "1", "1", "0", "1", "0", "$0.045"],
        ["2026-03-02", "1", "1", "0", "1", "0", "$0.045"],
        ["all", "2", "2", "0", "2", "0", "$0.09"],
    ]


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        pytest.param(OSError(errno.EADDRINUSE, "port 1 is in use"), "in use", id="of the system"),
        pytest.param(None, "There is no account", id="ours"),
    ],
)
def test_expected_errors(
    monkeypatch: pytest.MonkeyPatch, outcome: OSError | None, says: str
) -> None:
    """What a user can run into is one line on stderr, without a traceback."""

    def serve(*_: object, **__: object) -> None:
        raise outcome or AssertionError

    monkeypatch.setattr("langchain_qwen_image.sandbox.SandboxServer", serve)
    done = run("sandbox") if outcome else run("recover", "nowhere")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "error", [RuntimeError("a bug"), BrokenPipeError()], ids=["bug", "broken pipe"]
)
def test_unexpected_errors_are_not_hidden(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """A bug keeps its traceback, and a reader that has gone is left to Typer."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("langchain_qwen_image.recovery.recover", fail)
    done = run("recover", ".")
    assert done.exit_code == 1
    assert "Error:" not in done.stderr
    if isinstance(error, RuntimeError):
        assert done.exception is error


def test_an_interrupt_anywhere_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in any command, or while modules are imported, is exit status 130."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("langchain_qwen_image.recovery.recover", interrupted)
    done = run("recover", ".")
    assert (done.exit_code, done.stderr) == (130, "Interrupted.\n")
    monkeypatch.setattr("langchain_qwen_image.cli.run", interrupted)
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 130


def test_main_survives_a_terminal_without_chinese(
    monkeypatch: pytest.MonkeyPatch, gateway: SandboxServer
) -> None:
    """A character that the terminal's encoding lacks is written out, and no error."""
    screen = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "argv", ["qwen-image", "generate", "狐", "-o", "狐.png"])
    monkeypatch.setattr(logging.getLogger("langchain_qwen_image"), "handlers", [])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code in (0, None)
    screen.seek(0)
    assert screen.read().startswith("\\u72d0.png\n1328×1328 PNG")


def test_main_without_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Typer or Rich the command says what to install."""
    monkeypatch.setitem(sys.modules, "rich", None)
    with pytest.raises(SystemExit) as exit_:
        main()
    assert "pip install 'langchain-qwen-image[cli]'" in str(exit_.value.code)


@pytest.mark.usefixtures("eighty_columns")
def test_waiting_is_seen_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal shows what is waited for and for how long; a pipe shows nothing."""
    screen, pipe = _Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    with waiting("Waiting,"):
        pass
    monkeypatch.setattr(sys, "stderr", pipe)
    with waiting("Waiting,"):
        pass
    assert "Waiting, 0 s" in screen.getvalue()
    assert pipe.getvalue() == ""


@pytest.mark.usefixtures("eighty_columns")
def test_a_table_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a table has a rule and keeps to its width; markup in it stays text."""
    screen = _Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    show_table(("name", "text"), [("[red]a", "word " * 60)])
    head, rule, *rows = screen.getvalue().splitlines()
    assert "name" in head
    assert set(rule.strip()) == {"─"}
    assert len(rows) > 2
    assert all(len(row) <= 80 for row in rows)
    assert "[red]a" in rows[0]


@pytest.mark.parametrize("columns", [60, 40])
def test_a_narrow_terminal_gets_a_block_per_row(
    monkeypatch: pytest.MonkeyPatch, eighty_columns: None, columns: int
) -> None:
    """Where a table has no room, each row is a block of named lines that fit, whole words in it."""
    monkeypatch.setenv("COLUMNS", str(columns))
    screen = _Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    why = "The image is paid for, but its link has expired. " * 3
    row = ("not fetched", "2026-11-29 05:30", "A lighthouse on a cliff at dusk", why)
    show_table(("outcome", "asked (UTC)", "prompt", "details"), [row, row])
    lines = screen.getvalue().splitlines()
    assert all(len(line) <= columns for line in lines)
    assert lines[0] == "outcome      not fetched"
    assert lines[1] == "asked (UTC)  2026-11-29 05:30"
    assert lines.count("") == 1, "one blank line between two blocks"
    assert " ".join("".join(lines[3 : lines.index("")]).split()).count("expired") == 3


def test_a_piped_table_has_a_line_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe a row is one line, however long, columns are aligned and numbers flush right."""
    show_table(("day", "paid"), [("a", "7"), ("b " * 200, "12")], numbers=True)
    head, first, second = capsys.readouterr().out.splitlines()
    assert len(head) == len(first) == len(second)
    assert (first[-2:], second[-2:]) == (" 7", "12")
    assert "\x1b" not in head + first + second


@given(st.text(), st.none() | st.integers(1, 60))
def test_one_line_is_one_line(text: str, longest: int | None) -> None:
    """Any text becomes one line of printable characters, no longer than asked for."""
    line = one_line(text, longest)
    assert line.isprintable()
    assert line == line.strip()
    assert longest is None or len(line) <= longest


@pytest.mark.parametrize(
    ("usd", "written"),
    [
        pytest.param(Decimal("0"), "$0.00", id="nothing"),
        pytest.param(Decimal("0.045"), "$0.045", id="an image"),
        pytest.param(Decimal("0.090"), "$0.09", id="two images"),
        pytest.param(Decimal("0.1"), "$0.10", id="a dime"),
        pytest.param(0.1 + 0.2, "$0.30000000000000004", id="a float as it is"),
        pytest.param(0.045, "$0.045", id="a float"),
        pytest.param(Decimal("1E+3"), "$1,000.00", id="an exponent"),
        pytest.param(Decimal("1440.5"), "$1,440.50", id="thousands"),
        pytest.param(Decimal("0.0000001"), "$0.0000001", id="very little"),
    ],
)
def test_amounts_have_two_decimals_at_least(usd: Decimal | float, written: str) -> None:
    """An amount is exact, with two decimals or as many more as it needs."""
    assert dollars(usd) == written


COMMANDS = (
    *("generate", "batch", "recover", "spend", "gallery", "sandbox", "doctor", "mcp"),
    *("fleet enqueue", "fleet work", "fleet status", "fleet settle"),
)


def test_every_command_is_in_the_tables_here() -> None:
    """The tests of help and usage know each command."""
    registered = {one.callback.__name__ for one in app.registered_commands if one.callback}
    for group in app.registered_groups:
        of_group = group.typer_instance.registered_commands if group.typer_instance else []
        registered |= {f"{group.name} {one.callback.__name__}" for one in of_group if one.callback}
    assert registered - {"check"} == {*COMMANDS}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_the_exit_statuses(command: str) -> None:
    """The help of each command says what its exit status means."""
    said = " ".join(run(*command.split(), "--help").stdout.split())
    assert re.search(r"Exit status: \d", said)
    assert "2 for a usage error" in said


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["generate"], id="an argument is missing"),
        pytest.param(["generate", "a", "--such"], id="no such option"),
        pytest.param(["generate", "a", "--size", "9x9"], id="a size"),
        pytest.param(["generate", " "], id="a blank prompt"),
        pytest.param(["generate", "a", "-o", "no/such.png"], id="no folder"),
        pytest.param(["generate", "a", "-o", "s3://b/"], id="an address"),
        pytest.param(["batch", "p.doc", "--out", "x", "--sandbox"], id="an unknown extension"),
        pytest.param(["batch", "p.txt", "--out", "x", "--sandbox"], id="a file that is missing"),
        pytest.param(["batch", "p.txt", "--out", "x", "--format", "xml"], id="an unknown format"),
        pytest.param(["batch", "p.txt", "--out", os.fsdecode(b"\xff")], id="not UTF-8"),
        pytest.param(["batch", "p.txt", "--out", "n" * 300], id="a long name"),
        pytest.param(["sandbox", "--port", "-1"], id="a port"),
        pytest.param(["such"], id="no such command"),
    ],
)
def test_usage_errors_have_one_style(arguments: list[str]) -> None:
    """The usage, where the help is, and one sentence after `Error: `; exit status 2."""
    done = run(*arguments)
    assert done.exit_code == 2
    usage, hint, blank, error, *more = done.stderr.splitlines()
    assert usage.startswith("Usage: ")
    assert hint.startswith("Try '")
    assert blank == ""
    assert error.startswith("Error: ")
    assert error.count("Error") == 1
    assert "save_to" not in error
    assert more == []


@pytest.mark.parametrize("command", ["generate", "batch"])
@pytest.mark.parametrize(
    ("variable", "option", "is_free"),
    [
        pytest.param("1", None, True, id="the environment's"),
        pytest.param("1", "--no-sandbox", False, id="the option wins over 1"),
        pytest.param("0", "--sandbox", True, id="the option wins over 0"),
        pytest.param("0", None, False, id="off"),
        pytest.param("", None, False, id="unset"),
    ],
)
def test_the_environment_turns_the_sandbox_on(
    gateway: SandboxServer,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    variable: str,
    option: str | None,
    is_free: bool,
) -> None:
    """PIXAZO_SANDBOX holds where no option is given, and then a note says so."""
    monkeypatch.setenv("PIXAZO_SANDBOX", variable)
    (here / "p.txt").write_text("a fox\n")
    words = ["a fox"] if command == "generate" else ["p.txt", "--out", "out", "--yes"]
    done = run(command, *words, *_SMALL, *([option] if option else []))
    assert done.exit_code == 0
    assert gateway.gateway.post_count == (0 if is_free else 1)
    assert ("PIXAZO_SANDBOX is set" in done.stderr) == (variable == "1" and option is None)


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [
        pytest.param(_KEY, 0o600, None, id="good"),
        pytest.param(_KEY, 0o644, "chmod 600", id="readable by others"),
        pytest.param("", 0o600, "No API key", id="empty"),
        pytest.param("a b", 0o600, "no HTTP header can carry", id="a space"),
    ],
)
def test_the_key_is_found_in_its_file(
    gateway: SandboxServer,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: str,
    mode: int,
    says: str | None,
) -> None:
    """A command uses the key file, or says what is wrong with it before anything is sent."""
    monkeypatch.delenv("PIXAZO_API_KEY")
    monkeypatch.setenv("HOME", str(here / "home"))
    file = here / "home" / ".pixazo" / "api-key"
    file.parent.mkdir(parents=True)
    file.write_text(content)
    file.chmod(mode)
    done = run("generate", "a fox", *_SMALL)
    assert done.exit_code == (0 if says is None else 1)
    assert gateway.gateway.post_count == (1 if says is None else 0)
    assert says is None or (done.stderr.startswith("Error: ") and says in done.stderr)
    assert _KEY not in done.output


_TYPER = tuple(map(int, version("typer").split(".")[:2]))
_HEAVY = {"asyncio", "httpx", "langchain_core", "sqlite3"}
_HEAVY |= {"rich.table"} if _TYPER >= (0, 22) else set()  # below 0.22 Typer loads it for help


@pytest.mark.parametrize("command", thinned(["", *COMMANDS], quick=3))
def test_help_loads_no_more_than_it_shows(command: str) -> None:
    """The help of no command loads asyncio, SQLite or HTTP: its time is Typer's."""
    script = (
        "import sys\nfrom langchain_qwen_image.cli import app\n"
        f"heavy = {_HEAVY}\n"
        "heavy |= {'pydantic'} if len(sys.argv) == 2 else set()\n"  # Typer's, for options' types
        "try: app(sys.argv[1:], prog_name='qwen-image')\n"
        "except SystemExit: print('loaded', *sorted(heavy & {*sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *command.split(), "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    assert done.stdout.splitlines()[-1] == "loaded"


def test_paths_are_shown_as_seen_from_here(here: Path) -> None:
    """A path inside the current folder is shown without it, any other whole."""
    assert shown(here / "a" / "b.png") == str(Path("a/b.png"))
    assert shown(here.parent / "b.png") == str(here.parent / "b.png")


@pytest.mark.parametrize(
    ("options", "shape"),
    [([], "output"), (["--shape", "images"], "images")],
    ids=["usual", "shape"],
)
def test_sandbox_says_how_to_use_it(
    monkeypatch: pytest.MonkeyPatch, options: list[str], shape: str
) -> None:
    """The server's address, a command to try and every scenario are printed before it waits."""
    served: list[int] = []
    answered: list[list[str]] = []

    def interrupted() -> None:
        served.append(httpx.get(f"{served_at()}/").status_code)
        answer = httpx.post(
            f"{served_at()}/qwen-image/v1/generateMultimodeTextToImageRequest",
            headers={"Ocp-Apim-Subscription-Key": "k", "Cache-Control": "no-cache"},
            json={
                "model": "qwen-image",
                "input": {"messages": [{"role": "user", "content": [{"text": "a fox"}]}]},
            },
        ).json()
        answered.append([name for name in ("output", "images") if name in answer])
        raise KeyboardInterrupt

    def served_at() -> str:
        return re.search(r"http://127\.0\.0\.1:\d+", screen.getvalue())[0]

    screen = io.StringIO()
    monkeypatch.setattr(typer, "echo", lambda text, **_: print(text, file=screen))
    event = SimpleNamespace(wait=interrupted)
    module = sys.modules["langchain_qwen_image.cli.sandbox"]
    monkeypatch.setattr(module, "threading", SimpleNamespace(Event=lambda: event))
    assert run("sandbox", "--port", "0", *options).exit_code == 130
    assert served == [404]
    assert {*re.findall(r"^sandbox:(\S+)", screen.getvalue(), re.MULTILINE)} == {*SCENARIOS}
    assert f"PIXAZO_BASE_URL={served_at()} PIXAZO_API_KEY=" in screen.getvalue()
    assert answered == [[shape]]
    with pytest.raises(httpx.ConnectError):
        httpx.get(served_at())
