"""What comes after a POST is booked in the end, whatever the books say at first."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Call
from waiting import wait_until

from langchain_qwen_image import QwenImageGenerator
from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.store import NotTakenError
from langchain_qwen_image.concurrency.runtime import Asyncio, Blocking
from langchain_qwen_image.pipeline import bookings
from langchain_qwen_image.sandbox import SandboxServer


class Disk:
    """Takes no step of a kind for so many times."""

    def __init__(self, step: Callable[..., Any], times: int) -> None:
        """Take the step and how often it fails."""
        self.step = step
        self.left = times

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Fail, or take the step."""
        if self.left > 0:
            self.left -= 1
            raise NotTakenError("No space left on device.")
        return self.step(*args, **named)


@pytest.fixture
def slept() -> list[float]:
    """Hold the seconds that a call waited."""
    return []


@pytest.fixture
def generator(server: SandboxServer, tmp_path: Path, slept: list[float]) -> QwenImageGenerator:
    """Return a generator whose pauses are only noted."""
    made = QwenImageGenerator(
        api_key="test-key-0123456789",
        base_url=server.base_url,
        size="512*512",
        save_to=tmp_path / "images",
        account=tmp_path / "books.db",
    )

    async def asleep(seconds: float) -> None:
        slept.append(seconds)

    made._pipelines[:] = [
        replace(made.pipeline, blocking=Blocking(slept.append), asyncio=Asyncio(asleep))
    ]
    return made


@pytest.mark.parametrize("step", ["answered", "saved"])
def test_a_step_is_repeated_within_the_call(
    generator: QwenImageGenerator,
    slept: list[float],
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    step: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A disk that is full for a moment is waited for, and nothing is said."""
    disk = Disk(getattr(Account, step), 4)
    monkeypatch.setattr(Account, step, lambda self, *a, **k: disk(self, *a, **k))
    call(generator, "invoke", "a fox")
    assert slept == [0.05, 0.1, 0.2, 0.4]
    assert [row.state for row in Account(tmp_path / "books.db").calls()] == ["saved"]
    assert "in the background" not in caplog.text


def test_after_ten_seconds_it_goes_on_in_the_background(
    generator: QwenImageGenerator,
    slept: list[float],
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The caller has its result; a warning names call and books; all is booked in its order."""
    caplog.set_level(logging.INFO, logger="langchain_qwen_image")
    disk = Disk(Account.answered, 10_000)
    monkeypatch.setattr(bookings, "_BACKGROUND_PAUSE", 0.01)
    monkeypatch.setattr(Account, "answered", lambda self, *a, **k: disk(self, *a, **k))
    result = call(generator, "invoke", "a fox")
    assert result.image.path is not None
    assert round(sum(slept), 3) == 10
    (said,) = [one.getMessage() for one in caplog.records if "background" in one.getMessage()]
    assert result.call_id in said
    assert str(tmp_path / "books.db") in said
    account = Account(tmp_path / "books.db")
    assert [row.state for row in account.calls()] == ["sent"]
    disk.left = 0
    wait_until(lambda: [row.state for row in account.calls()] == ["saved"])
    assert str(account.spent_usd) == "0.045"


def test_what_the_books_refuse_is_not_repeated(
    generator: QwenImageGenerator,
    slept: list[float],
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Any other error stays: it is logged, and the caller has its image."""

    def fail(*_: Any, **__: Any) -> Any:
        raise ValueError("no such step")

    monkeypatch.setattr(Account, "answered", fail)
    assert call(generator, "invoke", "a fox").image.path is not None
    assert slept == []
    assert "no such step" in caplog.text
