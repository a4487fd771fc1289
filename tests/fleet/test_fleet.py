"""A fleet: its queue, its workers, what pauses them, and what becomes of those that were killed."""

import asyncio
import errno
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import warm
from fleets import PRICE, Fleet, named, until
from held import HeldServer
from leases import end_leases
from postgres import Postgres
from postgres_proxy import PostgresProxy
from thinned import thinned
from waiting import PATIENCE, await_until, wait_until

from langchain_qwen_image import Account
from langchain_qwen_image.bulk.lookup import RetryOptions
from langchain_qwen_image.bulk.request import BulkRequest
from langchain_qwen_image.checks import disk
from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.fleet.database import Database
from langchain_qwen_image.fleet.last_look import Left
from langchain_qwen_image.sandbox import SandboxServer
from langchain_qwen_image.sandbox.answer import Answer, error_answer
from langchain_qwen_image.sandbox.gateway import Gateway
from langchain_qwen_image.storage import folder


@pytest.fixture
def fleet(database_url: str, server: SandboxServer, tmp_path: Path) -> Fleet:
    """A fleet without runs."""
    return Fleet(database_url, server.base_url, tmp_path / "images")


async def test_more_rows_add_only_those(fleet: Fleet, server: SandboxServer) -> None:
    """What the run has is left alone, whether it waits or is saved; an id is one image."""
    other = [BulkRequest("another image", "S0")]
    assert await fleet.enqueue(named(3)) == 3
    assert await fleet.enqueue(named(3)) == 0
    found = await fleet.estimate([*named(5), *other])
    assert (found.requests, found.waiting, found.to_generate, found.conflicting) == (6, 3, 2, 1)
    assert found.max_usd == 2 * PRICE
    assert await fleet.enqueue([*named(5), *other]) == 2

    assert await fleet.worker().work() == Left()
    assert server.gateway.post_count == 5
    found = await fleet.estimate(named(5))
    assert (found.reused, found.to_generate, found.max_usd) == (5, 0, 0)
    assert await fleet.enqueue(named(5)) == 0
    status = await fleet.status()
    assert (status.asked, status.saved, status.missing, status.is_settled) == (5, 5, 0, True)
    assert (status.spent_usd, status.reserved_usd) == (5 * PRICE, 0)
    assert len(list(fleet.folder.glob("*.png"))) == 5


async def test_without_ids_the_same_prompt_twice_is_two_images(
    fleet: Fleet, server: SandboxServer
) -> None:
    """As in a batch; and the same rows again are the same images."""
    rows = [BulkRequest("a fox"), BulkRequest("a fox"), BulkRequest("a heron")]
    assert await fleet.enqueue(rows) == 3
    assert await fleet.enqueue([BulkRequest("an owl"), *rows]) == 1
    await asyncio.gather(*(fleet.worker().work() for _ in range(2)))
    assert server.gateway.post_count == len(server.images) == 4


async def test_python_has_no_new_verb(fleet: Fleet, server: SandboxServer) -> None:
    """What `ainvoke` bought under run and key, the fleet reuses; its progress is the account's."""
    await fleet.generator(save_to=fleet.folder).ainvoke(
        "image 0", idempotency_key="S0", run="spring"
    )
    await fleet.enqueue(named(2))
    await fleet.worker().work()
    assert server.gateway.post_count == 2
    assert fleet.account.progress("spring").saved == 2


class Refusing(Gateway):
    """Refuses the key, while it is told to."""

    is_refusing = True

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> Answer:
        if method == "POST" and self.is_refusing:
            return error_answer(401, "Invalid subscription key")
        return super().answer(method, target, headers, body)


@pytest.mark.parametrize("reason", thinned(["budget", "key", "disk"], quick=1))
async def test_what_a_person_can_fix_pauses(
    reason: str, fleet: Fleet, server: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status says why; no item is lost or failed by it, and it goes on when that is fixed."""
    says = "used up"
    if reason == "key":
        server.gateway, says = Refusing(server.base_url), "401"
    if reason == "disk":
        says = "space left"

        def full(*args: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(folder, "publish", full)
        monkeypatch.setattr(disk, "_write_and_remove", full)
    await fleet.enqueue(named(6), max_usd=2 * PRICE if reason == "budget" else None)
    worker = fleet.worker()
    working = asyncio.create_task(worker.work())

    async def is_paused() -> bool:
        return (await fleet.status()).is_paused

    await until(is_paused)
    status = await fleet.status()
    assert says in str(status.workers[0].paused)
    assert (status.failed, status.unknown, status.lost) == (0, 0, 0)
    assert status.saved == (2 if reason == "budget" else 0)
    assert not working.done()
    if reason == "disk":
        posts = server.gateway.post_count
        await asyncio.sleep(0.5)  # several probes
        assert server.gateway.post_count == posts <= 4, "no image is paid for that has no place"

    if reason == "budget":
        await fleet.enqueue(named(6), max_usd=Decimal(1))
    elif reason == "key":
        server.gateway.is_refusing = False  # type: ignore[attr-defined]
    else:
        monkeypatch.undo()
    assert await asyncio.wait_for(working, PATIENCE) == Left()
    status = await fleet.status()
    assert (status.saved, status.failed, worker.progress.paused) == (6, 0, None)
    assert len(server.images) == 6
    assert fleet.account.totals().spent_usd == 6 * PRICE


@pytest.mark.long
async def test_a_database_that_is_away(
    postgres: Postgres, schema: str, server: SandboxServer, tmp_path: Path
) -> None:
    """While it is away nothing leaves; what was sent is booked, and all is paid for once."""
    with PostgresProxy(postgres) as proxy:
        fleet = Fleet(postgres.url(schema), server.base_url, tmp_path / "images")
        await fleet.enqueue(named(30))
        server.gateway = _Slowly(server.base_url)
        worker = fleet.worker(url=proxy.url(schema))
        working = asyncio.create_task(worker.work())
        await await_until(lambda: server.gateway.post_count >= 6)
        proxy.refuse(True)
        await await_until(lambda: worker.progress.paused is not None)
        proxy.refuse(False)
        assert await asyncio.wait_for(working, PATIENCE) == Left()
        Account(proxy.url(schema)).close()
    status = await fleet.status()
    assert (status.saved, status.missing) == (30, 0)
    assert len(server.images) == server.gateway.post_count == 30
    assert fleet.account.totals().spent_usd == 30 * PRICE


class _Slowly(Gateway):
    def answer(self, method: str, target: str, headers: Any, body: bytes) -> Answer:
        return replace(super().answer(method, target, headers, body), delay_seconds=0.1)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldServer]:
    """A gateway that holds its answers back; the command line finds it, with a key."""
    with HeldServer() as server:
        monkeypatch.setenv("PIXAZO_BASE_URL", server.base_url)
        monkeypatch.setenv("PIXAZO_API_KEY", "test-key-0123456789abcdef")
        yield server


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Start a `qwen-image fleet …` in a process of its own."""
    monkeypatch.setenv("QWEN_IMAGE_DATABASE", database_url)
    monkeypatch.chdir(tmp_path)

    def start(*arguments: str) -> subprocess.Popen[str]:
        return warm.Popen(
            [sys.executable, "-m", "langchain_qwen_image", "fleet", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def run(start: Start, *arguments: str) -> tuple[int, str, str]:
    """Run one to its end: exit status, what it said, what it complained of."""
    process = start(*arguments)
    said, complained = process.communicate(timeout=PATIENCE)
    return process.returncode, said, complained


async def test_what_a_killed_worker_had(
    held: HeldServer, start: Start, database_url: str, tmp_path: Path
) -> None:
    """Another takes it over: elsewhere until its time is over, then unknown, and paid for once."""
    fleet = Fleet(database_url, held.base_url, tmp_path / "images")
    await fleet.enqueue(named(6))
    killed = start("work", "--concurrency", "4")
    await await_until(lambda: held.gateway.post_count == 4)
    killed.kill()
    killed.communicate()
    held.release()

    left = await fleet.worker().work()
    assert left.items == 4, "it is asked about once more at the end"
    assert 0 < left.seconds < 300
    status = await fleet.status()
    assert (status.saved, status.elsewhere, status.unknown) == (2, 4, 0)
    assert not status.is_settled
    end_leases(fleet.account)
    code, said, _ = await asyncio.to_thread(run, start, "settle", "spring")
    assert code == 1
    assert "4       unknown" in said
    assert "no answer is known" in said
    assert held.gateway.post_count == 6

    assert await fleet.enqueue(named(6)) == 0, "unknown ones are left alone"
    retry = RetryOptions(retry_unknown=True)
    found = await fleet.estimate(named(6), retry)
    assert (found.to_generate, found.max_usd) == (4, 4 * PRICE)
    assert await fleet.enqueue(named(6), retry=retry) == 4
    assert await fleet.worker().work() == Left()
    assert (await fleet.status()).saved == 6
    assert held.gateway.post_count == 10
    assert fleet.account.totals().spent_usd == 10 * PRICE


def test_sigterm_drains(held: HeldServer, start: Start) -> None:
    """What was sent is finished and saved; what was not is in the queue for others."""
    rows = "".join(f"S{number},image {number}\n" for number in range(7))
    Path("p.csv").write_text(f"sku,prompt\n{rows}")
    enqueued = ("enqueue", "p.csv", "--run", "spring", "--id-column", "sku")
    code, _, complained = run(start, *enqueued)
    assert code == 2
    assert "7 images to generate; maximum cost $0.315." in complained
    assert "pass --yes or --max-usd" in complained
    code, said, _ = run(start, *enqueued, "--yes")
    assert (code, said.split()[:3]) == (0, ["7", "images", "queued"])

    worker = start("work", "--concurrency", "3", "--out", "out")
    wait_until(lambda: held.gateway.post_count == 3)
    worker.send_signal(signal.SIGTERM)
    assert worker.stderr is not None
    for line in worker.stderr:
        if "waiting for 3 requests" in line:
            break
    held.release()
    said, _ = worker.communicate(timeout=PATIENCE)
    assert worker.returncode == 128 + signal.SIGTERM
    assert "3 images saved by this worker" in said
    assert held.gateway.post_count == 3
    _, said, _ = run(start, "status", "spring", "--json")
    status = json.loads(said)
    assert (status["asked"], status["saved"], status["waiting"]) == (7, 3, 4)
    assert status["spent_usd"] == 0.135

    code, said, _ = run(start, "work", "--until-empty", "--out", "out")
    assert (code, held.gateway.post_count) == (0, 7)
    code, said, _ = run(start, "settle", "spring", "--out", "out")
    assert code == 0
    index = [json.loads(line) for line in Path("out/index.jsonl").read_text().splitlines()]
    assert [one["id"] for one in index] == [f"S{number}" for number in range(7)]
    assert {(one["status"], one["cost"]) for one in index} == {("saved", 0.045)}
    assert all((Path("out") / one["file"]).exists() for one in index)


def test_a_fleet_needs_postgresql(tmp_path: Path) -> None:
    """A file, which other machines cannot reach, is refused with what to set."""
    with pytest.raises(ConfigurationError, match="QWEN_IMAGE_DATABASE"):
        Database(Account(tmp_path / "account.db"))
