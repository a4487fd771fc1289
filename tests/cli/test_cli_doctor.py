"""`qwen-image doctor`: what is well, what is unsure, what fails; as a person runs it."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
import time
from email.utils import formatdate
from pathlib import Path

import pytest
import warm
from loopback import LoopbackServer, answer, free_port, self_signed
from typer.testing import CliRunner
from waiting import PATIENCE

from langchain_qwen_image.cli import app
from langchain_qwen_image.sandbox import SandboxServer

KEY = "sk_live_0123456789abcdef-secret"
_VARIABLES = (
    *("PIXAZO_API_KEY", "PIXAZO_BASE_URL", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
)


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start without variables that matter."""
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)


def doctor(*arguments: str | Path, **variables: str) -> tuple[int, str]:
    """Run the command; return its exit status and all that it printed."""
    run = CliRunner().invoke(app, ["doctor", *map(str, arguments)], env=variables)
    assert run.exception is None or isinstance(run.exception, SystemExit)
    assert KEY not in run.output
    return run.exit_code, run.output


def level_of(printed: str, topic: str) -> str | None:
    """Return what is said of a topic: ok, unsure, fails; None if it is not there."""
    found = re.search(rf"^(\w+) +{topic} ", printed, re.MULTILINE)
    return found[1] if found else None


def text_of(printed: str, topic: str) -> str:
    """Return what is said about a topic."""
    found = re.search(rf"^\w+ +{topic} +(.+)$", printed, re.MULTILINE)
    assert found
    return found[1]


def test_all_is_well(tmp_path: Path, server: SandboxServer) -> None:
    """With a key, a gateway that answers and a folder, nothing fails; nothing is paid or left."""
    folder = tmp_path / "images"
    folder.mkdir()
    status, printed = doctor(
        "--save-to", folder, PIXAZO_API_KEY=KEY, PIXAZO_BASE_URL=server.base_url
    )
    assert status == 0
    for topic in ("Key", "Address", "Proxy", "Gateway", "Clock", "SQLite", "Folder", "Room"):
        assert level_of(printed, topic) == "ok", topic
    assert "PIXAZO_API_KEY" in text_of(printed, "Key")
    assert text_of(printed, "Address") == f"{server.base_url} (PIXAZO_BASE_URL)"
    assert list(folder.iterdir()) == []
    assert [request.method for request in server.requests] == ["HEAD"]
    assert KEY not in str([request.headers for request in server.requests])
    assert server.gateway.post_count == 0


def test_the_sandbox_asks_for_no_key(tmp_path: Path) -> None:
    """With the sandbox neither key nor network is looked at; a bad folder still fails."""
    status, printed = doctor("--sandbox")
    assert status == 0
    assert level_of(printed, "Key") == "ok"
    assert "Gateway" not in printed
    (tmp_path / "taken").touch()
    status, printed = doctor("--sandbox", "--save-to", tmp_path / "taken")
    assert (status, level_of(printed, "Folder")) == (1, "fails")


@pytest.mark.parametrize(
    ("variables", "topic", "says"),
    [
        pytest.param({"PIXAZO_API_KEY": ""}, "Key", "PIXAZO_API_KEY", id="no-key"),
        pytest.param({"PIXAZO_API_KEY": "a b"}, "Key", "spaces", id="key-with-a-space"),
        pytest.param({"PIXAZO_BASE_URL": "http://a.test"}, "Address", "https", id="plain-http"),
        pytest.param(
            {"PIXAZO_BASE_URL": "https://127.0.0.1:9", "SSL_CERT_FILE": "/no/such.pem"},
            "Network",
            "SSL_CERT_FILE",
            id="no-ca",
        ),
        pytest.param(
            {"PIXAZO_BASE_URL": "https://a.test", "HTTPS_PROXY": "ftp://a.test"},
            "Network",
            "HTTPS_PROXY",
            id="proxy",
        ),
        pytest.param(
            {"PIXAZO_BASE_URL": "https://gateway.invalid"}, "Gateway", "resolve", id="no-name"
        ),
        pytest.param(
            {"PIXAZO_BASE_URL": f"http://127.0.0.1:{free_port()}"},
            "Gateway",
            "refused",
            id="closed",
        ),
    ],
)
def test_what_fails(
    server: SandboxServer, variables: dict[str, str], topic: str, says: str
) -> None:
    """What makes every call fail is red, says what to look at, and is the exit status 1."""
    usual = {"PIXAZO_API_KEY": KEY, "PIXAZO_BASE_URL": server.base_url}
    status, printed = doctor(**(usual | variables))
    assert (status, level_of(printed, topic)) == (1, "fails")
    assert says in text_of(printed, topic)
    assert "Failing: 1" in printed
    assert "nothing was sent" not in printed.lower()


@pytest.mark.parametrize(
    ("ahead", "level", "says"),
    [
        pytest.param(0, "ok", "correct", id="right"),
        pytest.param(-36 * 3600, "unsure", "2160 min ahead of", id="ahead"),
        pytest.param(3 * 3600, "unsure", "180 min behind", id="behind"),
        pytest.param(None, "unsure", "no date", id="no-date"),
    ],
)
def test_clock(ahead: float | None, level: str, says: str) -> None:
    """The clock is compared with the gateway's; a wrong one is unsure, and fails nothing."""
    date = {} if ahead is None else {"Date": formatdate(time.time() + ahead, usegmt=True)}
    with LoopbackServer(answer(401, {"error": "no"}, **date)) as gateway:
        status, printed = doctor(PIXAZO_API_KEY=KEY, PIXAZO_BASE_URL=gateway.base_url)
    assert (status, level_of(printed, "Clock")) == (0, level)
    assert says in text_of(printed, "Clock")
    assert level_of(printed, "Gateway") == "ok"


def test_what_answers_may_not_be_http() -> None:
    """A server that answers something else is said to."""
    with LoopbackServer(b"SSH-2.0-OpenSSH\r\n") as gateway:
        status, printed = doctor(PIXAZO_API_KEY=KEY, PIXAZO_BASE_URL=gateway.base_url)
    assert status == 1
    assert "does not speak HTTP" in text_of(printed, "Gateway")


def test_certificates(tmp_path: Path) -> None:
    """A certificate that nothing vouches for fails with its reason, and passes once it is named."""
    tls, certificate = self_signed(tmp_path)
    with LoopbackServer(answer(404), tls=tls) as gateway:
        settings = {"PIXAZO_API_KEY": KEY, "PIXAZO_BASE_URL": gateway.base_url}
        status, printed = doctor(**settings)
        assert status == 1
        assert "certificate is not trusted" in text_of(printed, "Gateway")
        status, printed = doctor(**settings, SSL_CERT_FILE=str(certificate))
        assert (status, level_of(printed, "Gateway")) == (0, "ok")
        assert "SSL_CERT_FILE" in text_of(printed, "Certificates")


def test_an_https_gateway_that_speaks_plain_http() -> None:
    """What should be https and is not is said, without a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with contextlib.suppress(ConnectionResetError), connection:
                connection.recv(1)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                while connection.recv(65536):
                    pass

        peer = threading.Thread(target=serve)
        peer.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        status, printed = doctor(PIXAZO_API_KEY=KEY, PIXAZO_BASE_URL=url)
        peer.join()
    assert status == 1
    assert "TLS failed" in text_of(printed, "Gateway")


def test_proxy(tmp_path: Path) -> None:
    """The gateway is reached by the proxy that the environment names; its password is not shown."""
    tls, certificate = self_signed(tmp_path)
    with LoopbackServer(answer(404), tls=tls, tunnels=True) as proxy:
        status, printed = doctor(
            PIXAZO_API_KEY=KEY,
            PIXAZO_BASE_URL="https://gateway.test",
            HTTPS_PROXY=f"http://me:{KEY}@127.0.0.1:{proxy.port}",
            SSL_CERT_FILE=str(certificate),
        )
        connected = [request for request in proxy.requests if request.startswith(b"CONNECT ")]
    assert (status, level_of(printed, "Gateway")) == (0, "ok")
    assert text_of(printed, "Proxy").endswith(f"127.0.0.1:{proxy.port} for the gateway.")
    assert connected[0].startswith(b"CONNECT gateway.test:443 ")
    assert b"Proxy-Authorization: Basic " in connected[0]


@pytest.mark.parametrize("made", [False, True], ids=["missing", "there"])
def test_folder(tmp_path: Path, made: bool) -> None:
    """A folder that is there is written, one that is not is not made; nothing is left behind."""
    folder = tmp_path / "a" / "b"
    if made:
        folder.mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    status, printed = doctor("--sandbox", "--save-to", folder)
    assert (status, level_of(printed, "Folder"), level_of(printed, "Locks")) == (0, "ok", "ok")
    assert ("can be written" in printed) == made
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "says"),
    [
        pytest.param("gcs://bucket/x", "address", id="address"),
        pytest.param("n" * 300, "too long", id="long"),
        pytest.param(os.fsdecode(b"f\xe9"), "UTF-8", id="latin-1"),
    ],
)
def test_names_that_cannot_be(tmp_path: Path, name: str, says: str) -> None:
    """A name that no folder can have is red, and the message can be printed."""
    path = name if "://" in name else tmp_path / name
    status, printed = doctor("--sandbox", "--save-to", path)
    assert (status, level_of(printed, "Folder")) == (1, "fails")
    assert says in printed.replace("\n", " ")


def test_sixty_columns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On a terminal of 60 columns every line fits, whole words stay whole, colours have words."""
    master, slave = os.openpty()
    # Rich below 14 takes an empty NO_COLOR, too, for a wish.
    coloured = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    run = warm.Popen(
        [sys.executable, "-m", "langchain_qwen_image", "doctor", "--sandbox"],
        stdout=slave,
        stderr=subprocess.DEVNULL,
        env={**coloured, "COLUMNS": "60", "TERM": "xterm-256color"},
    )
    os.close(slave)
    printed = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # how Linux says that the other end was closed
            break
        if not piece:
            break
        printed += piece
    os.close(master)
    assert run.wait(PATIENCE) == 0
    text = printed.decode()
    assert "\x1b[1;32mok" in text
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert max(len(line.rstrip("\r")) for line in plain.splitlines()) <= 60
    assert re.search(r"^ok +Versions", plain, re.MULTILINE)


def test_help_is_quick() -> None:
    """Help of the command loads neither Rich's tables, the network's libraries nor the sandbox."""
    script = (
        "import sys; from langchain_qwen_image.cli import app\n"
        "try: app(['doctor', '--help'], prog_name='x')\n"
        "except SystemExit: pass\n"
        "print(*sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE
    )
    assert "--save-to" in run.stdout
    loaded = set(run.stdout.split())
    unwanted = {"httpx", "langchain_qwen_image.checks.doctor", "langchain_core", "PIL"}
    assert not loaded & unwanted
