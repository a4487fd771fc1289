"""Bulk runs: what is paid for, what is not paid for again, and what ends a run."""

import asyncio
import errno
import shutil
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from books import books
from held import HeldServer
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import HumanMessage
from langchain_core.stores import InMemoryByteStore
from quick import quick as without_pauses
from waiting import PATIENCE, await_until, wait_until

from langchain_qwen_image import Budget, QwenImageGenerator, QwenImageInput, errors
from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.paces import Paces
from langchain_qwen_image.bulk import BulkOutcome, BulkRequest, BulkRun, estimate_cost
from langchain_qwen_image.bulk.request_ids import RequestIds
from langchain_qwen_image.concurrency.runtime import Asyncio
from langchain_qwen_image.sandbox import SandboxServer, draw_plain

Outcomes = Callable[[BulkRun], list[BulkOutcome]]


@pytest.fixture(params=["sync", "async"])
def outcomes(request: pytest.FixtureRequest) -> Outcomes:
    """Run to the end in either world; the outcomes in the order of the requests."""

    def ordered(found: list[BulkOutcome]) -> list[BulkOutcome]:
        return sorted(found, key=lambda one: one.number)

    async def collect(run: BulkRun) -> list[BulkOutcome]:
        return [outcome async for outcome in run]

    if request.param == "sync":
        return lambda run: ordered(list(run))
    return lambda run: ordered(asyncio.run(collect(run)))


@pytest.fixture
def generator(server: SandboxServer, tmp_path: Path) -> QwenImageGenerator:
    """A generator that saves its images, and pays for them at the server."""
    return generator_on(server, save_to=tmp_path)


def generator_on(server: SandboxServer | HeldServer, **settings: Any) -> QwenImageGenerator:
    """Return a generator that asks the server."""
    return QwenImageGenerator(base_url=server.base_url, api_key="test-key-bulk", **settings)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pauses pass at once."""

    async def asleep(_: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr("langchain_qwen_image.bulk.run_pace.ASYNCIO", Asyncio(asleep))
    # The clock of an account's pace does not move for it.
    monkeypatch.setattr("langchain_qwen_image.pipeline.assembly.Paces", lambda own, *_: Paces(own))


def outcomes_in_order(run: BulkRun) -> list[BulkOutcome]:
    """Run to the end; the outcomes in the order of the requests."""
    return sorted(run, key=lambda one: one.number)


def statuses(found: list[BulkOutcome]) -> list[str]:
    """Return what became of each request."""
    return [one.status for one in found]


@pytest.mark.parametrize(
    ("prompt", "status", "posts", "error"),
    [
        pytest.param("a fox", "saved", 1, None, id="success"),
        pytest.param("sandbox:two-images x", "saved", 1, None, id="two-images"),
        pytest.param("sandbox:503-once x", "saved", 2, None, id="503-once"),
        pytest.param("sandbox:image-500-once x", "saved", 1, None, id="second-fetch"),
        pytest.param("sandbox:image-404 x", "unsaved", 1, errors.DownloadError, id="no-file"),
        pytest.param(
            "sandbox:moderation x", "failed", 1, errors.ContentRejectedError, id="moderated"
        ),
        pytest.param("sandbox:400 x", "failed", 1, errors.InvalidRequestError, id="400"),
        pytest.param("sandbox:500 x", "unknown", 1, errors.ServerError, id="500"),
        pytest.param("sandbox:drop x", "unknown", 1, errors.RequestTimeoutError, id="drop"),
        pytest.param("sandbox:malformed x", "unknown", 1, errors.MalformedResponseError, id="html"),
        pytest.param(" ", "failed", 0, errors.InvalidRequestError, id="blank"),
        pytest.param(
            {"prompt": "x", "size": "1*1"}, "failed", 0, errors.InvalidRequestError, id="size"
        ),
    ],
)
def test_outcomes(
    server: SandboxServer,
    generator: QwenImageGenerator,
    outcomes: Outcomes,
    prompt: Any,
    status: str,
    posts: int,
    error: type[Exception] | None,
) -> None:
    """Each request has one outcome that says what was bought, and as many POSTs as the rule has."""
    [outcome] = outcomes(generator.generate_many([prompt]))
    assert (outcome.number, outcome.status) == (0, status)
    assert server.gateway.post_count == posts
    assert outcome.is_there == (status == "saved")
    assert outcome.image == (outcome.result.image if outcome.is_there else None)
    assert (outcome.reason is None) == outcome.is_there
    if error:
        assert type(outcome.error) is error
    if status == "saved":
        assert outcome.result is not None
        assert all(Path(image.path or "").is_file() for image in outcome.result.images)
        assert outcome.cost_usd == outcome.result.cost_usd > 0
    assert (outcome.cost_usd > 0) == (status != "failed")


def test_requests_come_in_all_forms(generator: QwenImageGenerator, outcomes: Outcomes) -> None:
    """A request is whatever `invoke` takes, and the generator's parameters are its defaults."""
    requests = [
        "a fox",
        {"prompt": "a heron", "size": "768*768"},
        HumanMessage("a badger"),
        QwenImageInput(prompt="an owl", watermark=False),
    ]
    found = outcomes(generator.with_parameters(size="512*512").generate_many(requests))
    results = [one.result for one in found if one.result]
    assert [one.prompt for one in results] == ["a fox", "a heron", "a badger", "an owl"]
    assert [one.image.width for one in results] == [512, 768, 512, 1328]


def test_what_is_had_is_not_paid_for_again(
    server: SandboxServer, generator: QwenImageGenerator, outcomes: Outcomes
) -> None:
    """A second run pays for what the first one lacks; the same prompt twice is two images."""
    first = outcomes(generator.generate_many(["a fox", "a heron", "a fox"]))
    assert statuses(first) == ["saved"] * 3
    assert len({one.result.image.path for one in first if one.result}) == 3

    again = outcomes(generator.generate_many(["a badger", "a fox", "a heron", "a fox", "a fox"]))
    assert statuses(again) == ["saved", "reused", "reused", "reused", "saved"]
    assert server.gateway.post_count == 5
    had = again[1].result
    assert first[0].result is not None
    assert had is not None
    made = first[0].result
    assert (had.prompt, had.parameters, had.model) == (made.prompt, made.parameters, made.model)
    assert (had.request_id, had.call_id) == (made.request_id, made.call_id)
    assert (had.replayed, had.cost_usd, had.first_cost_usd) == (True, 0, made.cost_usd)
    assert (had.image.width, had.image.mime_type) == (1328, "image/png")
    assert had.image.read().startswith(b"\x89PNG")
    assert again[1].cost_usd == 0


def test_without_resume_everything_is_paid_for(
    server: SandboxServer, generator: QwenImageGenerator, outcomes: Outcomes
) -> None:
    """`resume=False` knows of no earlier run, and later runs do not know of it."""
    for _ in range(2):
        assert statuses(outcomes(generator.generate_many(["a fox"], resume=False))) == ["saved"]
    assert statuses(outcomes(generator.generate_many(["a fox"]))) == ["saved"]
    assert server.gateway.post_count == 3


def test_no_answer_is_asked_for_again_only_on_demand(
    server: SandboxServer, generator: QwenImageGenerator, outcomes: Outcomes
) -> None:
    """A request without an answer is listed by each run, and repeated by `retry_unknown` alone."""
    server.script("500")
    assert statuses(outcomes(generator.generate_many(["a fox"]))) == ["unknown"]
    [left] = outcomes(generator.generate_many(["a fox"]))
    assert (left.status, left.cost_usd, server.gateway.post_count) == ("unknown", 0, 1)
    assert "may have been billed" in str(left.reason)
    assert statuses(outcomes(generator.generate_many(["a fox"], retry_unknown=True))) == ["saved"]
    assert statuses(outcomes(generator.generate_many(["a fox"]))) == ["reused"]
    assert server.gateway.post_count == 2


def test_an_image_that_was_not_fetched_is_fetched_free_of_charge(
    server: SandboxServer, generator: QwenImageGenerator, outcomes: Outcomes, tmp_path: Path
) -> None:
    """What is paid for and not saved is fetched by the next run, without a POST."""
    blocked = tmp_path / "taken"
    server.script("image-500-once")
    account = books(tmp_path)
    original = server.gateway.answer

    def answer(*arguments: Any) -> Any:
        shutil.rmtree(blocked, ignore_errors=True)
        blocked.write_text("a file where a folder should be, since the POST left")
        return original(*arguments)

    server.gateway.answer = answer  # type: ignore[method-assign]
    elsewhere = generator_on(server, save_to=blocked / "sub", account=account)
    with pytest.raises(OSError, match="taken"):
        outcomes(elsewhere.generate_many(["a fox"]))
    assert statuses(outcomes(generator.generate_many(["a fox"]))) == ["reused"]
    assert server.gateway.post_count == 1


def test_a_queued_image_is_asked_for_by_the_next_run(
    server: SandboxServer, tmp_path: Path, outcomes: Outcomes
) -> None:
    """What the gateway has queued is never sent again, also with `retry_unknown`; it is fetched."""
    original = server.gateway.answer

    def answer(method: str, target: str, *rest: Any) -> Any:
        return original(method, "/gone" if "/requests/status/" in target else target, *rest)

    server.gateway.answer = answer  # type: ignore[method-assign]
    generator = without_pauses(generator_on(server, save_to=tmp_path, timeout=60))
    [late] = outcomes(generator.generate_many(["sandbox:queued a fox"]))
    [call] = Account(books(tmp_path)).calls()
    assert (late.status, call.state) == ("unknown", "queued")
    [later] = outcomes(generator.generate_many(["sandbox:queued a fox"]))
    assert (later.status, later.cost_usd) == ("unsaved", 0.0)
    server.gateway.answer = original  # type: ignore[method-assign]
    estimate = estimate_cost(generator, ["sandbox:queued a fox"], retry_unknown=True)
    assert (estimate.reused, estimate.to_generate) == (1, 0)
    request = BulkRequest("sandbox:queued a fox", "SKU-7")
    run = generator.generate_many([request], retry_unknown=True)
    [found] = outcomes(run)
    assert (found.status, found.cost_usd, found.id) == ("reused", 0.0, "SKU-7")
    assert found.result is not None
    assert "sku-7" in str(found.result.image.path)
    assert server.gateway.post_count == 1


@pytest.mark.parametrize(
    ("scenario", "statuses_"),
    [
        pytest.param("queued-failed", ["failed", "failed"], id="failed"),
        pytest.param("queued-error", ["failed", "failed"], id="error", marks=pytest.mark.long),
    ],
)
def test_a_queued_request_that_failed_is_sent_again_by_the_next_run(
    server: SandboxServer,
    generator: QwenImageGenerator,
    outcomes: Outcomes,
    scenario: str,
    statuses_: list[str],
) -> None:
    """The gateway did not charge for it; a run does not repeat it, the next one does."""
    without_pauses(generator)
    request = f"sandbox:{scenario} a fox"
    found = [outcomes(generator.generate_many([request])) for _ in range(2)]
    assert [one.status for [one] in found] == statuses_
    assert server.gateway.post_count == 2


def test_a_lost_image_is_paid_for_again_only_on_demand(
    server: SandboxServer, generator: QwenImageGenerator, outcomes: Outcomes
) -> None:
    """An image whose link died is listed as lost; `retry_lost` buys another."""
    server.script("expired")
    assert statuses(outcomes(generator.generate_many(["a fox"]))) == ["unsaved"]
    [lost] = outcomes(generator.generate_many(["a fox"]))
    assert lost.status == "lost"
    assert "expired" in str(lost.reason)
    assert server.gateway.post_count == 1
    assert statuses(outcomes(generator.generate_many(["a fox"], retry_lost=True))) == ["saved"]
    assert server.gateway.post_count == 2


def test_a_deleted_image_is_paid_for_again_only_on_demand(
    server: SandboxServer, generator: QwenImageGenerator, outcomes: Outcomes
) -> None:
    """An image that was saved and is gone is lost, as one whose link died."""
    [made] = outcomes(generator.generate_many(["a fox"]))
    assert made.result is not None
    Path(made.result.image.path or "").unlink()
    [gone] = outcomes(generator.generate_many(["a fox"], retry_unknown=True))
    assert gone.status == "lost"
    assert "does not exist any more" in str(gone.reason)
    assert server.gateway.post_count == 1
    assert statuses(outcomes(generator.generate_many(["a fox"], retry_lost=True))) == ["saved"]
    assert server.gateway.post_count == 2


def test_a_folder_may_be_moved(server: SandboxServer, tmp_path: Path, outcomes: Outcomes) -> None:
    """Images are found where the folder is now, if its books came along."""
    outcomes(generator_on(server, save_to=tmp_path / "old").generate_many(["a fox"]))
    shutil.move(books(tmp_path / "old").parent, books(tmp_path / "new").parent)
    shutil.move(tmp_path / "old", tmp_path / "new")
    [had] = outcomes(generator_on(server, save_to=tmp_path / "new").generate_many(["a fox"]))
    assert had.status == "reused"
    assert had.result is not None
    assert Path(had.result.image.path or "").parent == tmp_path / "new"
    assert had.result.image.read().startswith(b"\x89PNG")


def test_a_byte_store_resumes_too(
    server: SandboxServer, tmp_path: Path, outcomes: Outcomes
) -> None:
    """With a store for the images and an account beside it, a run is resumed."""
    store = InMemoryByteStore()
    for status in ("saved", "reused"):
        generator = generator_on(server, save_to=store, account=tmp_path / "books.db")
        [outcome] = outcomes(generator.generate_many(["a fox"]))
        assert outcome.status == status
        assert outcome.result is not None
        assert outcome.result.image.read().startswith(b"\x89PNG")
    assert server.gateway.post_count == 1


def test_the_sandbox_has_runs_of_its_own(
    server: SandboxServer, generator: QwenImageGenerator, tmp_path: Path, outcomes: Outcomes
) -> None:
    """A rehearsal in the sandbox does not count as the real images, in the same folder."""
    rehearsal = QwenImageGenerator(sandbox=True, save_to=tmp_path, size="512*512")
    assert statuses(outcomes(rehearsal.generate_many(["a fox"]))) == ["saved"]
    assert statuses(outcomes(generator.generate_many(["a fox"]))) == ["saved"]
    assert server.gateway.post_count == 1


@pytest.mark.usefixtures("quick")
def test_refusals_for_coming_too_soon_give_nobody_up(
    server: SandboxServer, generator: QwenImageGenerator, outcomes: Outcomes, tmp_path: Path
) -> None:
    """More 429s than a call's own attempts allow: everybody waits, and every image comes."""
    server.script(*["429"] * 4)
    found = outcomes(generator.generate_many([f"image {n}" for n in range(3)], concurrency=2))
    assert statuses(found) == ["saved"] * 3
    assert server.gateway.post_count == 7
    assert sum(call.attempts for call in Account(books(tmp_path)).calls()) == 7
    assert all(call.replaced_by is None for call in Account(books(tmp_path)).calls())


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("scenario", "error"),
    [
        pytest.param("401", errors.AuthenticationError, id="401"),
        pytest.param("402", errors.QuotaExceededError, id="402"),
        pytest.param("403", errors.PermissionDeniedError, id="403"),
        pytest.param("quota", errors.QuotaExceededError, id="quota"),
        pytest.param("404", errors.NotFoundError, id="404"),
    ],
)
def test_a_lasting_denial_ends_the_run(
    outcomes: Outcomes,
    scenario: str,
    error: type[Exception],
    tmp_path: Path,
) -> None:
    """Key, permission, quota, address: after a second look no more is sent, the rest settled."""
    saved: list[BulkOutcome] = []

    def requests() -> Iterator[str]:
        yield from (f"image {number}" for number in range(1000))

    with HeldServer(first=1) as server:
        server.gateway.script("ok", *[scenario] * 20)
        generator = generator_on(server, save_to=tmp_path)
        run = generator.generate_many(requests(), concurrency=2)

        def release_after_the_second_look() -> None:
            wait_until(lambda: server.gateway.post_count == 3 and run.in_flight == 1)
            server.release()

        other = threading.Thread(target=release_after_the_second_look)
        other.start()
        with pytest.raises(error):
            _collect_into(saved, outcomes, run)
        other.join()
        assert statuses(saved) == ["saved"], "what was in flight is settled"
        assert server.gateway.post_count == 3
        assert saved[0].request is not None
        resumed = outcomes(generator.generate_many([saved[0].request]))
        assert statuses(resumed) == ["reused"]


def _collect_into(saved: list[BulkOutcome], outcomes: Outcomes, run: BulkRun) -> None:
    """Run with whatever world the fixture has, with what came before an error."""

    class Watched(BulkRun):
        def __init__(self) -> None:
            self.__dict__ = run.__dict__

        async def __aiter__(self) -> AsyncIterator[BulkOutcome]:  # type: ignore[override]
            async for outcome in run:
                saved.append(outcome)
                yield outcome

    outcomes(Watched())


@pytest.mark.usefixtures("quick")
def test_one_denial_does_not_end_the_run(
    server: SandboxServer, generator: QwenImageGenerator, outcomes: Outcomes
) -> None:
    """A denial that does not last is met with a second look."""
    server.script("401")
    assert statuses(outcomes(generator.generate_many(["a fox", "a heron"]))) == ["saved"] * 2
    assert server.gateway.post_count == 3


@pytest.mark.usefixtures("quick")
def test_a_budget_ends_the_run(server: SandboxServer, tmp_path: Path, outcomes: Outcomes) -> None:
    """A run buys what the budget allows, also after refusals, and not one more."""
    server.script("429", "429")
    budget = Budget(max_images=3)
    generator = generator_on(server, save_to=tmp_path, budget=budget)
    saved: list[BulkOutcome] = []
    with pytest.raises(errors.BudgetExceededError):
        _collect_into(saved, outcomes, generator.generate_many([f"p{n}" for n in range(9)]))
    assert statuses(saved) == ["saved"] * 3
    assert server.gateway.post_count == 5
    assert (budget.images, budget.reserved_usd) == (3, 0)


def test_a_full_disk_ends_the_run(
    server: SandboxServer,
    generator: QwenImageGenerator,
    outcomes: Outcomes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Images that cannot be saved are not bought on and on; the next run fetches them."""

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("langchain_qwen_image.storage.folder.publish", full)
        with pytest.raises(OSError, match="No space left"):
            outcomes(generator.generate_many([f"p{n}" for n in range(50)], concurrency=2))
    assert server.gateway.post_count <= 4
    posts = server.gateway.post_count
    found = outcomes(generator.generate_many([f"p{n}" for n in range(posts)]))
    assert set(statuses(found)) <= {"reused", "saved"}
    assert statuses(found).count("reused") >= 1
    assert server.gateway.post_count <= posts + 1


def test_a_run_may_be_joined(
    server: SandboxServer, generator: QwenImageGenerator, outcomes: Outcomes
) -> None:
    """A second run beside one that goes on makes what that one has not sent."""
    first = iter(generator.generate_many(["a fox", "a heron", "an owl"], concurrency=1))
    next(first)
    second = outcomes(generator.generate_many(["a fox", "an owl"]))
    assert [statuses(second)[0], server.gateway.post_count >= 2] == ["reused", True]
    assert len(list(first)) == 2
    assert server.gateway.post_count == 3


def test_leaving_early_settles_what_has_left(
    server: SandboxServer, generator: QwenImageGenerator, tmp_path: Path
) -> None:
    """After `break`, what is at the gateway is waited for and saved, and nothing more leaves."""
    server.script("ok", "slow-1")
    run = generator.generate_many([f"p{n}" for n in range(100)], concurrency=2)
    outcomes = iter(run)
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    posts = server.gateway.post_count
    assert posts < 10
    calls = list(Account(books(tmp_path)).calls())
    assert {call.state for call in calls} == {"saved"}
    assert len(calls) == posts == len(list(tmp_path.glob("*.png")))
    assert run.in_flight == 0


async def test_leaving_early_settles_what_has_left_async(
    server: SandboxServer, generator: QwenImageGenerator, tmp_path: Path
) -> None:
    """The same in asyncio, for a run that is closed."""
    server.script("ok", "slow-1")
    outcomes = aiter(generator.generate_many([f"p{n}" for n in range(100)], concurrency=2))
    await anext(outcomes)
    await outcomes.aclose()  # type: ignore[attr-defined]
    calls = list(Account(books(tmp_path)).calls())
    assert {call.state for call in calls} == {"saved"}
    assert server.gateway.post_count == len(calls) == len(list(tmp_path.glob("*.png")))


async def test_a_cancelled_run_saves_what_is_paid_for(
    tmp_path: Path,
) -> None:
    """Cancelling does not wait; what has left goes on in the background and is saved."""

    async def run() -> None:
        generator = generator_on(server, save_to=tmp_path)
        async for _ in generator.generate_many(["a", "b", "c", "d"], concurrency=2):
            raise AssertionError

    with HeldServer() as server:
        task = asyncio.create_task(run())
        await await_until(lambda: server.gateway.post_count == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        server.release()
        await await_until(lambda: len(list(tmp_path.glob("*.png"))) == 2)
        assert server.gateway.post_count == 2


def test_stop_works_from_another_thread(
    server: SandboxServer, generator: QwenImageGenerator
) -> None:
    """`stop()` wakes a run up that waits for its turn, and the iteration ends."""
    server.script(*["429"] * 1000)
    run = generator.generate_many(["a", "b"])

    def stop() -> None:
        wait_until(lambda: server.gateway.post_count)
        run.stop()

    other = threading.Thread(target=stop)
    other.start()
    assert list(run) == []
    other.join()
    assert server.gateway.post_count < 50


def test_a_run_that_is_over_may_be_stopped(
    generator: QwenImageGenerator, outcomes: Outcomes
) -> None:
    """`stop()` before the first outcome and after the last does no harm."""
    run = generator.generate_many(["a fox"])
    assert statuses(outcomes(run)) == ["saved"]
    run.stop()
    early = generator.generate_many(["a heron"])
    early.stop()
    assert outcomes(early) == []


def test_requests_are_read_as_they_are_needed(generator: QwenImageGenerator) -> None:
    """An endless source is fine: a few requests are taken in advance."""
    taken = []

    def requests() -> Iterator[str]:
        for number in range(10**9):
            taken.append(number)
            yield f"image {number}"

    run = generator.generate_many(requests(), concurrency=4)
    for number, _ in enumerate(run, 1):
        if number == 10:
            break
    assert len(taken) <= 10 + 2 * 4 + 1


def test_requests_may_come_from_an_async_source(
    server: SandboxServer, generator: QwenImageGenerator, outcomes: Outcomes
) -> None:
    """An asynchronous iterable is waited for, while other images are made."""

    async def requests() -> AsyncIterator[str]:
        for number in range(3):
            await asyncio.sleep(0)
            yield f"image {number}"

    assert statuses(outcomes(generator.generate_many(requests()))) == ["saved"] * 3


def test_a_source_that_waits_does_not_hold_a_stop_up(generator: QwenImageGenerator) -> None:
    """A run whose source says nothing more can be stopped."""

    async def requests() -> AsyncIterator[str]:
        yield "a fox"
        await asyncio.Event().wait()

    run = generator.generate_many(requests())
    found = []
    for outcome in run:
        found.append(outcome.status)
        run.stop()
    assert found == ["saved"]


def test_failure_of_the_source_is_raised_at_the_end(
    server: SandboxServer, generator: QwenImageGenerator, outcomes: Outcomes
) -> None:
    """An error of the requests' own iterator ends the run, after what has left."""

    def requests() -> Iterator[str]:
        yield "a fox"
        raise ValueError("line 2 is odd")

    saved: list[BulkOutcome] = []
    with pytest.raises(ValueError, match="line 2 is odd"):
        _collect_into(saved, outcomes, generator.generate_many(requests()))
    assert statuses(saved) == ["saved"]


@pytest.mark.parametrize(
    ("settings", "options", "says"),
    [
        pytest.param({}, {}, "resume=False", id="no-place"),
        pytest.param({"account": "x.db"}, {}, "save_to", id="account-alone"),
        pytest.param({"save_to": InMemoryByteStore()}, {}, "account", id="store-alone"),
        pytest.param({}, {"resume": False, "concurrency": 0}, "concurrency", id="concurrency"),
    ],
)
def test_runs_that_cannot_work_are_refused_at_once(
    server: SandboxServer, settings: dict[str, Any], options: dict[str, Any], says: str
) -> None:
    """What cannot be resumed says so before anything is sent."""
    with pytest.raises(errors.ConfigurationError, match=says):
        generator_on(server, **settings).generate_many(["a fox"], **options)
    assert server.gateway.post_count == 0


def test_a_missing_key_ends_the_run(tmp_path: Path, outcomes: Outcomes) -> None:
    """Without a key nothing is sent, and the error is the usual one."""
    with pytest.raises(errors.ConfigurationError, match="PIXAZO_API_KEY"):
        outcomes(QwenImageGenerator(save_to=tmp_path).generate_many(["a fox"] * 3))


def test_an_unreachable_gateway_is_waited_for(tmp_path: Path) -> None:
    """Where nothing listens, a run waits for the gateway instead of failing request by request."""
    with SandboxServer(draw=draw_plain) as gone:
        port = int(gone.base_url.rpartition(":")[2])
    generator = generator_on(gone, save_to=tmp_path)
    found: list[str] = []
    reader = threading.Thread(
        target=lambda: found.extend(one.status for one in generator.generate_many(["a", "b"]))
    )
    reader.start()
    with SandboxServer(port, draw=draw_plain) as back:
        reader.join(PATIENCE)
        assert found == ["saved", "saved"]
        assert back.gateway.post_count == 2


async def test_blocking_iteration_works_under_a_running_loop(
    generator: QwenImageGenerator,
) -> None:
    """`for` in a notebook, whose loop runs, does not deadlock."""
    assert [one.status for one in generator.generate_many(["a fox"])] == ["saved"]


def test_ctrl_c_in_blocking_iteration_waits_for_what_was_sent(
    generator: QwenImageGenerator, server: SandboxServer
) -> None:
    """`KeyboardInterrupt` is raised once what was sent is settled; nothing more is sent."""
    noticed = threading.Event()
    original = server.gateway.answer

    def interrupt(*_: Any) -> None:
        if not noticed.is_set():
            noticed.set()
            raise KeyboardInterrupt

    def answer(*arguments: Any) -> Any:
        while not noticed.wait(0.01):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return original(*arguments)

    server.gateway.answer = answer  # type: ignore[method-assign]
    previous = signal.signal(signal.SIGINT, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            list(generator.generate_many(["a fox", "a heron"], concurrency=1))
    finally:
        signal.signal(signal.SIGINT, previous)
    assert server.gateway.post_count == 1
    resumed = outcomes_in_order(generator.generate_many(["a fox", "a heron"]))
    assert statuses(resumed) == ["reused", "saved"]
    assert server.gateway.post_count == 2


def test_context_variables_reach_the_requests_source(generator: QwenImageGenerator) -> None:
    """Blocking iteration reads the requests in the caller's context, as `invoke` would run."""
    who: ContextVar[str] = ContextVar("who", default="nobody")
    who.set("ada")
    run = generator.generate_many(f"{who.get()} {n}" for n in range(2))
    assert sorted(one.request.prompt for one in run if one.request) == ["ada 0", "ada 1"]


def test_never_more_at_once_than_asked_for(tmp_path: Path, outcomes: Outcomes) -> None:
    """The gateway sees at most `concurrency` requests at the same time."""
    with SandboxServer(draw=draw_plain, latency_seconds=0.02) as server:
        generator = generator_on(server, save_to=tmp_path)
        run = generator.generate_many([f"p{n}" for n in range(30)], concurrency=3)
        seen = []
        original = server.gateway.answer

        def answer(*arguments: Any) -> Any:
            seen.append(run.in_flight)
            return original(*arguments)

        server.gateway.answer = answer  # type: ignore[method-assign]
        assert statuses(outcomes(run)) == ["saved"] * 30
        assert max(seen) == 3


def test_each_request_is_a_run_of_langchain(
    generator: QwenImageGenerator, outcomes: Outcomes
) -> None:
    """Callbacks and tags of the configuration hold for each request."""
    starts = []

    class Watching(BaseCallbackHandler):
        def on_chain_start(self, *_: Any, **named: Any) -> None:
            starts.append(named["tags"])

    config: Any = {"callbacks": [Watching()], "tags": ["shop"]}
    outcomes(generator.generate_many(["a fox", "a heron"], config=config))
    assert starts == [["shop"], ["shop"]]


def test_a_survey_says_what_a_run_would_do(
    server: SandboxServer, generator: QwenImageGenerator
) -> None:
    """Counts and cost are those of the run that follows, and the survey itself costs nothing."""
    server.script("ok", "500", "expired", "image-404")
    list(generator.generate_many(["a", "b", "c", "d"], concurrency=1))
    posts = server.gateway.post_count
    requests = ["a", "a", "b", "c", "d", "e"]
    plain = estimate_cost(generator, requests)
    assert (plain.requests, plain.reused, plain.unknown, plain.lost) == (6, 2, 1, 1)
    assert (plain.to_generate, plain.max_usd) == (2, Decimal("0.090"))
    bold = estimate_cost(generator, requests, retry_unknown=True, retry_lost=True)
    assert (bold.to_generate, bold.max_usd) == (4, Decimal("0.180"))
    assert server.gateway.post_count == posts
    with pytest.raises(errors.InvalidRequestError):
        estimate_cost(generator, [" "])


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=20), st.integers(0, 20))
@settings(max_examples=30)
def test_names_of_requests_hold(prompts: list[str], place: int) -> None:
    """Names differ within a run, and what is put between others changes none of theirs."""

    def names_of(given: list[str]) -> list[str]:
        names = RequestIds()
        try:
            return [names.next_id(QwenImageInput(prompt=prompt)) for prompt in given]
        finally:
            names.close()

    names = names_of(prompts)
    assert len(set(names)) == len(names)
    assert names_of([*prompts[:place], "other", *prompts[place:]]) != names
    assert set(names) < set(names_of([*prompts[:place], "other", *prompts[place:]]))
