"""Several `qwen-image batch` at the same time, and after one was killed, as real processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path

import pytest
import warm
from books import books
from held import HeldServer
from leases import end_leases
from waiting import PATIENCE, wait_until

from langchain_qwen_image.account.account import Account

PRICE = Decimal("0.045")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldServer]:
    """Point the command at a gateway that holds its answers back, with a key."""
    with HeldServer() as server:
        monkeypatch.setenv("PIXAZO_BASE_URL", server.base_url)
        monkeypatch.setenv("PIXAZO_API_KEY", "test-key-0123456789abcdef")
        yield server


@pytest.fixture(params=["folder", pytest.param("postgres", marks=pytest.mark.long)])
def account(request: pytest.FixtureRequest, here: Path, monkeypatch: pytest.MonkeyPatch) -> Account:
    """Where the commands pay from: the folder's own file, or PostgreSQL by the environment."""
    if request.param == "folder":
        return Account(books(here / "out"))
    url = request.getfixturevalue("database_url")
    monkeypatch.setenv("QWEN_IMAGE_DATABASE", url)
    return Account(url)


def start(
    *options: str, out: str = "out", env: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start a batch of the prompts in `p.csv`."""
    command = ["batch", "p.csv", "--out", out, "--yes", "--id-column", "sku", "--concurrency", "4"]
    return warm.Popen(
        [sys.executable, "-m", "langchain_qwen_image", *command, *options],
        env={**os.environ, "COLUMNS": "200", **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def prompts(count: int) -> None:
    """Write so many prompts, each with its id."""
    rows = "".join(f"S{number},image {number}\n" for number in range(count))
    Path("p.csv").write_text(f"sku,prompt\n{rows}")


def test_two_at_once_pay_once(held: HeldServer, here: Path, account: Account) -> None:
    """Each image is paid for by one of them; together they finish, and their sums are the bill."""
    prompts(20)
    runs = []
    for count in (1, 2):
        runs.append(start())
        wait_until(lambda count=count: held.gateway.post_count == 4 * count)
    held.release()
    said = [run.communicate(timeout=PATIENCE) for run in runs]
    assert 0 in {run.returncode for run in runs}, "the last one finds all of them"
    assert {run.returncode for run in runs} <= {0, 1}
    assert all(
        run.returncode == 0 or "elsewhere" in out for run, (out, _) in zip(runs, said, strict=True)
    )
    assert held.gateway.post_count == len(held.gateway.images) == 20
    assert len(list((here / "out").glob("*.png"))) == len(list((here / "out").glob("*.json"))) == 20
    assert (account.spent_usd, account.reserved_usd) == (20 * PRICE, 0)
    paid = [float(out.split("Paid $")[1].split()[0]) for out, _ in said]
    assert round(sum(paid), 3) == 0.9
    assert min(paid) > 0

    again = start()
    out, _ = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0
    assert "20 of 20 images are in out (20 from earlier runs)." in out
    assert held.gateway.post_count == 20


def test_what_a_killed_batch_had_sent(held: HeldServer, here: Path, account: Account) -> None:
    """Right after `kill -9` it is elsewhere, and the sentence says for how long; then unknown."""
    prompts(6)
    killed = start()
    wait_until(lambda: held.gateway.post_count == 4)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    held.release()

    resumed = start()
    out, complained = resumed.communicate(timeout=PATIENCE)
    assert resumed.returncode == 1
    assert (
        "6 images, 4 under way in another process; 2 to generate; maximum cost $0.09." in complained
    )
    assert "2 of 6 images are in out." in out
    assert "Paid $0.09 for 2 new images." in out
    assert "may have been billed" not in out
    assert "Another process has sent 4 requests and has no answer yet." in complained
    assert "If that process was killed, they count as unknown in 4 min at the latest." in complained
    index = Path("out/index.csv").read_text()
    assert index.count('"elsewhere"') == 4
    assert (account.spent_usd, account.reserved_usd) == (2 * PRICE, 4 * PRICE)

    end_leases(account)
    late = start()
    out, complained = late.communicate(timeout=PATIENCE)
    assert late.returncode == 1
    assert "4 with no known answer and not repeated (--retry-unknown)" in complained
    assert "2 of 6 images are in out (2 from earlier runs)." in out
    assert (account.spent_usd, account.reserved_usd) == (6 * PRICE, 0)
    assert held.gateway.post_count == 6

    bold = start("--retry-unknown")
    out, _ = bold.communicate(timeout=PATIENCE)
    assert bold.returncode == 0
    assert "6 of 6 images are in out (2 from earlier runs)." in out
    assert (account.spent_usd, account.reserved_usd) == (10 * PRICE, 0)
    assert held.gateway.post_count == len(held.gateway.images) == 10


def test_an_account_has_runs_with_names(held: HeldServer, here: Path, account: Account) -> None:
    """`--account` names the books, `--run` a name space in them, `--max-usd` holds for all."""
    held.release()
    prompts(2)
    place = str(here / "shared.db")
    for name in ("shop", "cards"):
        run = start("--account", place, "--run", name, out=name)
        out, _ = run.communicate(timeout=PATIENCE)
        assert (run.returncode, f"2 of 2 images are in {name}." in out) == (0, True)
    shared = Account(place)
    assert [shared.progress(name).saved for name in ("shop", "cards")] == [2, 2]
    assert account.spent_usd == 0
    prompts(3)
    stopped = start("--account", place, "--run", "shop", "--max-usd", "0.2", out="shop")
    out, complained = stopped.communicate(timeout=PATIENCE)
    assert stopped.returncode == 1
    assert "would exceed --max-usd 0.2" in complained
    assert "2 of 3 images are in shop (2 from earlier runs)." in out
    assert held.gateway.post_count == 4


def test_an_id_of_another_request_is_said_before_paying(
    held: HeldServer, here: Path, account: Account
) -> None:
    """What was changed under an id that is paid for is counted, fails, and costs nothing."""
    held.release()
    prompts(2)
    start().communicate(timeout=PATIENCE)
    Path("p.csv").write_text("sku,prompt\nS0,another image\nS1,image 1\nS2,image 2\n")
    run = start()
    out, complained = run.communicate(timeout=PATIENCE)
    assert run.returncode == 1
    assert "1 with an id that was used for another request; 1 to generate" in complained
    assert "The id 'S0' was used for another request in this run before." in out
    assert held.gateway.post_count == 3
    assert account.spent_usd == 3 * PRICE
