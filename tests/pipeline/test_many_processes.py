"""Processes that call the real generator at once: a key is one POST, and a limit holds."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import buyer
import pytest
import warm
from account_steps import PRICE
from held import HeldServer
from waiting import PATIENCE, wait_until

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.sandbox import SandboxServer

_PROGRAM = f"""
import logging, sys
sys.path.insert(0, {str(Path(buyer.__file__).parent)!r})
import buyer
logging.basicConfig(level=logging.INFO, format="%(message)s")
buyer.main(sys.argv[1:])
"""


def _start(
    location: str,
    gateway: str,
    folder: Path,
    *keys: str,
    limit: str = "",
    starting: Sequence[str] = (),
) -> subprocess.Popen[str]:
    arguments = [location, gateway, str(folder), "", "60", limit, *keys]
    popen = subprocess.Popen if starting else warm.Popen
    with (folder / "log").open("a") as log:
        return popen(
            [*starting, sys.executable, "-c", _PROGRAM, *arguments],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )


def test_processes_that_ask_for_one_key_pay_for_it_once(
    account: Account, location: str, tmp_path: Path
):
    """Of processes that ask for a key at once one sends it, the others wait, and all get it."""
    with HeldServer() as gateway:
        buyers = [_start(location, gateway.base_url, tmp_path, "order-17") for _ in range(3)]
        log = tmp_path / "log"
        wait_until(lambda: log.read_text().count("under way in another process") == 2)
        gateway.release()
        said = [process.communicate(timeout=PATIENCE)[0] for process in buyers]
        assert said == ["ready\norder-17\n"] * 3, log.read_text()
        assert len(gateway.posts) == 1
    assert (account.spent_usd, account.reserved_usd) == (PRICE, 0)


@pytest.mark.slow
def test_two_containers_pay_for_what_a_limit_allows(
    account: Account, location: str, server: SandboxServer, tmp_path: Path
):
    """With a limit of ten, two containers, whose process ids are the same, pay for ten."""
    container = ["unshare", "--pid", "--fork", "--mount-proc"]
    may = shutil.which("unshare") and subprocess.run([*container, "true"], capture_output=True)
    if not may or may.returncode:
        pytest.skip("PID namespaces need unshare, and the right to use it")
    buyers = [
        _start(
            *(location, server.base_url, tmp_path),
            *(f"order-{name}-{number}" for number in range(10)),
            limit="10",
            starting=container,
        )
        for name in ("a", "b")
    ]
    said = [process.communicate(timeout=PATIENCE)[0] for process in buyers]
    bought = [line for lines in said for line in lines.splitlines() if line != "ready"]
    assert (len(bought), server.gateway.post_count) == (10, 10), (tmp_path / "log").read_text()
    assert (account.spent_usd, account.reserved_usd) == (PRICE * 10, 0)
