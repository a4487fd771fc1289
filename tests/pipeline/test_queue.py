"""Answers that the gateway queues: asked for until they are there, and never lost."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from books import books
from conftest import Call
from quick import at_once, quick

from langchain_qwen_image import Budget, QwenImageClient, QwenImageGenerator, QwenImageTool, errors
from langchain_qwen_image.account import Account, CallRecord
from langchain_qwen_image.sandbox import SandboxServer
from langchain_qwen_image.sandbox.answer import Answer, error_answer

KEY = "test-key-of-the-queue"


def at(server: SandboxServer, folder: Path, **settings: Any) -> QwenImageGenerator:
    """Return a generator that saves into the folder and waits for nothing between polls."""
    given = {"base_url": server.base_url, "api_key": KEY, "save_to": folder, **settings}
    return quick(QwenImageGenerator(**given))


def the_call(folder: Path) -> CallRecord:
    """Return the one call of the folder's account."""
    (call,) = Account(books(folder)).calls()
    return call


@pytest.mark.parametrize("scenario", ["queued", "queued-200"])
def test_a_queued_image_is_waited_for(
    scenario: str, server: SandboxServer, call: Call, tmp_path: Path
) -> None:
    """One POST, then polls with the key until the image is there; the money is spent once."""
    budget = Budget(max_usd=1)
    result = call(at(server, tmp_path, budget=budget), "invoke", f"sandbox:{scenario}")
    assert Path(result.image.path).is_file()
    assert (server.gateway.post_count, server.gateway.poll_count) == (1, 2)
    assert the_call(tmp_path).state == "saved"
    assert (float(budget.spent_usd), float(budget.reserved_usd)) == (0.045, 0.0)


@pytest.mark.parametrize("face", [QwenImageClient, QwenImageGenerator, QwenImageTool])
def test_every_face_waits(face: Any, server: SandboxServer, call: Call) -> None:
    """Client, generator and tool wait for a queued image, also without an account."""
    if face is QwenImageClient:
        waits = {"sleep": lambda _: None, "asleep": at_once}
        client = QwenImageClient(base_url=server.base_url, api_key=KEY, **waits)
        assert call(client, "generate", "sandbox:queued")
    else:
        one = quick(face(base_url=server.base_url, api_key=KEY))
        assert call(one, "invoke", "sandbox:queued")
    assert server.gateway.post_count == 1


@pytest.mark.parametrize("scenario", ["queued-failed", "queued-error"])
def test_a_failed_task_is_not_billed(
    scenario: str, server: SandboxServer, call: Call, tmp_path: Path
) -> None:
    """FAILED and ERROR are not charged, by the owner's words: the money is free again."""
    budget = Budget(max_usd=1)
    generator = at(server, tmp_path, budget=budget)
    with pytest.raises(errors.QwenImageError) as caught:
        call(generator, "invoke", f"sandbox:{scenario}")
    assert not caught.value.may_have_been_billed
    assert server.gateway.post_count == 1, "it is not repeated by us"
    assert the_call(tmp_path).state == "refused"
    assert (budget.spent_usd, budget.reserved_usd) == (0, 0)


def test_what_does_not_come_in_time_can_still_be_asked_for(
    server: SandboxServer, call: Call, tmp_path: Path
) -> None:
    """When the time is up the call stays queued in the account, and counts as spent."""
    budget = Budget(max_usd=1)
    generator = at(server, tmp_path, budget=budget, timeout=60)
    with pytest.raises(errors.RequestTimeoutError, match="qwen-image recover") as caught:
        call(generator, "invoke", "sandbox:queued-lost")
    assert caught.value.may_have_been_billed
    assert not caught.value.is_retryable
    assert (the_call(tmp_path).state, server.gateway.post_count) == ("queued", 1)
    assert the_call(tmp_path).polling_path.startswith("/v2/requests/status/")
    assert (float(budget.spent_usd), float(budget.reserved_usd)) == (0.045, 0.0)


def test_another_host_is_never_asked(server: SandboxServer, call: Call, tmp_path: Path) -> None:
    """A polling address elsewhere would get the key: an error, with the answer in the books."""
    with pytest.raises(errors.MalformedResponseError) as caught:
        call(at(server, tmp_path), "invoke", "sandbox:queued-elsewhere")
    assert caught.value.may_have_been_billed
    account = Account(books(tmp_path))
    assert the_call(tmp_path).state == "unknown"
    answer = json.loads(account.read_raw_answer(the_call(tmp_path).id) or b"")
    assert answer["polling_url"].startswith("https://elsewhere.invalid/")
    assert server.gateway.poll_count == 0


def test_a_later_call_goes_on_asking(
    server: SandboxServer, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`resume` asks for what an earlier process queued: no second POST, and the image is saved."""
    answered = server.gateway.answer

    def lose_polls(method: str, *rest: Any) -> Answer:
        return answered(method, *rest) if method == "POST" else error_answer(503, "Come later.")

    generator = at(server, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(server.gateway, "answer", lose_polls)
        with pytest.raises(errors.RequestTimeoutError):
            call(generator, "invoke", "sandbox:queued")
    assert the_call(tmp_path).state == "queued"
    later = at(server, tmp_path)
    result = call(later.pipeline, "resume", the_call(tmp_path))
    assert Path(result.image.path).is_file()
    assert (server.gateway.post_count, the_call(tmp_path).state) == (1, "saved")


@pytest.mark.parametrize(("hours", "state"), [(23, "queued"), (25, "unknown")])
def test_after_a_day_it_is_unknown(
    hours: int, state: str, server: SandboxServer, call: Call, tmp_path: Path
) -> None:
    """A queued answer is asked for during 24 hours; then the call is unknown."""
    generator = at(server, tmp_path)
    with pytest.raises(errors.RequestTimeoutError):
        call(generator, "invoke", "sandbox:queued-lost")
    queued = the_call(tmp_path)
    object.__setattr__(queued, "updated_at", datetime.now(UTC) - timedelta(hours=hours))
    with pytest.raises(errors.RequestTimeoutError):
        call(generator.pipeline, "resume", queued)
    assert the_call(tmp_path).state == state


def test_progress_says_queued(server: SandboxServer, tmp_path: Path) -> None:
    """Listeners hear `queued` between `sent` and `received`, once."""

    async def stages() -> list[str]:
        events = at(server, tmp_path).astream_events("sandbox:queued", version="v2")
        return [
            event["data"]["stage"] async for event in events if event["event"] == "on_custom_event"
        ]

    assert asyncio.run(stages()) == ["waiting", "sent", "queued", "received", "saved"]
