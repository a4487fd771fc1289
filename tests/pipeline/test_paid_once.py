"""One key, one payment: what a call of a key gets, by how things stand with it, and its POSTs."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Call
from held import HeldServer
from quick import quick
from waiting import wait_until

from langchain_qwen_image import Budget, QwenImageClient, QwenImageGenerator, errors
from langchain_qwen_image.account.account import Account
from langchain_qwen_image.concurrency.runtime import Asyncio, Blocking
from langchain_qwen_image.pipeline.order import CallKey
from langchain_qwen_image.pipeline.standing import Action, next_action
from langchain_qwen_image.sandbox import SandboxServer

KEY = "test-key-0123456789abcdef"
ORDER = {"idempotency_key": "order-17"}


def generator_on(server: Any, folder: Path, **settings: Any) -> QwenImageGenerator:
    """Return a generator with the account `books.db`, which saves its images."""
    settings = {"save_to": folder / "images", "account": folder / "books.db", **settings}
    return quick(
        QwenImageGenerator(api_key=KEY, base_url=server.base_url, size="512*512", **settings)
    )


@pytest.mark.parametrize(
    ("state", "action", "with_retry"),
    [
        pytest.param("asked", Action.SEND, Action.SEND, id="asked"),
        pytest.param("refused", Action.SEND, Action.SEND, id="refused"),
        pytest.param("sent", Action.WAIT, Action.WAIT, id="sent"),
        pytest.param("queued", Action.RESUME, Action.RESUME, id="queued"),
        pytest.param("answered", Action.HAND_OUT, Action.HAND_OUT, id="answered"),
        pytest.param("saved", Action.HAND_OUT, Action.HAND_OUT, id="saved"),
        pytest.param("unknown", Action.REFUSE, Action.REPLACE, id="unknown"),
    ],
)
def test_what_is_done_about_a_call(state: Any, action: Action, with_retry: Action) -> None:
    """Each state of a call has one next step; only a lost answer asks for the caller's word."""
    assert next_action(state, retry_unknown=False) is action
    assert next_action(state, retry_unknown=True) is with_retry


def test_a_key_is_paid_for_once(server: SandboxServer, call: Call, tmp_path: Path) -> None:
    """The second call gets the first image, sends nothing, costs nothing, and needs no budget."""
    first = call(generator_on(server, tmp_path), "invoke", "a fox", **ORDER)
    budget = Budget(max_images=0)
    again = call(generator_on(server, tmp_path, budget=budget), "invoke", "a fox", **ORDER)
    assert server.gateway.post_count == 1
    assert (first.replayed, first.cost_usd, first.first_cost_usd) == (False, 0.045, None)
    assert (again.replayed, again.cost_usd, again.first_cost_usd) == (True, 0, 0.045)
    for name in ("id", "path", "sha256", "width", "height", "mime_type", "size_bytes"):
        assert getattr(again.image, name) == getattr(first.image, name)
    assert again.image.read() == first.image.read()
    artifact = again.to_artifact()
    assert (artifact["replayed"], artifact["cost_usd"]) == (True, 0)
    account = Account(tmp_path / "books.db")
    assert (str(account.spent_usd), str(account.reserved_usd)) == ("0.045", "0")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"idempotency_key": "order-18"}, id="key"),
        pytest.param({**ORDER, "run": "monday"}, id="run"),
        pytest.param({}, id="none"),
    ],
)
def test_another_key_is_another_image(
    server: SandboxServer, call: Call, tmp_path: Path, other: dict[str, str]
) -> None:
    """Another key, the same in another run, and no key at all are paid for."""
    generator = generator_on(server, tmp_path)
    call(generator, "invoke", "a fox", **ORDER)
    assert not call(generator, "invoke", "a fox", **other).replayed
    assert server.gateway.post_count == 2


def test_a_key_is_for_one_request(server: SandboxServer, call: Call, tmp_path: Path) -> None:
    """With another prompt or size it is refused, and nothing is sent."""
    generator = generator_on(server, tmp_path)
    call(generator, "invoke", "a fox", **ORDER)
    for prompt, options in (("an owl", {}), ("a fox", {"size": "768*768"})):
        with pytest.raises(errors.IdempotencyError, match="order-17"):
            call(generator, "invoke", prompt, **ORDER, **options)
    assert server.gateway.post_count == 1


@pytest.mark.parametrize("length", [0, 256])
def test_a_key_has_a_length(server: SandboxServer, call: Call, tmp_path: Path, length: int) -> None:
    """1 to 255 characters; nothing is sent for another."""
    with pytest.raises(errors.InvalidRequestError, match="1 to 255"):
        call(generator_on(server, tmp_path), "invoke", "a fox", idempotency_key="k" * length)
    assert server.gateway.post_count == 0


def test_a_key_needs_an_account(server: SandboxServer, call: Call) -> None:
    """Without one it would be a promise in memory; nothing is sent."""
    client = QwenImageClient(api_key=KEY, base_url=server.base_url)
    with pytest.raises(errors.ConfigurationError, match="account"):
        call(client, "generate", "a fox", **ORDER)
    assert server.gateway.post_count == 0


def test_a_client_with_an_account(server: SandboxServer, call: Call, tmp_path: Path) -> None:
    """The plain client pays for a key once; the link is handed out while it lives."""
    client = QwenImageClient(api_key=KEY, base_url=server.base_url, account=tmp_path / "books.db")
    first = call(client, "generate", "a fox", **ORDER)
    again = call(client, "generate", "a fox", **ORDER)
    assert (again.image.url, again.replayed) == (first.image.url, True)
    assert server.gateway.post_count == 1


@pytest.mark.parametrize("scenario", ["401", "429", "moderation"])
def test_what_bought_nothing_is_asked_now(
    server: SandboxServer, call: Call, tmp_path: Path, scenario: str
) -> None:
    """A call of the key that was refused is no obstacle: the next one sends."""
    generator = generator_on(server, tmp_path, max_retries=0)
    server.script(scenario)
    with pytest.raises(errors.QwenImageError):
        call(generator, "invoke", "a fox", **ORDER)
    assert not call(generator, "invoke", "a fox", **ORDER).replayed
    assert server.gateway.post_count == 2
    assert str(Account(tmp_path / "books.db").spent_usd) == "0.045"


@pytest.mark.parametrize("scenario", ["500", "drop", "malformed"])
def test_a_lost_answer_is_paid_for_again_on_request_only(
    server: SandboxServer, call: Call, tmp_path: Path, scenario: str
) -> None:
    """Nothing is sent for the key any more, unless the caller takes the risk."""
    generator = generator_on(server, tmp_path)
    server.script(scenario)
    with pytest.raises(errors.QwenImageError):
        call(generator, "invoke", "a fox", **ORDER)
    for _ in range(2):
        with pytest.raises(errors.ResultUnknownError, match="retry_unknown"):
            call(generator, "invoke", "a fox", **ORDER)
    wait_until(lambda: server.gateway.post_count)
    assert server.gateway.post_count == 1
    assert not call(generator, "invoke", "a fox", **ORDER, retry_unknown=True).replayed
    assert call(generator, "invoke", "a fox", **ORDER).replayed
    assert server.gateway.post_count == 2
    assert str(Account(tmp_path / "books.db").spent_usd) == "0.090"


def test_an_image_that_is_not_on_disk_is_fetched_again(
    server: SandboxServer, call: Call, tmp_path: Path
) -> None:
    """What a client bought by its link is saved by a generator later, free of charge."""
    client = QwenImageClient(api_key=KEY, base_url=server.base_url, account=tmp_path / "books.db")
    call(client, "generate", "a fox", size="512*512", **ORDER)
    again = call(generator_on(server, tmp_path), "invoke", "a fox", **ORDER)
    assert again.replayed
    assert Path(again.image.path).is_file()
    (row,) = Account(tmp_path / "books.db").calls()
    assert row.state == "saved"
    assert server.gateway.post_count == 1


def test_a_lost_image_is_paid_for_again_on_request_only(
    server: SandboxServer, call: Call, tmp_path: Path
) -> None:
    """A file that was deleted, whose link is erased, is a `DownloadError`, and nothing is sent."""
    generator = generator_on(server, tmp_path)
    Path(call(generator, "invoke", "a fox", **ORDER).image.path).unlink()
    with pytest.raises(errors.DownloadError, match="retry_lost"):
        call(generator, "invoke", "a fox", **ORDER)
    assert server.gateway.post_count == 1
    assert not call(generator, "invoke", "a fox", **ORDER, retry_lost=True).replayed
    assert call(generator, "invoke", "a fox", **ORDER).replayed
    assert server.gateway.post_count == 2


def test_a_queued_call_is_asked_for_on(server: SandboxServer, call: Call, tmp_path: Path) -> None:
    """The gateway has it in its queue: the next call of the key asks, and sends nothing."""
    generator = generator_on(server, tmp_path, timeout=0.4)
    server.script("queued-1")
    with pytest.raises(errors.RequestTimeoutError):
        call(generator, "invoke", "a fox", **ORDER)
    generator._pipelines.clear()  # from now on it waits in earnest
    generator.timeout = 240
    again = call(generator, "invoke", "a fox", **ORDER)
    assert (again.replayed, again.cost_usd) == (True, 0)
    assert server.gateway.post_count == 1


def test_equal_keys_in_a_batch_are_one_payment(
    server: SandboxServer, call: Call, tmp_path: Path
) -> None:
    """Each gets the image; one of them bears the cost, so that the sum is true."""
    generator = generator_on(server, tmp_path)
    configs = [{"configurable": {"idempotency_key": key}} for key in ("a", "a", "b", "a")]
    results = call(generator, "batch", ["a fox"] * 4, configs)
    assert len({result.image.path for result in results}) == 2
    assert round(sum(result.cost_usd for result in results), 3) == 0.09
    assert server.gateway.post_count == 2


def test_in_a_chain_the_key_comes_by_the_configuration(
    server: SandboxServer, call: Call, tmp_path: Path
) -> None:
    """A keyword would go to the first step; `configurable` reaches the generator."""
    chain = (lambda prompt: f"{prompt} in the snow") | generator_on(server, tmp_path)
    config = {"configurable": ORDER}
    assert not call(chain, "invoke", "a fox", config).replayed
    assert call(chain, "invoke", "a fox", config).replayed
    assert server.gateway.post_count == 1


def test_two_threads_and_two_loops_wait_for_one_call(tmp_path: Path) -> None:
    """Under way in this process: one POST, whatever generators, threads and loops they are in."""
    with HeldServer() as server, ThreadPoolExecutor(4) as threads:
        generators = [generator_on(server, tmp_path) for _ in range(4)]
        asked = [threads.submit(one.invoke, "a fox", **ORDER) for one in generators[:2]]
        asked += [
            threads.submit(asyncio.run, one.ainvoke("a fox", **ORDER)) for one in generators[2:]
        ]
        wait_until(lambda: server.gateway.post_count)
        server.release()
        results = [one.result() for one in asked]
        assert server.gateway.post_count == 1
    assert sorted(result.cost_usd for result in results) == [0, 0, 0, 0.045]


class Elsewhere:
    """Another process that has sent the call of the key: its steps in the account."""

    def __init__(self, folder: Path, server: Any) -> None:
        """Enter and send the call."""
        self.account = Account(folder / "books.db")
        generator = generator_on(server, folder)
        arguments = generator.checked("a fox")
        pipeline = generator.pipeline
        wire = pipeline.sender.prepare(arguments)
        new = pipeline._new_call(wire, arguments, CallKey("order-17"))
        self.id = self.account.asked(new).result().id
        self.account.sent(self.id, lease_seconds=100).result()


def watched(generator: QwenImageGenerator, at_sleep: Any) -> tuple[Any, list[float]]:
    """Return a generator that does something at each pause, and the pauses."""
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        at_sleep(len(pauses))

    async def asleep(seconds: float) -> None:
        sleep(seconds)

    generator._pipelines[:] = [
        replace(generator.pipeline, blocking=Blocking(sleep), asyncio=Asyncio(asleep))
    ]
    return generator, pauses


def test_a_call_of_another_process_is_waited_for(
    server: SandboxServer, call: Call, tmp_path: Path
) -> None:
    """Its row is read after 0.2 s, then in growing steps; what bought nothing is taken over."""
    other = Elsewhere(tmp_path, server)

    def give_up(number: int) -> None:
        if number == 3:
            other.account.refused(other.id, error="ServerError", message="no").result()

    generator, pauses = watched(generator_on(server, tmp_path), give_up)
    result = call(generator, "invoke", "a fox", **ORDER)
    assert (result.call_id, result.replayed) == (other.id, False)
    assert pauses[:3] == sorted(pauses[:3])
    assert pauses[0] == 0.2
    assert server.gateway.post_count == 1


def test_a_waiter_has_a_time_of_its_own(server: SandboxServer, call: Call, tmp_path: Path) -> None:
    """At most its own timeout; then it may be repeated, and was told when."""
    Elsewhere(tmp_path, server)
    generator, pauses = watched(generator_on(server, tmp_path, timeout=7), lambda _: None)
    with pytest.raises(errors.CallInProgressError) as caught:
        call(generator, "invoke", "a fox", **ORDER)
    assert caught.value.is_retryable
    assert 0 < (caught.value.retry_after or 0) <= 100
    assert round(sum(pauses), 3) == 7
    assert max(pauses) == 2
    assert server.gateway.post_count == 0
