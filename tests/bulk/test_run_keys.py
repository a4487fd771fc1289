"""Bulk runs and keys: what an id pays for once, in every process that works on the run."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from held import HeldServer
from leases import end_leases
from waiting import PATIENCE, await_until, wait_until

from langchain_qwen_image import QwenImageGenerator, errors
from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.keys import NewCall
from langchain_qwen_image.bulk import BulkOutcome, BulkRequest, BulkRun, estimate_cost
from langchain_qwen_image.bulk.items import Deferred, Item, Keys
from langchain_qwen_image.bulk.lookup import Lookup
from langchain_qwen_image.bulk.report import report
from langchain_qwen_image.bulk.request_ids import RequestIds
from langchain_qwen_image.sandbox import SandboxServer
from langchain_qwen_image.schemas import QwenImageInput

Generators = Callable[..., QwenImageGenerator]
PRICE = Decimal("0.045")


@pytest.fixture
def generators(server: SandboxServer, location: str, tmp_path: Path) -> Generators:
    """Make generators that share one account and one folder, as processes would."""

    def make(at: SandboxServer | HeldServer = server, **settings: Any) -> QwenImageGenerator:
        return QwenImageGenerator(
            base_url=at.base_url,
            api_key="test-key-of-keys",
            save_to=tmp_path / "images",
            account=location,
            **settings,
        )

    return make


@pytest.fixture
def generator(generators: Generators) -> QwenImageGenerator:
    """One of them."""
    return generators()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a run not wait at its end for what others have sent."""
    monkeypatch.setattr("langchain_qwen_image.bulk.settling.LAST_WAIT", 0.0)


def found(run: BulkRun) -> list[BulkOutcome]:
    """Run to the end; the outcomes in the order of the requests."""
    return sorted(run, key=lambda one: one.number)


def statuses(run: BulkRun) -> list[str]:
    """Run to the end, and return what became of each request."""
    return [one.status for one in found(run)]


def new_call(server: SandboxServer, key: str, prompt: str) -> NewCall:
    """Return the call that another process would make for a request of the run."""
    arguments = QwenImageInput(prompt=prompt)
    return NewCall(
        uuid4().hex,
        prompt,
        arguments.parameters().model_dump(),
        "qwen-image",
        server.base_url,
        PRICE,
        key=key,
        run="bulk",
    )


def send_elsewhere(account: Account, call: NewCall) -> None:
    """Do what another process does right before its POST."""
    account.asked(call).result(60)
    account.sent(call.id, lease_seconds=250).result(60)


def test_an_id_is_paid_for_once(server: SandboxServer, generator: QwenImageGenerator) -> None:
    """Its image is handed out at no cost, wherever its row is, and whatever others are there."""
    assert statuses(generator.generate_many([BulkRequest("a fox", "A")])) == ["saved"]
    requests = [BulkRequest("a fox", "B"), "a fox", BulkRequest("a fox", "A")]
    again = found(generator.generate_many(requests))
    assert [one.status for one in again] == ["saved", "saved", "reused"]
    assert [one.cost_usd for one in again] == [0.045, 0.045, 0]
    assert again[2].result is not None
    assert again[2].result.replayed
    assert server.gateway.post_count == 3
    assert statuses(generator.generate_many(reversed(requests))) == ["reused"] * 3
    assert server.gateway.post_count == 3


def test_an_id_with_another_request_fails(
    server: SandboxServer, generator: QwenImageGenerator
) -> None:
    """Nothing is sent for it, the sentence says so, and the others go on."""
    list(generator.generate_many([BulkRequest("a fox", "A")]))
    requests = [BulkRequest("a heron", "A"), BulkRequest("an owl", "B")]
    estimate = estimate_cost(generator, requests)
    assert (estimate.conflicting, estimate.to_generate) == (1, 1)
    other, _ = found(generator.generate_many(requests))
    assert (other.status, other.cost_usd, type(other.error)) == (
        "failed",
        0,
        errors.IdempotencyError,
    )
    assert "'A' was used for another request" in str(other.reason)
    assert server.gateway.post_count == 2
    assert [row.status for row in report(generator, requests)] == ["failed", "saved"]


def test_an_id_twice_in_one_run_is_one_payment(
    server: SandboxServer, generator: QwenImageGenerator
) -> None:
    """Equal requests of one id get one image; another request of that id fails."""
    requests = [BulkRequest("a fox", "A"), BulkRequest("a fox", "A"), BulkRequest("an owl", "A")]
    states = statuses(generator.generate_many(requests, concurrency=3))
    assert sorted(states) in (["failed", "reused", "saved"], ["failed", "failed", "saved"])
    assert server.gateway.post_count == 1
    assert sorted(statuses(generator.generate_many(requests[:2]))) in (
        ["reused", "reused"],
        ["failed", "failed"],
    )


def test_a_function_names_requests(server: SandboxServer, generator: QwenImageGenerator) -> None:
    """Its key goes before the id, which still names the file; what cannot be a key fails."""
    keys = {"A": "first", "B": "first", "C": "x" * 256}

    def key_of(request: BulkRequest) -> str | None:
        return keys.get(request.id or "")

    requests = [BulkRequest("a fox", one) for one in "ABCD"]
    outcomes = found(generator.generate_many(requests, idempotency_key=key_of, concurrency=1))
    assert [one.status for one in outcomes] == ["saved", "reused", "failed", "saved"]
    assert type(outcomes[2].error) is errors.InvalidRequestError
    assert server.gateway.post_count == 2
    assert outcomes[0].result is not None
    assert "-fox-a-" in str(outcomes[0].result.image.path)


def test_a_function_that_fails_ends_the_run(
    server: SandboxServer, generator: QwenImageGenerator
) -> None:
    """Its error is raised after what was sent, as one of the requests' own iterator."""
    with pytest.raises(KeyError):
        list(generator.generate_many(["a fox"], idempotency_key=lambda _: {}["x"]))
    assert server.gateway.post_count == 0


def test_images_that_were_bought_without_ids_are_found_with_ids(
    server: SandboxServer, generator: QwenImageGenerator
) -> None:
    """An earlier version knew requests by their content also where they had ids.

    Each of its images stands for one id, in whatever order the rows come later.
    """
    list(generator.generate_many(["a fox", "a fox", "an owl"]))
    assert server.gateway.post_count == 3
    requests = [BulkRequest("a fox", one) for one in "ABC"] + [BulkRequest("an owl", "D")]
    assert estimate_cost(generator, requests).reused == 3
    states = statuses(generator.generate_many(requests))
    assert states == ["reused", "reused", "saved", "reused"]
    assert server.gateway.post_count == 4
    assert statuses(generator.generate_many(reversed(requests))) == ["reused"] * 4
    assert server.gateway.post_count == 4


def test_runs_of_one_account_have_names(
    server: SandboxServer, generator: QwenImageGenerator, location: str
) -> None:
    """A key is one of its run, and the account says how far each run has come."""
    for name in ("shop", "cards"):
        run = generator.generate_many([BulkRequest("a fox", "A")], run=name)
        assert (run.name, statuses(run)) == (name, ["saved"])
    assert statuses(generator.generate_many([BulkRequest("a fox", "A")], run="shop")) == ["reused"]
    assert server.gateway.post_count == 2
    account = Account(location)
    assert (account.progress("shop").saved, account.progress("cards").spent_usd) == (1, PRICE)
    for options in ({"run": "shop", "resume": False}, {"run": " "}):
        with pytest.raises(errors.ConfigurationError):
            generator.generate_many(["a fox"], **options)


@pytest.mark.usefixtures("at_once")
def test_what_another_process_has_sent_is_elsewhere(
    server: SandboxServer, generator: QwenImageGenerator, account: Account
) -> None:
    """It is left alone, all others are made, and the outcome says how long it can take."""
    send_elsewhere(account, new_call(server, "A", "a fox"))
    requests = [BulkRequest("a fox", "A"), BulkRequest("an owl", "B")]
    estimate = estimate_cost(generator, requests)
    assert (estimate.elsewhere, estimate.to_generate) == (1, 1)
    for state in ("saved", "reused"):
        run = generator.generate_many(requests, retry_unknown=True, retry_lost=True)
        away, other = found(run)
        assert (away.status, away.cost_usd, other.status) == ("elsewhere", 0, state)
        assert type(away.error) is errors.CallInProgressError
        assert away.error.retry_after is not None
        assert 0 < away.error.retry_after <= 250
        assert "Another process has sent it" in str(away.reason)
        assert run.spend().unknown == 0
    assert server.gateway.post_count == 1
    assert [row.status for row in report(generator, requests)] == ["elsewhere", "saved"]


@pytest.mark.usefixtures("at_once")
def test_what_a_killed_process_had_sent_is_unknown_in_the_end(
    server: SandboxServer, generator: QwenImageGenerator, account: Account
) -> None:
    """When its time is over it counts as spent, and is paid for again on demand alone."""
    send_elsewhere(account, new_call(server, "A", "a fox"))
    requests = [BulkRequest("a fox", "A")]
    assert statuses(generator.generate_many(requests)) == ["elsewhere"]
    assert (account.spent_usd, account.reserved_usd) == (0, PRICE)
    end_leases(account)
    assert estimate_cost(generator, requests).unknown == 1
    assert [row.status for row in report(generator, requests)] == ["unknown"]
    [left] = found(generator.generate_many(requests))
    assert (left.status, left.cost_usd, server.gateway.post_count) == ("unknown", 0, 0)
    assert (account.spent_usd, account.reserved_usd) == (PRICE, 0)
    assert statuses(generator.generate_many(requests, retry_unknown=True)) == ["saved"]
    assert statuses(generator.generate_many(requests)) == ["reused"]
    assert server.gateway.post_count == 1
    assert account.spent_usd == 2 * PRICE


def test_a_request_that_another_process_gives_up_is_taken_over(
    server: SandboxServer, generator: QwenImageGenerator, account: Account
) -> None:
    """A run asks once more at its end: what was refused elsewhere meanwhile is bought here."""
    call = new_call(server, "A", "a fox")
    send_elsewhere(account, call)
    run = generator.generate_many([BulkRequest("a fox", "A"), BulkRequest("an owl", "B")])
    outcomes = iter(run)
    first = next(outcomes)
    assert (first.id, first.status) == ("B", "saved")
    account.refused(call.id, error="ServerError", message="no").result(60)
    assert [(one.id, one.status) for one in outcomes] == [("A", "saved")]
    assert server.gateway.post_count == 2


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    ("steps", "status", "error"),
    [
        pytest.param("sent", "elsewhere", errors.CallInProgressError, id="sent"),
        pytest.param("unknown", "unknown", errors.ResultUnknownError, id="unknown"),
        pytest.param("answered", "reused", None, id="answered"),
        pytest.param("other", "failed", errors.IdempotencyError, id="other-request"),
    ],
)
def test_a_lost_race_costs_nothing(
    server: SandboxServer,
    generators: Generators,
    account: Account,
    monkeypatch: pytest.MonkeyPatch,
    steps: str,
    status: str,
    error: type[Exception] | None,
) -> None:
    """A request that another process takes after the look here is not paid for again."""
    prompt = "an owl" if steps == "other" else "a fox"
    call = new_call(server, "A", prompt)
    if steps == "answered":
        list(generators().generate_many([BulkRequest(prompt, "A")]))
    else:
        send_elsewhere(account, call)
    if steps == "unknown":
        account.unknown(call.id, error="RequestTimeoutError", message="?").result(60)
    posts, spent = server.gateway.post_count, account.spent_usd + account.reserved_usd
    monkeypatch.setattr(Lookup, "find", lambda *_: None)
    run = generators().generate_many([BulkRequest("a fox", "A")])
    [outcome] = found(run)
    assert (outcome.status, outcome.cost_usd) == (status, 0)
    assert error is None or type(outcome.error) is error
    assert server.gateway.post_count == posts
    assert account.spent_usd + account.reserved_usd == spent
    assert run.spend().usd == run.spend().usd_unknown == 0


def test_two_runs_at_once_share_the_work(generators: Generators, account: Account) -> None:
    """Each image is paid for by one of them, both end with all of them, and the sums are true."""
    requests = [f"image {number}" for number in range(12)]
    with HeldServer() as held:
        runs = [generators(held).generate_many(requests, concurrency=4) for _ in range(2)]
        states: list[list[str]] = [[], []]

        def work(number: int) -> None:
            states[number] = statuses(runs[number])

        threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
        for count, thread in enumerate(threads, 1):
            thread.start()
            wait_until(lambda count=count: held.gateway.post_count == 4 * count)
        held.release()
        for thread in threads:
            thread.join(PATIENCE)
        assert held.gateway.post_count == 12
    ours, theirs = (states_.count("saved") for states_ in states)
    assert ours + theirs == 12
    assert {*states[0], *states[1]} == {"saved", "reused"}
    spends = [run.spend() for run in runs]
    assert [one.saved for one in spends] == [ours, theirs]
    assert sum(one.usd for one in spends) == account.spent_usd == 12 * PRICE


def test_lost_images_are_paid_for_again_on_demand(
    server: SandboxServer, generator: QwenImageGenerator
) -> None:
    """An image whose file is gone and whose link is dead is lost, and bought by `retry_lost`."""
    [made] = found(generator.generate_many([BulkRequest("a fox", "A")]))
    assert made.result is not None
    Path(made.result.image.path or "").unlink()
    requests = [BulkRequest("a fox", "A")]
    assert estimate_cost(generator, requests).lost == 1
    [gone] = found(generator.generate_many(requests, retry_unknown=True))
    assert (gone.status, gone.cost_usd, server.gateway.post_count) == ("lost", 0, 1)
    assert [row.status for row in report(generator, requests)] == ["lost"]
    assert estimate_cost(generator, requests, retry_lost=True).to_generate == 1
    assert statuses(generator.generate_many(requests, retry_lost=True)) == ["saved"]
    assert server.gateway.post_count == 2


@pytest.mark.usefixtures("at_once")
def test_what_was_left_is_counted_as_perhaps_paid(generators: Generators, account: Account) -> None:
    """What a run has sent and not waited for is in its sum, by what the account says of it."""

    async def leave(run: BulkRun) -> None:
        async for _ in run:
            raise AssertionError

    async def cancelled(run: BulkRun) -> None:
        task = asyncio.create_task(leave(run))
        await await_until(lambda: held.gateway.post_count == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with HeldServer() as held:
        run = generators(held).generate_many(["a", "b"], concurrency=2)
        asyncio.run(cancelled(run))
        spend = run.spend()
        assert (spend.saved, spend.unknown, spend.usd_unknown) == (0, 2, 2 * PRICE)


def test_old_ids_and_the_new_do_not_mix() -> None:
    """A row without an id has the same key whether or not rows with ids were found by theirs."""
    arguments = QwenImageInput(prompt="a fox")
    with closing(RequestIds()) as ids:
        first = ids.next_id(arguments)

    class Knows:
        def __init__(self, *keys: str) -> None:
            self.keys = keys

        def find(self, key: str) -> object | None:
            return key if key in self.keys else None

    for known in (Knows(), Knows("A")):
        with closing(Keys(known)) as keys:
            named = keys.item(0, BulkRequest("a fox", "A"), arguments)
            plain = keys.item(1, BulkRequest("a fox"), arguments)
        assert (named.key, named.is_named, plain.key) == ("A", True, first)


def test_deferred_requests_come_back_as_they_were() -> None:
    """They wait on the disk, in their order, with arguments and key."""

    def items() -> Iterator[Item]:
        for number in (7, 3):
            arguments = QwenImageInput(prompt=f"狐 {number}", size="512*512", watermark=False)
            yield Item(number, arguments, f"key {number}", is_named=True, item_id="é")

    with closing(Deferred()) as deferred:
        for item in items():
            deferred.add(item)
        assert [deferred.take(), deferred.take(), deferred.take()] == [*reversed([*items()]), None]
