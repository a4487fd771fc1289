"""The pipeline: in which order a call is booked, paid, fetched and saved, whatever happens."""

import asyncio
import logging
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from books import books
from conftest import Call
from held import HeldServer
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.stores import InMemoryByteStore
from quick import quick
from waiting import await_until

from langchain_qwen_image import (
    Budget,
    ImageGenerationResult,
    QwenImageGenerator,
    QwenImageInput,
    QwenImageTool,
    errors,
)
from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.limits import Totals
from langchain_qwen_image.account.records import CallRecord
from langchain_qwen_image.client import QwenImageClient
from langchain_qwen_image.pipeline.cancellation import CallState
from langchain_qwen_image.pipeline.order import CallKey
from langchain_qwen_image.sandbox import SandboxServer, draw_plain
from langchain_qwen_image.sandbox.gateway import Gateway

PRICE = Decimal("0.045")


class WatchedGateway(Gateway):
    """A gateway that looks into the caller's books at the moment it gets a POST."""

    def __init__(self, base_url: str, account: Path, budget: Budget) -> None:
        super().__init__(base_url, draw=draw_plain)
        self.account, self.budget = account, budget
        self.seen: list[tuple[str, int, Decimal]] = []

    def answer(self, method: str, *rest: Any) -> Any:
        if method == "POST":
            (call,) = Account(self.account).calls()
            self.seen.append((call.state, call.attempts, self.budget.reserved_usd))
        return super().answer(method, *rest)


class Turnstile(BaseRateLimiter):
    """Counts who passes, and how."""

    def __init__(self) -> None:
        self.passed: list[str] = []

    def acquire(self, *, blocking: bool = True) -> bool:
        assert blocking
        self.passed.append("sync")
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        assert blocking
        self.passed.append("async")
        return True


def generator_on(server: SandboxServer | HeldServer, **settings: Any) -> QwenImageGenerator:
    """Return a generator that talks to the server and does not repeat."""
    return QwenImageGenerator(
        **{"base_url": server.base_url, "api_key": "test-key-p", "max_retries": 0, **settings}
    )


def calls(folder: Path) -> list[CallRecord]:
    """Return what the account in a folder says."""
    return list(Account(books(folder)).calls())


def pictures(folder: Path) -> list[str]:
    """Return the paths of the images in a folder."""
    return sorted(str(one) for one in folder.glob("*.png"))


def test_a_row_is_committed_and_the_money_set_aside_before_each_post(
    server: SandboxServer, call: Call, tmp_path: Path
) -> None:
    """When the gateway gets a POST, the file already says `sent`, and the price is reserved."""
    budget = Budget(max_usd=1)
    server.gateway = WatchedGateway(server.base_url, books(tmp_path), budget)
    generator = quick(generator_on(server, save_to=tmp_path, budget=budget, max_retries=2))
    with pytest.raises(errors.RateLimitError):
        call(generator, "invoke", "sandbox:429")
    assert server.gateway.seen == [("sent", 1, PRICE), ("sent", 2, PRICE), ("sent", 3, PRICE)]
    assert (budget.spent_usd, budget.reserved_usd) == (0, 0)


OUTCOMES = [
    pytest.param("ok", "saved", 1, 1, id="saved"),
    pytest.param("two-images", "saved", 2, 2, id="two images"),
    pytest.param("data-uri", "saved", 1, 1, id="inline"),
    pytest.param("image-404", "answered", 1, 0, id="link dead"),
    pytest.param("image-html", "answered", 1, 0, id="link gives HTML"),
    pytest.param("image-private", "answered", 1, 0, id="link leads to a private address"),
    pytest.param("500", "unknown", 1, 0, id="500"),
    pytest.param("drop", "unknown", 1, 0, id="connection dropped"),
    pytest.param("truncated", "unknown", 1, 0, id="answer cut short"),
    pytest.param("malformed", "unknown", 1, 0, id="malformed"),
    pytest.param("no-image", "unknown", 1, 0, id="no image"),
    pytest.param("401", "refused", 0, 0, id="401"),
    pytest.param("moderation", "refused", 0, 0, id="moderation"),
    pytest.param("429", "refused", 0, 0, id="429"),
    pytest.param("quota", "refused", 0, 0, id="quota"),
    pytest.param("503-retry-after", "refused", 0, 0, id="503 with Retry-After"),
]


@pytest.mark.parametrize(("name", "state", "paid", "saved"), OUTCOMES)
@pytest.mark.parametrize("budget_file", [False, True], ids=["memory", "file"])
def test_books_and_budget_agree_on_every_outcome(
    server: SandboxServer,
    call: Call,
    tmp_path: Path,
    name: str,
    state: str,
    paid: int,
    saved: int,
    budget_file: bool,
) -> None:
    """What may be billed is spent, what bought nothing is given back, and nothing stays open."""
    budget = Budget.file(books(tmp_path), max_usd=1) if budget_file else Budget(max_usd=1)
    generator = generator_on(server, save_to=tmp_path, budget=budget)
    (outcome,) = call(generator, "batch", [f"sandbox:{name}"], return_exceptions=True)
    (row,) = calls(tmp_path)
    assert row.state == state
    assert (budget.spent_usd, budget.images) == (PRICE * paid, paid)
    assert budget.reserved_usd == 0
    assert len(list(tmp_path.glob("*.png"))) == saved
    assert server.gateway.post_count == 1
    if isinstance(outcome, Exception):
        assert row.error == type(outcome).__name__
        assert outcome.may_have_been_billed is (state == "unknown")  # type: ignore[attr-defined]


def test_a_connection_that_is_refused_gives_the_money_back(call: Call, tmp_path: Path) -> None:
    """Where nothing listens, nothing is spent, and the account says that nothing was bought."""
    with SandboxServer(draw=draw_plain) as gone:
        pass
    budget = Budget(max_images=1)
    generator = generator_on(gone, save_to=tmp_path, budget=budget)
    with pytest.raises(errors.ConnectionFailedError):
        call(generator, "invoke", "a fox")
    assert budget.remaining_images == 1
    assert [row.state for row in calls(tmp_path)] == ["refused"]


def test_parallel_calls_never_get_past_the_limit(
    server: SandboxServer, call: Call, tmp_path: Path
) -> None:
    """Of many calls at once only as many are sent as the budget allows; the others send nothing."""
    budget = Budget(max_usd="0.14")
    generator = generator_on(server, budget=budget)
    outcomes = call(generator, "batch", ["a fox"] * 12, return_exceptions=True)
    assert sum(isinstance(one, ImageGenerationResult) for one in outcomes) == 3
    assert sum(isinstance(one, errors.BudgetExceededError) for one in outcomes) == 9
    assert server.gateway.post_count == 3
    assert budget.spent_usd == Decimal("0.135")


def test_one_budget_holds_for_several_faces(server: SandboxServer, call: Call) -> None:
    """Tool and generator that share a budget share its limit."""
    budget = Budget(max_images=1)
    call(generator_on(server, budget=budget), "invoke", "a fox")
    tool = QwenImageTool(base_url=server.base_url, api_key="test-key-p", budget=budget)
    message = call(
        tool,
        "invoke",
        {"name": "generate_image", "args": {"prompt": "b"}, "id": "1", "type": "tool_call"},
    )
    assert message.status == "error"
    assert "stop" in message.content.lower()
    assert "user" in message.content
    assert server.gateway.post_count == 1


def test_the_rate_limiter_is_asked_before_each_post(server: SandboxServer, call: Call) -> None:
    """Every attempt passes the limiter, in its own world."""
    turnstile = Turnstile()
    generator = quick(generator_on(server, rate_limiter=turnstile, max_retries=2))
    with pytest.raises(errors.RateLimitError):
        call(generator, "invoke", "sandbox:429")
    assert len(turnstile.passed) == server.gateway.post_count == 3
    assert len(set(turnstile.passed)) == 1


def test_a_refusal_by_the_budget_does_not_pass_the_limiter(
    server: SandboxServer, call: Call
) -> None:
    """What may not be sent takes no turn of those that may."""
    turnstile = Turnstile()
    generator = generator_on(server, rate_limiter=turnstile, budget=Budget(max_images=0))
    with pytest.raises(errors.BudgetExceededError):
        call(generator, "invoke", "a fox")
    assert turnstile.passed == []


class BrokenStore:
    """A budget's store that fails at one of its steps, as one on a network may."""

    def __init__(self, step: str) -> None:
        self.step = step

    def reserve(self, *_: Any) -> str:
        if self.step == "reserve":
            raise OSError("the budget's server does not answer")
        return "token"

    def settle(self, *_: Any) -> None:
        raise OSError("the budget's server does not answer")

    release = settle

    def totals(self) -> Totals:
        return Totals()


def test_a_paid_image_is_not_lost_over_the_budget(
    server: SandboxServer, call: Call, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """When the books cannot be saved after the POST, the result comes, and a warning is logged."""
    budget = Budget(max_images=5, store=BrokenStore("settle"))  # type: ignore[arg-type]
    result = call(generator_on(server, save_to=tmp_path, budget=budget), "invoke", "a fox")
    assert result.image.path is not None
    assert "the budget could not be written" in caplog.text


def test_failure_of_the_budget_does_not_hide_the_error(server: SandboxServer, call: Call) -> None:
    """The caller gets the call's own error, whose `may_have_been_billed` is the one that counts."""
    budget = Budget(max_images=5, store=BrokenStore("settle"))  # type: ignore[arg-type]
    for name, kind in (("500", errors.ServerError), ("401", errors.AuthenticationError)):
        with pytest.raises(kind):
            call(generator_on(server, budget=budget), "invoke", f"sandbox:{name}")


def test_nothing_is_sent_when_the_budget_does_not_answer(server: SandboxServer, call: Call) -> None:
    """Without a reservation there is no POST."""
    budget = Budget(max_images=5, store=BrokenStore("reserve"))  # type: ignore[arg-type]
    with pytest.raises(OSError, match="does not answer"):
        call(generator_on(server, budget=budget), "invoke", "a fox")
    assert server.gateway.post_count == 0


@pytest.mark.parametrize("broken", ["account", "budget"])
def test_nothing_is_sent_when_a_book_cannot_be_written(
    server: SandboxServer, call: Call, tmp_path: Path, broken: str
) -> None:
    """Books that cannot be written are the operator's error, and nothing is sent."""
    (tmp_path / "not-a-folder").write_text("")
    place = tmp_path / "not-a-folder" / "books.db"
    budget = Budget(max_images=1)
    settings: dict[str, Any] = {"account": place, "budget": budget}
    if broken == "budget":
        settings = {"budget": Budget.file(place, max_images=1)}
    kinds = (errors.ConfigurationError, errors.AccountError)
    with pytest.raises(kinds, match=r"(?i)nothing was sent"):
        call(generator_on(server, **settings), "invoke", "a fox")
    assert server.gateway.post_count == 0
    assert budget.remaining_images == 1


def test_an_account_that_fails_after_the_post_loses_no_image(
    server: SandboxServer,
    call: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """When the disk fills up between POST and answer, the image comes all the same."""

    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Account, "answered", fail)
    monkeypatch.setattr(Account, "saved", fail)
    result = call(generator_on(server, save_to=tmp_path), "invoke", "a fox")
    assert result.image.path is not None
    assert caplog.text.count("No space left on device") == 2


FAILED_FETCHES = ["image-404", "image-html", "image-private", "expired", "image-corrupt"]


@pytest.mark.parametrize("name", FAILED_FETCHES)
def test_a_paid_image_that_cannot_be_fetched_is_a_success_with_a_link(
    server: SandboxServer,
    call: Call,
    tmp_path: Path,
    name: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The result has the link and says why it is not saved; a warning is logged."""
    monkeypatch.setattr("langchain_qwen_image.download.fetcher._BACKOFF_FIRST", 0.0)
    result = call(generator_on(server, save_to=tmp_path), "invoke", f"sandbox:{name}")
    image = result.image
    assert image.path is None
    assert image.download_error
    assert "Signature=" in image.url
    assert "Signature=" not in image.download_error + caplog.text
    assert [one.levelno for one in caplog.records if "paid for" in one.message] == [logging.WARNING]
    words = result.summary()
    assert "exists and is paid for" in words
    assert "Do not generate it again" in words
    (row,) = calls(tmp_path)
    assert row.images[0].error == image.download_error
    assert row.images[0].url == image.url
    assert list(tmp_path.glob("*.*g")) == list(tmp_path.glob("*.json")) == []


def test_a_disk_that_fails_is_a_success_with_a_link(
    server: SandboxServer, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the folder cannot be written, the image is still there to be had."""

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("langchain_qwen_image.storage.folder.finish", full)
    generator = generator_on(server, save_to=tmp_path)
    result = call(generator, "invoke", "a fox")
    assert "No space left" in result.image.download_error
    monkeypatch.undo()
    again = call(generator, "fetch", result)
    assert again.image.path is not None
    assert server.gateway.post_count == 1


def test_a_store_of_the_caller_s_that_fails_is_a_success_with_a_link(
    server: SandboxServer, call: Call
) -> None:
    """Whatever a `ByteStore` raises, the paid image is not lost over it."""

    class Broken(InMemoryByteStore):
        def mset(self, key_value_pairs: Any) -> None:
            raise RuntimeError("the bucket is gone")

    result = call(generator_on(server, save_to=Broken()), "invoke", "a fox")
    assert result.image.download_error == "the bucket is gone"
    assert result.image.read().startswith(b"\x89PNG")


@pytest.mark.parametrize("form", ["result", "artifact", "json"])
def test_a_image_can_be_fetched_later(
    server: SandboxServer, call: Call, tmp_path: Path, form: str
) -> None:
    """A result, or what a message carries of it, is saved later without a POST, and booked."""
    account = books(tmp_path)
    first = call(generator_on(server, account=account), "invoke", "a fox")
    assert first.image.path is None
    given = {
        "result": first,
        "artifact": first.to_artifact(),
        "json": first.model_dump(mode="json"),
    }[form]
    saving = generator_on(server, save_to=tmp_path)
    later = call(saving, "fetch", given)
    assert Path(later.image.path).read_bytes() == first.image.read()
    assert first.image.path is None
    assert [row.state for row in calls(tmp_path)] == ["saved"]
    assert server.gateway.post_count == 1
    gets = sum(one.method == "GET" for one in server.requests)
    assert call(saving, "fetch", later) == later
    assert sum(one.method == "GET" for one in server.requests) == gets


@pytest.mark.parametrize(
    ("bought_with", "saved_with"),
    [
        pytest.param({}, {"save_to": "new"}, id="no account, a new folder"),
        pytest.param({"account": "one.db"}, {"save_to": "new"}, id="another account"),
        pytest.param(
            {"account": "one.db"}, {"save_to": "new", "account": "two.db"}, id="both are named"
        ),
        pytest.param(
            {"account": "one.db"}, {"save_to": "new", "account": "one.db"}, id="the same account"
        ),
        pytest.param({}, {"save_to": InMemoryByteStore()}, id="a store"),
    ],
)
def test_the_result_of_another_tool_is_saved_quietly(
    bought_with: Any, saved_with: Any, server: SandboxServer, call: Call, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """What another account has bought is saved without a warning, and later calls go on."""
    monkeypatch.chdir(tmp_path)
    tool = QwenImageTool(base_url=server.base_url, api_key="k", **bought_with)
    message = tool.invoke(
        {"args": {"prompt": "a fox"}, "id": "1", "type": "tool_call", "name": "x"}
    )
    generator = generator_on(server, **saved_with)
    with caplog.at_level(logging.WARNING):
        saved = call(generator, "fetch", message.artifact)
        assert call(generator, "fetch", message.artifact).image.path is not None
    assert saved.image.path is not None
    assert caplog.records == []
    assert server.gateway.post_count == 1
    assert call(generator, "invoke", "an owl").image.path is not None
    assert server.gateway.post_count == 2


def test_a_folder_that_lost_its_account_still_takes_what_is_paid_for(
    server: SandboxServer, call: Call, tmp_path: Path
) -> None:
    """Where a call would be refused before it pays, what is paid for is saved all the same."""
    generator_on(server, save_to=tmp_path / "old").invoke("a fox")
    (tmp_path / "old").rename(tmp_path / "new")
    bought = generator_on(server).invoke("an owl")
    generator = generator_on(server, save_to=tmp_path / "new")
    assert Path(call(generator, "fetch", bought).image.path).exists()
    with pytest.raises(errors.AccountError):
        call(generator, "invoke", "a third")
    assert server.gateway.post_count == 2


def test_fetching_later_says_why_it_fails(
    server: SandboxServer, call: Call, tmp_path: Path
) -> None:
    """Without a store, with a dead link, or for what is no result of ours, `fetch` raises."""
    plain = generator_on(server)
    dead = call(plain, "invoke", "sandbox:image-404")
    with pytest.raises(errors.ConfigurationError, match="save_to"):
        call(plain, "fetch", dead)
    saving = generator_on(server, save_to=tmp_path)
    with pytest.raises(errors.DownloadError):
        call(saving, "fetch", dead)
    with pytest.raises(errors.InvalidRequestError, match="artifact"):
        call(saving, "fetch", {"images": []})


def test_an_inline_image_is_saved_by_a_generator_with_a_store_only(
    server: SandboxServer, call: Call, tmp_path: Path
) -> None:
    """A generator's caller holds the bytes: they are saved where `save_to` says, else nowhere."""
    held = call(generator_on(server), "invoke", "sandbox:data-uri").image
    assert held.path is None
    saved = call(generator_on(server, save_to=tmp_path), "invoke", "sandbox:data-uri").image
    assert Path(saved.path).read_bytes() == held.read()


async def cancelled(generator: QwenImageGenerator, server: SandboxServer | HeldServer) -> None:
    """Cancel a call when its POST has arrived, and before it is answered."""
    prompt = "a fox" if isinstance(server, HeldServer) else "sandbox:timeout"
    task = asyncio.create_task(generator.ainvoke(prompt))
    await await_until(lambda: server.gateway.post_count)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def settled(folder: Path, *states: str) -> CallRecord:
    """Wait until the one call in the books stands at one of the states."""
    await await_until(lambda: calls(folder)[0].state in states)
    return calls(folder)[0]


async def test_a_cancelled_call_is_saved_in_the_background_and_booked(tmp_path: Path) -> None:
    """Cancelling after the POST left loses nothing: the image is fetched, saved and paid for."""
    budget = Budget(max_images=5)
    with HeldServer() as server:
        generator = generator_on(server, save_to=tmp_path, budget=budget)
        await cancelled(generator, server)
        server.release()
        row = await settled(tmp_path, "saved")
        await await_until(lambda: not budget.reserved_usd)
        assert pictures(tmp_path) == [row.images[0].path]
        assert budget.images == 1
        assert server.gateway.post_count == 1
        await generator.aclose()


async def test_a_cancelled_call_that_fails_is_booked(server: SandboxServer, tmp_path: Path) -> None:
    """A cancelled call whose answer never comes counts as spent."""
    budget = Budget(max_images=5)
    generator = generator_on(server, save_to=tmp_path, budget=budget)
    await cancelled(generator, server)
    server.close()
    await settled(tmp_path, "unknown")
    await await_until(lambda: not budget.reserved_usd)
    assert budget.images == 1
    await generator.aclose()


async def test_a_call_that_is_cancelled_before_its_post_sends_none(
    server: SandboxServer, tmp_path: Path
) -> None:
    """Cancelled while it waits its turn, a call is given back and never sent."""
    waits = asyncio.Event()

    class Closed(Turnstile):
        async def aacquire(self, *, blocking: bool = True) -> bool:
            waits.set()
            await asyncio.Event().wait()
            raise AssertionError

    budget = Budget(max_images=5)
    generator = generator_on(server, save_to=tmp_path, budget=budget, rate_limiter=Closed())
    task = asyncio.create_task(generator.ainvoke("a fox"))
    await waits.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await settled(tmp_path, "refused")
    await await_until(lambda: budget.remaining_images == 5)
    assert server.gateway.post_count == 0


def press_ctrl_c(*_: Any, **__: Any) -> Any:
    """Stand where the answer is read."""
    raise KeyboardInterrupt


def test_ctrl_c_is_booked_as_unknown(
    server: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C passes through at once; what may be paid for is in the books."""
    monkeypatch.setattr("langchain_qwen_image.pipeline.sender.parse_response", press_ctrl_c)
    budget = Budget(max_images=5)
    with pytest.raises(KeyboardInterrupt):
        generator_on(server, save_to=tmp_path, budget=budget).invoke("a fox")
    (row,) = calls(tmp_path)
    assert (row.state, row.error) == ("unknown", "KeyboardInterrupt")
    assert (budget.images, budget.reserved_usd) == (1, 0)


def test_ctrl_c_before_the_post_gives_the_money_back(server: SandboxServer, tmp_path: Path) -> None:
    """Ctrl-C while waiting for the rate limiter buys nothing."""

    class Interrupted(Turnstile):
        def acquire(self, *, blocking: bool = True) -> bool:
            raise KeyboardInterrupt

    budget = Budget(max_images=5)
    generator = generator_on(server, save_to=tmp_path, budget=budget, rate_limiter=Interrupted())
    with pytest.raises(KeyboardInterrupt):
        generator.invoke("a fox")
    assert [row.state for row in calls(tmp_path)] == ["refused"]
    assert budget.remaining_images == 5
    assert server.gateway.post_count == 0


def test_the_accounts_secret_goes_when_the_image_is_saved(
    server: SandboxServer, call: Call, tmp_path: Path
) -> None:
    """While a link is needed it stands whole in the account, and nowhere else; then it goes."""
    generator = generator_on(server, save_to=tmp_path)
    call(generator, "invoke", "sandbox:image-404")
    assert "Signature=" in calls(tmp_path)[0].images[0].url
    result = call(generator, "invoke", "a fox")
    assert "?" not in calls(tmp_path)[1].images[0].url
    sidecar = Path(result.image.path).with_suffix(".json").read_text()
    assert "Signature" not in sidecar
    assert result.image.id in sidecar


def test_a_saved_image_that_is_gone_is_read_from_its_link(
    server: SandboxServer, call: Call, tmp_path: Path
) -> None:
    """Where the file was removed, the link serves, as long as somebody holds it."""
    result = call(generator_on(server, save_to=tmp_path), "invoke", "a fox")
    content = Path(result.image.path).read_bytes()
    Path(result.image.path).unlink()
    assert result.image.read() == content
    restored = ImageGenerationResult.from_artifact(result.to_artifact())
    with pytest.raises(errors.DownloadError, match="cannot be read"):
        restored.image.read()


def test_an_item_of_a_bulk_run_is_bought_once(
    server: SandboxServer, call: Call, tmp_path: Path
) -> None:
    """A second call for the same item sends nothing, and takes nothing from a budget."""
    budget = Budget(max_images=5)
    pipeline = generator_on(server, save_to=tmp_path, budget=budget).pipeline
    arguments = QwenImageInput(prompt="a fox")
    first = call(pipeline, "generate", arguments, CallState(), key=CallKey("1", "run"))
    again = call(pipeline, "generate", arguments, CallState(), key=CallKey("1", "run"))
    assert (again.image.path, again.replayed) == (first.image.path, True)
    assert server.gateway.post_count == 1
    assert (budget.images, budget.reserved_usd) == (1, 0)


def test_a_image_of_a_generator_is_read_and_saved(
    server: SandboxServer, call: Call, tmp_path: Path
) -> None:
    """Saved or not, an image gives its bytes, and writes them where it is told, once."""
    for settings in ({}, {"save_to": tmp_path}, {"save_to": InMemoryByteStore()}):
        image = call(generator_on(server, **settings), "invoke", "a fox").image
        content = call(image, "read")
        assert content.startswith(b"\x89PNG")
        target = tmp_path / f"{image.id}.copy"
        assert call(image, "save", target).read_bytes() == content
        with pytest.raises(FileExistsError):
            call(image, "save", target)
    assert server.gateway.post_count == 3


def test_the_client_alone_keeps_no_books(server: SandboxServer, call: Call) -> None:
    """`QwenImageClient` sends and reads; it needs neither account nor store."""
    client = QwenImageClient(base_url=server.base_url, api_key="test-key-p")
    result = call(client, "generate", "a fox", size="512x512")
    assert (result.image.path, result.cost_usd) == (None, 0.045)
    assert result.image.read().startswith(b"\x89PNG")
