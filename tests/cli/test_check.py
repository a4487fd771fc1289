"""`qwen-image check --live` against the sandbox server: what is sent, booked, said and written."""

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import vcr
import warm
from books import books
from held import HeldServer
from loopback import LoopbackServer, answer
from thinned import thinned
from typer.testing import CliRunner
from waiting import PATIENCE, wait_until

from cassettes import match_header_names, our_vcr_config
from langchain_qwen_image import QwenImageGenerator
from langchain_qwen_image.account import Account
from langchain_qwen_image.cli import app
from langchain_qwen_image.sandbox import SandboxServer

KEY = "sk_live_0123456789abcdef-secret"
PNG = b"\x89PNG\r\n\x1a\n"
_ORDINARY = {"Watermark"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, with a key."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIXAZO_API_KEY", KEY)
    return tmp_path


def check(base_url: str, *options: str, **variables: str) -> tuple[int, str]:
    """Run the command; return its exit status and all that it printed."""
    run = CliRunner().invoke(
        app, ["check", *options], env={"PIXAZO_BASE_URL": base_url, **variables}
    )
    assert run.exception is None or isinstance(run.exception, SystemExit), run.exc_info
    return run.exit_code, run.output


def live(base_url: str, *options: str) -> tuple[int, str]:
    """Run a live check without a question."""
    return check(base_url, "--live", "--yes", "-o", "out", *options)


def report() -> dict[str, Any]:
    """Return the report that was written."""
    made: dict[str, Any] = json.loads(Path("out/live-check.json").read_text(encoding="utf-8"))
    return made


def named(verdict: str) -> set[str]:
    """Return the names of the assumptions that got a verdict."""
    return {one["name"] for one in report()["assumptions"] if one["verdict"] == verdict}


def states() -> list[str]:
    """Return the states of the calls in the account of the check, oldest first."""
    calls = Account(books(Path("out"))).calls()
    return [call.state for call in sorted(calls, key=lambda call: call.created_at)]


def assert_no_secret(server: SandboxServer) -> None:
    """Look for the key and for what signs a link in every file that is meant to be shown."""
    queries = [image.url.partition("?")[2] for image in server.images]
    signed = [field.partition("=")[2] for query in queries for field in query.split("&")]
    secrets = [KEY, *(value for value in signed if len(value) > 20)]
    for path in Path("out").iterdir():
        if path.suffix in {".md", ".yaml"} or path.name == "live-check.json":
            text = path.read_text(encoding="utf-8")
            assert [one for one in secrets if one in text] == [], path.name


def test_every_assumption_holds(server: SandboxServer) -> None:
    """A gateway by the document: two POSTs, one of them paid, one image, exit 0, three files."""
    status, printed = live(server.base_url)
    assert (status, named("differs")) == (0, set())
    assert named("unknown") == _ORDINARY
    assert server.gateway.post_count == 2
    assert states() == ["refused", "saved"]
    _, post, fetch = server.requests
    assert "ocp-apim-subscription-key" not in fetch.headers
    assert post.body["parameters"]["size"] == "512*512"
    made = report()
    assert (made["all_hold"], made["posts"], made["is_live"]) == (True, 2, False)
    assert made["spent"] == "1 image paid for, $0.045 by the price list"
    assert "Maximum cost: $0.045 by the price list." in printed
    assert "1 image paid for, $0.045 by the price list." in printed
    assert_no_secret(server)


def test_the_second_documented_shape_holds_too() -> None:
    """The owner's other success body is an assumption as well; what it leaves out is unknown."""
    with SandboxServer(shape="images") as server:
        status, _ = live(server.base_url)
        assert_no_secret(server)
    assert status == 0
    (shape,) = [one for one in report()["assumptions"] if one["name"] == "Success shape"]
    assert shape["found"] == "images[].url"
    assert named("unknown") == _ORDINARY | {"finish_reason", "request_id", "task_metric", "usage"}


@pytest.mark.parametrize(
    ("scenario", "differs"),
    thinned(
        [
            pytest.param("upstream-usage", set(), id="upstream-usage"),
            pytest.param("null-error", set(), id="null-error"),
            pytest.param("queued", {"Synchronous", "Success shape"}, id="queued"),
            pytest.param(
                "raw-bytes", {"Content-Type", "Body", "Success shape", "Link"}, id="raw-bytes"
            ),
            pytest.param("media-url", {"Success shape"}, id="media-url"),
            pytest.param("output-link", {"Success shape"}, id="output-link"),
            pytest.param("image-url", {"Success shape"}, id="image-url"),
            pytest.param("content-object", {"Success shape"}, id="content-object"),
            pytest.param("data-uri", {"Link"}, id="data-uri"),
            pytest.param("base64", {"Link"}, id="base64"),
            pytest.param(
                "two-images", {"Images", "Text next to the image", "task_metric", "usage"}, id="two"
            ),
            pytest.param("text-beside", {"Text next to the image"}, id="text-beside"),
            pytest.param("same-link", {"Images"}, id="same-link"),
            pytest.param("json-in-string", {"Body"}, id="json-in-string"),
            pytest.param("json-and-more", {"Body"}, id="json-and-more"),
            pytest.param("event-stream", {"Content-Type", "Body"}, id="event-stream"),
            pytest.param("utf-16", {"Body"}, id="utf-16"),
            pytest.param("x-gzip", {"Coding"}, id="x-gzip"),
            pytest.param("false-gzip", {"Coding"}, id="false-gzip"),
            pytest.param("false-br", {"Coding"}, id="false-br"),
            pytest.param("unfinished", {"Content-Length"}, id="unfinished"),
            pytest.param("relative-link", {"Link"}, id="relative-link"),
            pytest.param("no-scheme", {"Link"}, id="no-scheme"),
            pytest.param("untrimmed-link", {"Link"}, id="untrimmed-link"),
            pytest.param("image-aws-chunked", {"Image's coding"}, id="aws-chunked"),
            pytest.param("image-binary", {"Image's coding"}, id="image-binary"),
            pytest.param("image-redirect", {"Image's response"}, id="image-redirect"),
            pytest.param("image-404", {"Image saved", "Image's response"}, id="image-404"),
            pytest.param(
                "expired", {"Link's lifetime", "Image saved", "Image's response"}, id="expired"
            ),
            pytest.param("jpeg", {"Image's Content-Type", "Type"}, id="jpeg"),
            pytest.param("quota", {"Success"}, id="quota"),
            pytest.param("firewall", {"Success"}, id="firewall"),
            pytest.param("500", {"Success"}, id="500"),
            pytest.param("malformed", {"Success", "Content-Type"}, id="malformed"),
            pytest.param("unknown-shape", {"Success"}, id="unknown-shape"),
            pytest.param("truncated", {"Success", "Content-Length"}, id="truncated"),
            pytest.param("drop", {"Success"}, id="drop"),
            pytest.param("queued-failed", {"Success", "Synchronous"}, id="queued-failed"),
        ],
        quick=5,
    ),
)
def test_what_differs(server: SandboxServer, scenario: str, differs: set[str]) -> None:
    """Each odd answer is told by name and is exit status 1; it is one paid POST all the same."""
    server.script(scenario)
    status, _ = live(server.base_url)
    if scenario == "jpeg":  # the plain drawings of this server are PNG whatever is asked for
        differs = differs & named("differs") | {"Image's Content-Type"}
    assert named("differs") == differs
    assert status == (1 if differs else 0)
    assert server.gateway.post_count == report()["posts"] == 2
    if server.images:
        assert_no_secret(server)


@pytest.mark.parametrize(
    ("scenario", "booked", "spent"),
    [
        pytest.param("quota", "refused", "nothing was paid", id="insufficient"),
        pytest.param("429-once", "refused", "nothing was paid", id="not-repeated"),
        pytest.param(
            "drop", "unknown", "1 request may have been billed, at most $0.045", id="lost"
        ),
        pytest.param(
            "two-images", "saved", "2 images paid for, $0.09 by the price list", id="two-images"
        ),
    ],
)
def test_what_is_booked(server: SandboxServer, scenario: str, booked: str, spent: str) -> None:
    """The account in the folder says what the check cost, and so does the report."""
    server.script(scenario)
    live(server.base_url)
    assert states() == ["refused", booked]
    assert report()["spent"] == spent


def test_bad_size(server: SandboxServer) -> None:
    """A size is probed only if asked for, after the image; the price stated is that of two."""
    status, printed = live(server.base_url, "--probe-size")
    assert status == 0
    assert "Maximum cost: $0.09 by the price list." in printed
    posts = [one.body["parameters"]["size"] for one in server.requests if one.method == "POST"]
    assert posts == ["512*512", "512*512", "500*500"]
    assert states() == ["refused", "saved", "refused"]
    assert "Size 500*500" in named("holds")


def test_no_bad_size_without_an_image(server: SandboxServer) -> None:
    """If the image was not bought, nothing else is asked for."""
    server.script("quota")
    status, _ = live(server.base_url, "--probe-size")
    assert (status, server.gateway.post_count) == (1, 2)


def test_a_bad_size_may_be_taken() -> None:
    """A gateway that maps sizes bills the probe: it differs, and is booked and saved like any."""
    refusal = answer(401, {"error": "no"})
    with SandboxServer() as images:
        QwenImageGenerator(
            api_key=KEY, base_url=images.base_url, save_to="other", size="512*512"
        ).invoke("a fox")
        link = images.images[0].url
        success = {"images": [{"url": link}]}
        with LoopbackServer(refusal, answer(200, success)) as gateway:
            status, _ = live(gateway.base_url, "--probe-size")
            posts = len(gateway.posts)
    assert (status, posts) == (1, 3)
    assert "Size 500*500" in named("differs")
    assert states() == ["refused", "saved", "saved"]
    assert report()["spent"] == "2 images paid for, $0.09 by the price list"


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(answer(200, {"images": [{"url": "https://127.0.0.1:1/a.png"}]}), id="image"),
        pytest.param(answer(400, {"error": "Invalid request parameters"}), id="400"),
        pytest.param(answer(403, b"<html>The request is blocked.</html>"), id="firewall"),
        pytest.param(answer(401, b"<html>Log in</html>"), id="portal"),
        pytest.param(answer(429, {"error": "Rate limit exceeded"}), id="429"),
        pytest.param(answer(503, {"error": "busy"}), id="503"),
        pytest.param(answer(500, b"Error processing request"), id="500"),
        pytest.param(b"", id="no-answer"),
    ],
)
def test_a_wrong_key_that_is_not_refused(said: bytes) -> None:
    """The check stops and says so: the key itself is never sent, and no image is bought."""
    with LoopbackServer(said) as gateway:
        status, printed = live(gateway.base_url, "--probe-size")
        requests = b"".join(gateway.requests)
    assert (status, requests.count(b"POST ")) == (1, 1)
    assert KEY.encode() not in requests
    assert named("differs") == {"Wrong key"}
    assert "Stopped: the wrong key was not refused, so no image was bought." in printed
    assert "Stopped" in Path("out/live-check.md").read_text(encoding="utf-8")


def test_the_cassette_replays(server: SandboxServer, here: Path) -> None:
    """The cassette gives the image again to a generator, without a gateway, and wholly played."""
    live(server.base_url)
    server.close()
    recorder = vcr.VCR(record_mode="none", **our_vcr_config())
    recorder.register_matcher("header_names", match_header_names)
    with recorder.use_cassette(str(here / "out/success.yaml")) as cassette:
        generator = QwenImageGenerator(
            base_url=server.base_url, api_key="other", size="512*512", save_to="again"
        )
        image = generator.invoke("a red fox in the snow").image
        assert cassette.all_played
    assert image.path is not None
    (bought,) = Path("out").glob("*.png")
    assert Path(image.path).read_bytes() == bought.read_bytes()


def test_a_timeout(server: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that does not come may be billed: it is booked so, and nothing is repeated."""
    monkeypatch.setattr(sys.modules["langchain_qwen_image.cli.check"], "_TIMEOUT", 1.0)
    server.script("timeout")
    status, printed = live(server.base_url, "--probe-size")
    assert (status, states(), server.gateway.post_count) == (1, ["refused", "unknown"], 2)
    assert "1 request may have been billed, at most $0.045." in printed
    assert "no answer, RequestTimeoutError" in printed


@pytest.mark.parametrize(
    ("options", "variables", "says"),
    [
        pytest.param(["--yes"], {}, "Pass --live", id="not-live"),
        pytest.param(["--live"], {}, "pass --yes", id="no-terminal"),
        pytest.param(["--live", "--yes"], {"PIXAZO_API_KEY": ""}, "PIXAZO_API_KEY", id="no-key"),
        pytest.param(["--live", "--yes"], {"PIXAZO_SANDBOX": "1"}, "Unset it", id="sandbox"),
        pytest.param(["--live", "--yes"], {"PIXAZO_SANDBOX": "x"}, "PIXAZO_SANDBOX", id="odd"),
        pytest.param(["--live", "--yes", "-o", "file"], {}, "file", id="no-folder"),
        pytest.param(["--live", "--yes", "-o", "old"], {}, "live-check.json exists", id="old"),
    ],
)
def test_usage(
    server: SandboxServer, options: list[str], variables: dict[str, str], says: str
) -> None:
    """What cannot be checked is exit status 2, with what to do; nothing is sent."""
    Path("file").touch()
    Path("old").mkdir()
    Path("old/live-check.json").touch()
    status, printed = check(server.base_url, *options, **variables)
    assert status == 2
    assert says in re.sub(r"[\s│]+", " ", printed)
    assert server.requests == []


def test_asking_on_a_terminal(server: SandboxServer) -> None:
    """A person is asked after the price, and sends nothing by saying no."""
    master, slave = os.openpty()
    run = warm.Popen(
        [sys.executable, "-m", "langchain_qwen_image", "check", "--live"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "PIXAZO_BASE_URL": server.base_url, "TERM": "dumb"},
    )
    os.close(slave)
    shown = b""
    while b"Continue?" not in shown:
        shown += os.read(master, 65536)
    assert b"Maximum cost: $0.045" in shown
    os.write(master, b"n\n")
    assert run.wait(PATIENCE) == 1
    os.close(master)
    assert server.requests == []


class Command:
    """A live check in a process of its own, against a gateway that holds its answers back."""

    def __init__(self, base_url: str) -> None:
        """Start it."""
        with Path("stdout").open("wb") as out, Path("stderr").open("wb") as err:
            self.process = warm.Popen(
                [
                    *(sys.executable, "-m", "langchain_qwen_image"),
                    *("check", "--live", "--yes", "--probe-size", "-o", "out"),
                ],
                stdout=out,
                stderr=err,
                env={**os.environ, "PIXAZO_BASE_URL": base_url},
            )

    def interrupt(self, number: int) -> None:
        """Send a signal, and wait until it is noticed."""
        self.process.send_signal(number)
        wait_until(
            lambda: (
                "Waiting for the answer" in Path("stderr").read_text()
                or self.process.poll() is not None
            )
        )


class HeldImages(HeldServer):
    """A gateway that refuses a wrong key at once, and holds back its other answers."""

    def _say(self, request: bytes) -> bytes:
        is_wrong = b"-key: invalid\r\n" in request.lower()
        return answer(401, {"error": "no"}) if is_wrong else super()._say(request)


@pytest.fixture
def held() -> Iterator[HeldServer]:
    """Serve a gateway that holds back the answers to what it accepts."""
    with HeldImages() as server:
        yield server


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_waits_for_what_was_sent(held: HeldServer, number: int) -> None:
    """The image that was asked for is saved and reported, and nothing is asked for after it."""
    run = Command(held.base_url)
    wait_until(lambda: held.gateway.post_count == 1)
    run.interrupt(number)
    held.release()
    assert run.process.wait(PATIENCE) == 128 + number
    assert states() == ["refused", "saved"]
    assert held.gateway.post_count == 1
    assert report()["interrupted"]
    assert not report()["all_hold"]


def test_the_second_signal_leaves(held: HeldServer) -> None:
    """Nothing is waited for; the report says what may be billed."""
    run = Command(held.base_url)
    wait_until(lambda: held.gateway.post_count == 1)
    run.interrupt(signal.SIGINT)
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(PATIENCE) == 130
    made = report()
    assert (made["posts"], made["interrupted"]) == (2, True)
    assert made["spent"] == "1 request may have been billed, at most $0.045"
