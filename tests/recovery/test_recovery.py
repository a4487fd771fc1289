"""Recovery: what an account says is paid for and not saved is fetched, found, or listed."""

import json
import socket
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pytest
from books import books
from langchain_core.stores import InMemoryByteStore

from langchain_qwen_image import ImageGenerationResult, QwenImageClient, QwenImageGenerator
from langchain_qwen_image.account import Account, CallRecord, NewCall
from langchain_qwen_image.concurrency.runtime import Blocking
from langchain_qwen_image.errors import (
    AuthenticationError,
    ConfigurationError,
    RequestTimeoutError,
    ServerError,
)
from langchain_qwen_image.pipeline.saver import ImageSaver
from langchain_qwen_image.recovery import account_at, recover
from langchain_qwen_image.sandbox import SandboxServer
from langchain_qwen_image.storage.opening import open_store
from langchain_qwen_image.storage.reader import make_fetcher

_KEY = "test-key-0123456789abcdef"
_PRICE = Decimal("0.045")


@pytest.fixture(autouse=True)
def _configured(server: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXAZO_BASE_URL", server.base_url)


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    """Keep an account where the images go."""
    account = Account(books(tmp_path))
    yield account
    account.close()


Ask = Callable[..., str]
Buy = Callable[..., ImageGenerationResult]


@pytest.fixture
def ask(account: Account, server: SandboxServer) -> Ask:
    """Enter a call, and return its id."""

    def ask(prompt: str = "a fox", **named: object) -> str:
        call_id = uuid4().hex
        replacing = named.pop("replacing", None)
        facts = {"base_url": server.base_url, "cost_usd": _PRICE, **named}
        new = NewCall(call_id, prompt, {}, "qwen-image", **facts)
        account.asked(new, replacing=replacing).result()
        return call_id

    return ask


@pytest.fixture
def buy(account: Account, ask: Ask, server: SandboxServer) -> Buy:
    """Buy an image and note the answer, as a process does that is killed just then."""

    def buy(prompt: str = "a fox", **named: object) -> ImageGenerationResult:
        with QwenImageClient(base_url=server.base_url, api_key=_KEY) as client:
            result = client.generate(prompt, size="512*512")
        _answer(account, ask(prompt, **named), result)
        return result

    return buy


def _sent(account: Account, call_id: str) -> None:
    account.sent(call_id, lease_seconds=600).result()


def _answer(account: Account, call_id: str, result: ImageGenerationResult) -> None:
    _sent(account, call_id)
    images = [(one.id, one.url or "", one.expires_at) for one in result.images]
    account.answered(call_id, request_id=result.request_id, cost_usd=_PRICE, images=images).result()


def _save(result: ImageGenerationResult, place: Path | InMemoryByteStore) -> str:
    """Keep an image without telling an account, and return its path."""
    fetcher = make_fetcher(sandbox=False, allow_loopback=True)
    ImageSaver(fetcher, open_store(place)).save_or_raise(result.image, result)
    fetcher.close()
    assert result.image.path is not None
    return result.image.path


def _outcomes(place: Path, **named: object) -> list[str]:
    return [finding.outcome for finding in recover(place, **named)]


def _gets(server: SandboxServer) -> int:
    return sum(request.method == "GET" for request in server.requests)


def test_a_living_link_is_fetched(
    tmp_path: Path, account: Account, buy: Buy, server: SandboxServer
) -> None:
    """An image is fetched with its sidecar and booked as saved, and its link is erased."""
    bought = buy("一只 fox")
    [finding] = recover(tmp_path)
    assert (finding.outcome, finding.is_settled) == ("fetched", True)
    path = Path(finding.path or "")
    assert path.parent == tmp_path
    assert path.read_bytes().startswith(b"\x89PNG")
    facts = json.loads(path.with_suffix(".json").read_text("utf-8"))
    assert (facts["id"], facts["prompt"]) == (bought.image.id, "一只 fox")
    assert (facts["request_id"], facts["cost_usd"]) == (bought.request_id, 0.045)
    image = account.find_image(bought.image.id)
    assert image is not None
    assert (image.path, "?" in image.url) == (str(path), False)
    assert _outcomes(tmp_path) == []


def test_nothing_is_posted_and_no_key_is_sent(
    tmp_path: Path, buy: Buy, ask: Ask, account: Account, server: SandboxServer
) -> None:
    """Recovery sends bare GETs only, whatever it finds."""
    buy()
    _sent(account, ask())
    posts = server.gateway.post_count
    assert _outcomes(tmp_path) == ["fetched", "running"]
    assert server.gateway.post_count == posts
    gets = [request for request in server.requests if request.method == "GET"]
    assert [
        {"ocp-apim-subscription-key", "authorization", "cookie"} & {*get.headers} for get in gets
    ] == [set()]


def test_a_saved_image_is_found(
    tmp_path: Path, account: Account, buy: Buy, server: SandboxServer
) -> None:
    """An image that lies there with its sidecar is booked as saved, and not fetched again."""
    bought = buy()
    path = _save(bought, tmp_path)
    fetched = _gets(server)
    [finding] = recover(tmp_path)
    assert (finding.outcome, finding.path) == ("found", path)
    image = account.find_image(bought.image.id)
    assert image is not None
    assert (image.path, image.sha256) == (path, bought.image.sha256)
    assert image.size_bytes == Path(path).stat().st_size
    assert _gets(server) == fetched


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda png, _: png.unlink(), id="no image"),
        pytest.param(lambda png, _: png.write_bytes(b""), id="empty image"),
        pytest.param(lambda png, _: png.write_bytes(png.read_bytes()[:-1]), id="cut image"),
        pytest.param(lambda _, beside: beside.write_text("{"), id="half a sidecar"),
        pytest.param(lambda _, beside: beside.write_text("[]"), id="not a sidecar"),
        pytest.param(lambda _, beside: beside.write_text("{}"), id="empty sidecar"),
        pytest.param(
            lambda _, beside: beside.write_text(beside.read_text().replace('"id": "', '"id": "x')),
            id="of another image",
        ),
    ],
)
def test_what_is_not_whole_is_fetched_again(
    tmp_path: Path, buy: Buy, spoil: Callable[[Path, Path], None]
) -> None:
    """An image is found only where its sidecar names it and its bytes are those noted there."""
    path = Path(_save(buy(), tmp_path))
    spoil(path, path.with_suffix(".json"))
    [finding] = (one for one in recover(tmp_path) if one.outcome != "booked")
    assert finding.outcome == "fetched"
    assert finding.path != str(path)
    assert Path(finding.path or "").read_bytes().startswith(b"\x89PNG")


def test_a_dry_run_changes_nothing(
    tmp_path: Path, account: Account, buy: Buy, server: SandboxServer
) -> None:
    """A dry run says what could be done, sends nothing and writes nothing."""
    _save(buy("found"), tmp_path)
    buy("fetchable")
    files, sent = sorted(tmp_path.glob("[!.]*")), len(server.requests)
    assert _outcomes(tmp_path, dry_run=True) == ["found", "fetchable"]
    assert (sorted(tmp_path.glob("[!.]*")), len(server.requests)) == (files, sent)
    assert [call.state for call in account.calls()] == ["answered", "answered"]


def _paid(account: Account, call_id: str, link: str, expires_at: datetime | None = None) -> str:
    """Note an answer with one link, and return the call's id."""
    _sent(account, call_id)
    images = [(uuid4().hex[:8], link, expires_at)]
    account.answered(call_id, request_id="r", cost_usd=_PRICE, images=images).result()
    return call_id


def test_an_image_that_came_inline_and_is_not_saved_is_lost(
    tmp_path: Path, account: Account, ask: Ask, server: SandboxServer
) -> None:
    """Nothing can bring back what was only in the answer, so nothing is sent."""
    _paid(account, ask(), "data:image/png;base64,AAAA")
    [finding] = recover(tmp_path)
    assert (finding.outcome, finding.is_settled) == ("lost", False)
    assert "inside the answer" in (finding.reason or "")
    assert server.requests == []


def test_a_link_is_lost_when_its_host_says_so_too(
    tmp_path: Path, account: Account, ask: Ask, server: SandboxServer
) -> None:
    """An expired link is asked for once, and is lost when its host answers that it is gone."""
    link = f"{server.base_url}/images/x.png?Signature=secret"
    _paid(account, ask(), link, datetime.now(UTC) - timedelta(days=1))
    [finding] = recover(tmp_path)
    assert (finding.outcome, finding.is_settled, _gets(server)) == ("lost", False, 1)
    assert "Its link expired at" in (finding.reason or "")
    assert "secret" not in (finding.reason or "")


def test_a_clock_that_is_ahead_loses_nothing(
    tmp_path: Path, account: Account, buy: Buy, server: SandboxServer
) -> None:
    """A good link whose time is over by this machine's clock is fetched, by one GET."""
    buy()
    posts = server.gateway.post_count
    assert _outcomes(tmp_path, now=datetime.now(UTC) + timedelta(hours=36)) == ["fetched"]
    assert (_gets(server), server.gateway.post_count) == (1, posts)
    assert [call.state for call in account.calls()] == ["saved"]


def test_an_expired_link_whose_host_cannot_be_asked_is_not_lost(
    tmp_path: Path, account: Account, ask: Ask
) -> None:
    """Without an answer of its host, a link has only not been fetched."""
    port = closed_port()
    _paid(account, ask(), f"http://127.0.0.1:{port}/x.png", datetime.now(UTC) - timedelta(days=1))
    assert _outcomes(tmp_path) == ["failed"]


def closed_port() -> int:
    """Return a port of this machine that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


def test_a_dry_run_goes_by_the_clock(tmp_path: Path, buy: Buy) -> None:
    """Where no host is asked, `now` decides which links have expired, and the finding says so."""
    buy()
    later = datetime.now(UTC) + timedelta(days=2)
    [finding] = recover(tmp_path, dry_run=True, now=later)
    assert finding.outcome == "lost"
    assert "by this machine's clock" in (finding.reason or "")
    assert _outcomes(tmp_path, dry_run=True) == ["fetchable"]


def test_calls_that_may_have_been_billed_are_listed(
    tmp_path: Path, account: Account, ask: Ask
) -> None:
    """Sent and unknown calls are listed; those that bought nothing or cost nothing are not."""
    ask("asked")
    _sent(account, ask("sent"))
    for prompt, book in (("refused", account.refused), ("unknown", account.unknown)):
        call_id = ask(prompt)
        _sent(account, call_id)
        book(call_id, error="ServerError", message="it broke").result()
    _sent(account, ask("free", cost_usd=Decimal(0)))
    findings = list(recover(tmp_path))
    assert [(one.outcome, one.call.prompt) for one in findings] == [
        ("running", "sent"),
        ("unanswered", "unknown"),
    ]
    assert findings[1].reason == "it broke"


def test_a_call_that_was_asked_again_is_no_worry(
    tmp_path: Path, account: Account, ask: Ask, buy: Buy
) -> None:
    """A replaced call is yielded only where its image is had."""
    for prompt in ("unknown", "paid"):
        place = {"run": "run", "key": prompt}
        if prompt == "paid":
            buy(prompt, **place)
            [earlier] = [call.id for call in account.calls() if call.key == prompt]
        else:
            earlier = ask(prompt, **place)
            _sent(account, earlier)
            account.unknown(earlier, error="ServerError", message="?").result()
        ask(prompt, replacing=earlier, **place)
    assert _outcomes(tmp_path, dry_run=True) == []
    assert _outcomes(tmp_path) == ["fetched"]


def test_a_failed_fetch_is_noted(
    tmp_path: Path, account: Account, buy: Buy, server: SandboxServer
) -> None:
    """What cannot be fetched this time says why, in the account too, and keeps its link."""
    bought = buy("sandbox:image-404")
    [finding] = recover(tmp_path)
    assert (finding.outcome, finding.is_settled) == ("failed", False)
    assert "404" in (finding.reason or "")
    assert "Signature" not in repr(finding)
    image = account.find_image(bought.image.id)
    assert image is not None
    assert (image.error, "Signature=" in image.url) == (finding.reason, True)


def test_a_full_disk_is_a_failed_fetch(
    tmp_path: Path, buy: Buy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that takes no image is told of like a link that gives none."""
    buy()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("langchain_qwen_image.storage.folder.publish", full)
    [finding] = recover(tmp_path)
    assert finding.outcome == "failed"
    assert "No space left" in (finding.reason or "")


def test_each_image_of_a_call_counts(tmp_path: Path, account: Account, buy: Buy) -> None:
    """Of an answer with two images, only the one that is not saved is recovered."""
    first, second = buy("sandbox:two-images").images
    account.saved(first.id, path=tmp_path / "a.png", sha256="0", size_bytes=1).result()
    [finding] = recover(tmp_path)
    assert f"-{second.id}" in (finding.path or "")
    assert [call.state for call in account.calls()] == ["saved"]


def test_findings_come_in_the_order_asked(tmp_path: Path, buy: Buy) -> None:
    """Fetching several at once does not change the order."""
    prompts = [f"image {number}" for number in range(12)]
    for prompt in prompts:
        buy(prompt)
    assert [finding.call.prompt for finding in recover(tmp_path)] == prompts
    assert len(list(tmp_path.glob("*.png"))) == len(list(tmp_path.glob("*.json"))) == 12


def test_who_stops_early_loses_nothing(tmp_path: Path, buy: Buy) -> None:
    """A recovery that is broken off can be taken up again."""
    for _ in range(12):
        buy()
    findings = recover(tmp_path)
    assert next(findings).outcome == "fetched"
    findings.close()  # type: ignore[attr-defined]
    assert {*_outcomes(tmp_path)} <= {"fetched"}
    assert len(list(tmp_path.glob("*.png"))) == 12


def test_a_store_of_keys_is_recovered_into(tmp_path: Path, buy: Buy, account: Account) -> None:
    """With `save_to` a ByteStore, images are looked for and saved there."""
    store = InMemoryByteStore()
    key = _save(buy("found"), store)
    buy("fetched")
    found, fetched = recover(account.path, save_to=store)
    assert (found.outcome, found.path, fetched.outcome) == ("found", key, "fetched")
    assert sum(name.endswith(".png") for name in store.yield_keys()) == 2
    assert list(tmp_path.glob("*.png")) == []


def test_images_of_the_sandbox_are_fetched(tmp_path: Path, account: Account, ask: Ask) -> None:
    """What the embedded sandbox answered is fetched from it, without a network."""
    client = QwenImageClient(sandbox=True)
    _answer(
        account,
        ask(base_url=client.base_url),
        client.generate("a fox", size="512*512"),
    )
    [finding] = recover(tmp_path)
    assert finding.outcome == "fetched"
    sidecar = Path(finding.path or "").with_suffix(".json")
    assert json.loads(sidecar.read_text())["sandbox"] is True


def test_account_by_file_or_folder(tmp_path: Path, ask: Ask) -> None:
    """An account is named by its file or by the folder that it lies in."""
    ask()
    assert account_at(tmp_path).path == account_at(books(tmp_path)).path == books(tmp_path)
    assert list(recover(books(tmp_path))) == []


def test_no_account_is_an_error_and_none_is_made(tmp_path: Path) -> None:
    """A folder without an account is an error that names what was looked for."""
    with pytest.raises(ConfigurationError, match=r"no account at .*\.books/account\.db"):
        list(recover(tmp_path))
    assert list(tmp_path.iterdir()) == []


def _queue(account: Account, call_id: str) -> str:
    _sent(account, call_id)
    account.queued(call_id, polling_path="/v2/requests/status/1", request_id="q1").result()
    return call_id


def _bring_image(account: Account, call: CallRecord) -> None:
    images = [("abcd1234", "https://h/p.png?s=1", None)]
    account.answered(call.id, request_id="r", cost_usd=_PRICE, images=images).result()
    account.saved("abcd1234", path="p.png", sha256="ab", size_bytes=7).result()


def _say_failed(account: Account, call: CallRecord) -> None:
    account.refused(call.id, error="ServerError", message="FAILED").result()
    raise ServerError("FAILED")


def _say_nothing(account: Account, call: CallRecord) -> None:
    raise RequestTimeoutError("The gateway had no image within 30 s.")


def _refuse_key(account: Account, call: CallRecord) -> None:
    raise AuthenticationError("The key was refused.")


@pytest.mark.parametrize(
    ("answers", "outcome", "settled", "says", "state"),
    [
        pytest.param(_bring_image, "fetched", True, None, "saved", id="completed"),
        pytest.param(_say_failed, "refused", True, "FAILED", "refused", id="failed"),
        pytest.param(_say_nothing, "queued", False, "no image within", "queued", id="pending"),
        pytest.param(_refuse_key, "queued", False, "key was refused", "queued", id="key"),
    ],
)
def test_a_queued_call_is_asked_for(
    tmp_path: Path,
    account: Account,
    ask: Ask,
    answers: Callable[[Account, CallRecord], None],
    outcome: str,
    settled: bool,
    says: str | None,
    state: str,
) -> None:
    """What the gateway says of a queued call is what is found, and a refused poll ends no call."""
    call_id = _queue(account, ask())
    asked: list[str | None] = []

    def resume(call: CallRecord) -> None:
        asked.append(call.polling_path)
        answers(account, call)

    [finding] = recover(tmp_path, resume=resume)
    assert (finding.outcome, finding.is_settled) == (outcome, settled)
    assert (says or "") in (finding.reason or "")
    assert asked == ["/v2/requests/status/1"]
    call = account.get(call_id)
    assert call is not None
    assert call.state == state


def test_a_dry_run_asks_for_no_queued_call(tmp_path: Path, account: Account, ask: Ask) -> None:
    """A dry run only says that the call is queued."""
    _queue(account, ask())

    def resume(call: CallRecord) -> None:
        raise AssertionError

    assert _outcomes(tmp_path, dry_run=True, resume=resume) == ["queued"]


def test_a_queued_call_is_unknown_after_a_day(tmp_path: Path, account: Account, ask: Ask) -> None:
    """After 24 hours it is asked for once more, and then may have been billed for nothing."""
    _queue(account, ask())
    asked = []

    def resume(call: CallRecord) -> None:
        asked.append(call)
        _say_nothing(account, call)

    later = datetime.now(UTC) + timedelta(hours=25)
    [finding] = recover(tmp_path, resume=resume, now=later)
    assert (finding.outcome, len(asked)) == ("unanswered", 1)
    assert "24 hours" in (finding.reason or "")
    assert [call.state for call in account.calls()] == ["unknown"]


@pytest.mark.parametrize(
    ("body", "suffix"),
    [
        pytest.param(b'{"odd": "https://h/x.png?s=1"}', ".json", id="json"),
        pytest.param(b"<html>", ".html", id="html"),
        pytest.param(b"\x89PNG" * 40_000, ".bin", id="large"),
        pytest.param(b"", ".bin", id="empty"),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True], ids=["run", "dry-run"])
def test_raw_answers_are_written_out(
    tmp_path: Path, account: Account, ask: Ask, body: bytes, suffix: str, dry_run: bool
) -> None:
    """A raw answer is told of, and written for its owner alone where that is asked for, once."""
    call_id = ask()
    _sent(account, call_id)
    account.raw_answer(call_id, body=body, content_type="text/plain").result()
    account.unknown(call_id, error="MalformedResponseError", message="no image").result()
    out = tmp_path / "answers"
    [finding] = recover(tmp_path, dry_run=dry_run)
    assert (finding.outcome, finding.call.has_raw_answer) == ("unanswered", True)
    assert (finding.raw_answer, out.exists()) == (None, False)
    for _ in range(2):
        [finding] = recover(tmp_path, dry_run=dry_run, raw_answers=out)
        assert finding.raw_answer == out / f"{call_id}{suffix}"
    [file] = out.iterdir()
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (body, 0o600)
    assert account.read_raw_answer(call_id) == body


def test_a_raw_answer_is_written_over_no_other_file(
    tmp_path: Path, account: Account, ask: Ask
) -> None:
    """Another file of that name stays, and a call's name leads out of no folder."""
    account.asked(NewCall("../../c 1", "a fox", {}, "m", "b", _PRICE)).result()
    _sent(account, "../../c 1")
    account.raw_answer("../../c 1", body=b"{}", content_type=None).result()
    out = tmp_path / "answers"
    out.mkdir()
    [first] = recover(tmp_path, dry_run=True, raw_answers=out)
    assert first.raw_answer is not None
    assert first.raw_answer.parent == out
    first.raw_answer.write_text("mine")
    [second] = recover(tmp_path, dry_run=True, raw_answers=out)
    assert second.raw_answer is not None
    assert (first.raw_answer.read_text(), second.raw_answer.read_text()) == ("mine", "{}")


def test_a_candidate_that_could_not_be_fetched_is_tried_again(
    tmp_path: Path, account: Account, buy: Buy
) -> None:
    """A link with a raw answer beside it is fetched, and the answer is erased then."""
    bought = buy()
    [call] = account.calls()
    account.raw_answer(call.id, body=b"{}", content_type=None).result()
    account.not_saved(bought.image.id, "no connection").result()
    assert _outcomes(tmp_path) == ["fetched"]
    assert account.read_raw_answer(call.id) is None


def _die(seconds: float) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("key", "outcome", "state"),
    [
        pytest.param(_KEY, "fetched", "saved", id="key"),
        pytest.param(None, "queued", "queued", id="no-key"),
    ],
)
def test_a_call_that_a_killed_process_left_queued(
    tmp_path: Path,
    account: Account,
    server: SandboxServer,
    monkeypatch: pytest.MonkeyPatch,
    key: str | None,
    outcome: str,
    state: str,
) -> None:
    """The key of the environment brings the image; without one nothing is given up."""
    generator = QwenImageGenerator(base_url=server.base_url, api_key=_KEY, save_to=tmp_path)
    generator._pipelines[:] = [replace(generator.pipeline, blocking=Blocking(_die))]
    with pytest.raises(KeyboardInterrupt):
        generator.invoke("sandbox:queued")
    assert [call.state for call in account.calls()] == ["queued"]
    if key is not None:
        monkeypatch.setenv("PIXAZO_API_KEY", key)
    [finding] = recover(tmp_path)
    assert finding.outcome == outcome
    assert [call.state for call in account.calls()] == [state]
    assert server.gateway.post_count == 1


def test_a_size_that_is_not_documented_is_recovered(
    tmp_path: Path, account: Account, server: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queued call is asked for whatever was sent, such as the size of a killed `--probe-size`."""
    generator = QwenImageGenerator(base_url=server.base_url, api_key=_KEY, save_to=tmp_path)
    generator._pipelines[:] = [replace(generator.pipeline, blocking=Blocking(_die))]
    with pytest.raises(KeyboardInterrupt):
        generator.invoke("sandbox:queued", size="512*512")
    with closing(sqlite3.connect(account.path)) as connection, connection:
        connection.execute("UPDATE calls SET parameters = replace(parameters, '512', '500')")
    monkeypatch.setenv("PIXAZO_API_KEY", _KEY)
    [finding] = recover(tmp_path)
    assert (finding.call.parameters["size"], finding.outcome) == ("500*500", "fetched")
    [call] = account.calls()
    assert (call.state, call.images[0].path) == ("saved", finding.path)
    assert server.gateway.post_count == 1
