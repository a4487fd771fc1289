"""A bulk run that is killed again and again: every image once, and the books agree."""

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import warm
from books import books
from leases import end_leases
from waiting import wait_until

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.records import CallRecord
from langchain_qwen_image.sandbox import SandboxServer, draw_plain
from langchain_qwen_image.sandbox.answer import Answer, error_answer
from langchain_qwen_image.sandbox.gateway import Gateway

_MOODS = ["well", "slow", "429", "500", "500 billed", "drop", "drop billed"]


@dataclass(frozen=True)
class Scale:
    """How many prompts, how many of them twice, how many kills after how many POSTs each."""

    prompts: int
    twice: int
    kills: int
    posts: tuple[int, int]
    weights: tuple[float, ...]


_QUICK = Scale(160, 10, 2, (15, 40), (74, 5, 4, 4, 4, 4, 5))
_LONG = Scale(2000, 50, 5, (100, 350), (90, 6, 0.4, 1, 0.6, 1, 1))


class Moody(Gateway):
    """Answers most POSTs, some late, and some with a failure, before or after it is paid."""

    def __init__(self, base_url: str, scale: Scale, seed: int) -> None:
        super().__init__(base_url, draw=draw_plain, record_limit=4 * scale.prompts)
        self._random = random.Random(seed)
        self._weights: Sequence[float] = scale.weights
        self.held_from = sys.maxsize
        self.moods: Counter[str] = Counter()

    def calm(self) -> None:
        """Answer well from now on."""
        self._weights = (1, *[0] * (len(_MOODS) - 1))

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if method != "POST":
            return super().answer(method, target, headers, body)
        mood = self._random.choices(_MOODS, self._weights)[0]
        self.moods[mood] += 1
        if mood in ("well", "slow", "500 billed", "drop billed"):
            good = super().answer(method, target, headers, body)
        else:
            with self._lock:
                self._post_count += 1
            good = error_answer(500, "An unexpected error occurred, please try again later")
        match mood:
            case "429":
                return replace(
                    error_answer(429, "Rate limit exceeded, please retry later"),
                    headers={"Retry-After": "0"},
                )
            case "500 billed":
                return error_answer(500, "An unexpected error occurred, please try again later")
            case "drop" | "drop billed":
                return replace(good, fault="drop")
        if self.post_count >= self.held_from and self.post_count % 2:
            return replace(good, delay_seconds=3600)  # so that the kill finds a call that is out
        return replace(good, delay_seconds=0.4 if mood == "slow" else 0.05)


@pytest.fixture(params=["folder", pytest.param("postgres", marks=pytest.mark.long)])
def account(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Account:
    """Where the runs pay from: the folder's own file, or PostgreSQL by the environment."""
    if request.param == "folder":
        return Account(books(tmp_path / "images"))
    url = request.getfixturevalue("database_url")
    monkeypatch.setenv("QWEN_IMAGE_DATABASE", url)
    return Account(url)


def _start(server: SandboxServer, folder: Path, *options: str) -> subprocess.Popen[str]:
    return warm.Popen(
        [
            *(sys.executable, "-m", "langchain_qwen_image", "batch", "prompts.jsonl"),
            *("--out", "images", "--yes", "--concurrency", "64", *options),
        ],
        cwd=folder,
        env={
            **os.environ,
            "PIXAZO_BASE_URL": server.base_url,
            "PIXAZO_API_KEY": "test-key-0123456789",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _killed_after(posts: int, server: SandboxServer, folder: Path) -> None:
    """Run until so many POSTs more have come, and kill."""
    target = server.gateway.post_count + posts
    server.gateway.held_from = target - 1
    run = _start(server, folder)
    wait_until(lambda: server.gateway.post_count >= target or run.poll() is not None)
    run.kill()
    run.communicate()
    assert run.returncode == -signal.SIGKILL
    server.gateway.held_from = sys.maxsize


@pytest.mark.slow
@pytest.mark.parametrize(
    "scale",
    [pytest.param(_QUICK, id="quick"), pytest.param(_LONG, id="long", marks=pytest.mark.long)],
)
def test_killed(scale: Scale, tmp_path: Path, account: Account) -> None:
    """Whatever came between, each image is there once and no answer was paid for again."""
    with SandboxServer() as server:
        server.gateway = Moody(server.base_url, scale, seed=5)
        _kill_and_go_on(server, tmp_path, scale, account)


def _kill_and_go_on(moody: SandboxServer, tmp_path: Path, scale: Scale, account: Account) -> None:
    prompts = [f"image {number}" for number in range(scale.prompts - scale.twice)]
    prompts += prompts[: scale.twice]
    rows = "".join(json.dumps({"prompt": one, "size": "512*512"}) + "\n" for one in prompts)
    (tmp_path / "prompts.jsonl").write_text(rows)

    chance = random.Random(7)
    for _ in range(scale.kills):
        _killed_after(chance.randint(*scale.posts), moody, tmp_path)
    assert account.progress("bulk").under_way, "it is reserved until its time is over"
    end_leases(account)

    run = _start(moody, tmp_path)
    said, _ = run.communicate(timeout=600)
    assert run.returncode == 1, "requests without an answer are left alone"
    left = [call for call in _current(account) if call.state != "saved"]
    assert {call.state for call in left} == {"unknown"}
    assert f"{scale.prompts - len(left):,} of {scale.prompts:,} images are in" in said
    if scale is _QUICK:
        moody.gateway.calm()  # so that one more run is enough
    for _ in range(20):
        run = _start(moody, tmp_path, "--retry-unknown")
        run.communicate(timeout=600)
        if run.returncode == 0:
            break
    assert run.returncode == 0

    _check_images(tmp_path / "images", prompts)
    _check_books(account, moody.gateway, scale.prompts)
    posts = moody.gateway.post_count
    run = _start(moody, tmp_path)
    run.communicate(timeout=600)
    assert run.returncode == 0
    assert moody.gateway.post_count == posts, "what is there is not asked for again"


def _current(account: Account) -> list[CallRecord]:
    return [call for call in account.calls() if call.replaced_by is None]


def _check_images(folder: Path, prompts: list[str]) -> None:
    sidecars = [json.loads(file.read_bytes()) for file in folder.glob("*.json")]
    images = {file.name: file for file in folder.glob("*.png")}
    whole = [one for one in sidecars if one["file"] in images]
    assert len(images) == len(whole) == len(prompts)
    assert Counter(one["prompt"] for one in whole) == Counter(prompts)
    assert all(images[one["file"]].stat().st_size == one["size_bytes"] for one in whole)


def _check_books(account: Account, gateway: Any, prompts: int) -> None:
    """Compare the account and what the gateway counted."""
    calls = list(account.calls())
    states = Counter(call.state for call in calls)
    current = [call for call in calls if call.replaced_by is None]
    assert {call.state for call in current} == {"saved"}
    answered = Counter(call.key for call in calls if call.state in ("answered", "saved"))
    assert set(answered.values()) == {1}, "nothing is paid for twice where an answer came"

    no_answer = states["unknown"]
    billed = len(gateway.images)
    assert prompts <= billed <= prompts + no_answer
    # A kill may come between a note in the account and its POST.
    posts = sum(call.attempts for call in calls)
    killed = sum("before the time that the request could take" in str(c.message) for c in calls)
    assert gateway.post_count <= posts <= gateway.post_count + killed
    money = account.totals()
    assert (money.spent_images, money.reserved_images) == (prompts + no_answer, 0)
    assert set(gateway.moods) == set(_MOODS)
